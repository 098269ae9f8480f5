// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/model_options.h"
#include "app/cli/text_table.h"
#include "core/base/text.h"
#include "core/eval/format.h"

namespace lqer::cli {

namespace {

using Align = TextTable::Align;

struct InspectOptions {
    ModelOptions model;
    bool layers = false;
    bool tensors = false;
};

std::string summaryText(const ModelSummary &summary)
{
    std::string dtypes;
    for (const auto &[dtype, bytes] : summary.dtypes)
        dtypes += fmt::format("{}{} {}", dtypes.empty() ? "" : ", ", dtype, formatBytes(static_cast<double>(bytes)));
    const auto line = [](const char *name, const std::string &value) { return fmt::format("{:<15}{}\n", name, value); };
    std::string text;
    text += line("folder", escaped(summary.folder));
    text += line("architecture", fmt::format("{} (family {})", escaped(summary.architecture), summary.family));
    text += line("parameters", formatCount(summary.parameters));
    text += line("linear layers", fmt::format("{} with {} weights ({:.1f} % of the parameters)", summary.linearLayers, formatCount(summary.linearParameters),
                                              100.0 * static_cast<double>(summary.linearParameters) / static_cast<double>(summary.parameters)));
    text += line("blocks", fmt::format("{} of width {}, MLP {}", summary.layers, summary.hidden, summary.intermediate));
    text += line("attention", summary.heads == summary.kvHeads ? fmt::format("{} heads", summary.heads)
                                                               : fmt::format("{} heads, {} for keys and values", summary.heads, summary.kvHeads));
    text += line("vocabulary", fmt::format("{}, embeddings {}", formatCount(summary.vocabulary), summary.tiedEmbeddings ? "tied to the head" : "apart from the head"));
    text += line("context", fmt::format("{} tokens", formatCount(summary.contextLength)));
    text += line("stored", fmt::format("{} ({})", formatBytes(static_cast<double>(summary.bytes)), dtypes));
    text += line("tokenizer", escaped(summary.tokenizer, 400));
    text += line("fingerprint", summary.fingerprint);
    for (const std::string &warning : summary.warnings)
        text += line("note", escaped(warning, 400));
    return text;
}

Json summaryJson(const ModelSummary &summary)
{
    Json dtypes = Json::object();
    for (const auto &[dtype, bytes] : summary.dtypes)
        dtypes.set(dtype, bytes);
    Json warnings = Json::array();
    for (const std::string &warning : summary.warnings)
        warnings.append(warning);
    return Json::object()
        .set("folder", summary.folder)
        .set("fingerprint", summary.fingerprint)
        .set("family", summary.family)
        .set("architecture", summary.architecture)
        .set("parameters", summary.parameters)
        .set("layers", summary.layers)
        .set("hidden", summary.hidden)
        .set("intermediate", summary.intermediate)
        .set("heads", summary.heads)
        .set("kv_heads", summary.kvHeads)
        .set("vocabulary", summary.vocabulary)
        .set("context_length", summary.contextLength)
        .set("tied_embeddings", summary.tiedEmbeddings)
        .set("linear_layers", summary.linearLayers)
        .set("linear_parameters", summary.linearParameters)
        .set("dtypes", std::move(dtypes))
        .set("bytes", summary.bytes)
        .set("tokenizer", summary.tokenizer)
        .set("has_tokenizer", summary.hasTokenizer)
        .set("warnings", std::move(warnings));
}

int inspect(Session &session, const InspectOptions &options)
{
    const std::shared_ptr<const LoadedModel> model = options.model.open(session).model;
    std::string text = summaryText(model->summary());
    Json fields = summaryJson(model->summary());
    if (options.layers) {
        TextTable table({{"linear layer", Align::Left}, {"role", Align::Left}, {"in"}, {"out"}, {"bias", Align::Left}, {"calibrated with", Align::Left}});
        Json sites = Json::array();
        for (const LinearSite &site : model->transformer().linearSites()) {
            table.addRow({escaped(site.name), std::string(toString(site.role)), std::to_string(site.in), std::to_string(site.out), site.hasBias ? "yes" : "",
                          site.activationSite == site.name ? "" : escaped(site.activationSite)});
            sites.append(Json::object().set("name", site.name).set("role", toString(site.role)).set("in", site.in).set("out", site.out)
                             .set("bias", site.hasBias).set("activation_site", site.activationSite));
        }
        text += '\n' + table.toString();
        fields.set("linear_sites", std::move(sites));
    }
    if (options.tensors) {
        TextTable table({{"tensor", Align::Left}, {"type", Align::Left}, {"shape", Align::Left}});
        Json tensors = Json::array();
        const Checkpoint &checkpoint = model->checkpoint();
        for (const std::string &name : checkpoint.names()) {
            const TensorInfo &info = *checkpoint.find(name);
            table.addRow({escaped(name), std::string(toString(info.dtype)), toString(info.shape)});
            Json shape = Json::array();
            for (const std::int64_t extent : info.shape)
                shape.append(extent);
            tensors.append(Json::object().set("name", name).set("dtype", toString(info.dtype)).set("shape", std::move(shape)));
        }
        text += '\n' + table.toString();
        fields.set("tensors", std::move(tensors));
    }
    session.console().print(text);
    session.console().result("inspect", fields);
    return exitOk;
}

}  // namespace

void addInspectCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("inspect", "What a checkpoint holds: architecture, sizes, tokenizer, layers, tensors");
    command->footer("Reads headers only, so it is quick on a checkpoint of any size.\n\n"
                    "Examples:\n  lqer inspect resources/demo\n  lqer inspect MODEL --layers\n  lqer inspect MODEL --json | jq .parameters");
    const auto options = std::make_shared<InspectOptions>();
    options->model.addModel(*command);
    command->add_flag("--layers", options->layers, "Also every linear layer that can be quantized");
    command->add_flag("--tensors", options->tensors, "Also every tensor");
    command->callback([options, &invocation] { invocation.work = [options](Session &session) { return inspect(session, *options); }; });
}

}  // namespace lqer::cli
