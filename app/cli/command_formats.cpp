// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/parameter_text.h"
#include "app/cli/session.h"
#include "app/cli/text_table.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/eval/format.h"
#include "core/quant/quantizer.h"

namespace lqer::cli {

namespace {

using Align = TextTable::Align;

const Shape exampleShape = {4096, 4096};  // bits per weight are stated for a weight of this shape

double exampleBits(const FormatSpec &spec)
{
    return makeQuantizer(spec)->bitsPerElement(exampleShape);
}

Json formatJson(const FormatInfo &info)
{
    Json presets = Json::array();
    for (const auto &[name, spec] : info.presets)
        presets.append(Json::object().set("name", name).set("format", spec.toString()).set("bits", exampleBits(spec)));
    Json parameters = Json::array();
    for (const FormatParameter &parameter : info.parameters)
        parameters.append(Json::object().set("name", parameter.name).set("default", valueText(parameter.fallback))
                              .set("values", valuesText(parameter)).set("meaning", parameter.meaning));
    return Json::object().set("name", info.name).set("title", info.title).set("meaning", info.meaning)
        .set("presets", std::move(presets)).set("parameters", std::move(parameters));
}

// "mxint" and "mxint4" both lead to mxint.
const FormatInfo &findInfo(const std::string &name)
{
    if (const FormatInfo *info = findFormat(name))
        return *info;
    const FormatInfo *info = findFormat(FormatSpec::parse(name).name);
    if (!info)
        throw Error(ErrorCode::Argument, fmt::format("unknown format '{}'", escaped(name)));
    return *info;
}

int list(Session &session)
{
    TextTable table({{"format", Align::Left}, {"preset", Align::Left}, {"bits"}, {"what it is", Align::Left}});
    Json all = Json::array();
    for (const FormatInfo &info : formats()) {
        std::string title = info.title;
        if (info.presets.empty())
            table.addRow({info.name, "", formatBits(exampleBits({info.name, {}})), title});
        for (const auto &[name, spec] : info.presets) {
            table.addRow({&name == &info.presets.front().first ? info.name : "", name, formatBits(exampleBits(spec)), title});
            title.clear();
        }
        all.append(formatJson(info));
    }
    session.console().print(table.toString()
                            + fmt::format("\nBits per weight include scales, for a {} weight. `lqer formats NAME` says what a format's parameters are.\n",
                                          toString(exampleShape)));
    session.console().result("formats", Json::object().set("formats", std::move(all)));
    return exitOk;
}

int show(Session &session, const std::string &name)
{
    const FormatInfo &info = findInfo(name);
    std::string text = fmt::format("{}: {}\n{}\n", info.name, info.title, info.meaning);
    if (!info.parameters.empty()) {
        TextTable table({{"parameter", Align::Left}, {"default", Align::Left}, {"values", Align::Left}, {"meaning", Align::Left}});
        for (const FormatParameter &parameter : info.parameters)
            table.addRow({parameter.name, valueText(parameter.fallback), valuesText(parameter), parameter.meaning});
        text += '\n' + table.toString();
    }
    if (!info.presets.empty()) {
        TextTable table({{"preset", Align::Left}, {"in full", Align::Left}, {"bits"}});
        for (const auto &[preset, spec] : info.presets)
            table.addRow({preset, spec.toString(), formatBits(exampleBits(spec))});
        text += '\n' + table.toString();
    }
    session.console().print(text);
    session.console().result("formats", Json::object().set("formats", Json(Json::Array{formatJson(info)})));
    return exitOk;
}

}  // namespace

void addFormatsCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("formats", "The number formats that weights, activations, A and B can have");
    command->footer("Formats are written NAME or NAME:PARAMETER=VALUE,..., for example mxint4, nf4, mxint:width=3,block_size=32 or\n"
                    "block_fp:width=4,block_size=1x16.");
    const auto name = std::make_shared<std::string>();
    command->add_option("format", *name, "Only this one, with its parameters")->type_name("NAME");
    command->callback([name, &invocation] {
        invocation.work = [name](Session &session) { return name->empty() ? list(session) : show(session, *name); };
    });
}

}  // namespace lqer::cli
