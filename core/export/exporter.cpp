// SPDX-License-Identifier: Apache-2.0
#include "core/export/exporter.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer {

namespace {

template <typename Value>
const Value &optionValue(const ExportOptions &options, const std::string &name)
{
    const auto found = options.find(name);
    LQER_ASSERT(found != options.end());
    const auto *value = std::get_if<Value>(&found->second);
    LQER_ASSERT(value);
    return *value;
}

}  // namespace

const Exporter &findExporter(std::string_view name)
{
    std::vector<std::string> known;
    for (const Exporter &exporter : exporters()) {
        if (exporter.info.name == name)
            return exporter;
        known.push_back(exporter.info.name);
    }
    const std::string near = nearest(name, known);
    throw Error(ErrorCode::Argument, fmt::format("there is no export target '{}'; {}", escaped(name),
                                                 near.empty() ? fmt::format("there are {}", fmt::join(known, ", "))
                                                              : fmt::format("did you mean {}?", near)));
}

ExportOptions withDefaults(const Exporter &exporter, ExportOptions options)
{
    checkParameters(fmt::format("target {}", exporter.info.name), exporter.info.options, options);
    for (const ExportOption &option : exporter.info.options)
        options.emplace(option.name, option.fallback);
    return options;
}

const std::string &optionText(const ExportOptions &options, const std::string &name)
{
    return optionValue<std::string>(options, name);
}

std::int64_t optionInteger(const ExportOptions &options, const std::string &name)
{
    return optionValue<std::int64_t>(options, name);
}

bool optionFlag(const ExportOptions &options, const std::string &name)
{
    return optionValue<bool>(options, name);
}

ExportProblem exportError(std::string place, std::string message)
{
    return {std::move(place), std::move(message), ExportProblem::Severity::Error};
}

ExportProblem exportWarning(std::string place, std::string message)
{
    return {std::move(place), std::move(message), ExportProblem::Severity::Warning};
}

std::string layerPlace(const LinearSite &site)
{
    return fmt::format("layer '{}'", site.name);
}

std::vector<ExportProblem> modelProblems(const ExportSource &source, bool (*carriesActivation)(const LayerPlan &plan))
{
    std::size_t activations = 0, quantized = 0;
    for (const auto &[name, layer] : source.plan().layers) {
        quantized += layer.quantize ? 1 : 0;
        const bool left = layer.quantize && !layer.formats.activation.isPassthrough() && !(carriesActivation && carriesActivation(layer));
        activations += left ? 1 : 0;
    }
    const bool attention = std::ranges::any_of(source.plan().attention, [](const auto &block) { return block.second.changesAnything(); });
    std::vector<ExportProblem> problems;
    if (quantized == 0)
        problems.push_back(exportWarning("recipe", "quantizes no layer: the export is the original model"));
    if (activations > 0 || attention) {
        const std::string layers = activations > 0 ? fmt::format("the inputs of {} layers", activations) : std::string();
        problems.push_back(exportWarning(
            "recipe", fmt::format("also quantizes {}{}{}: no weight file carries that, so engines compute it in their own precision and measure slightly other figures",
                                  layers, activations > 0 && attention ? " and " : "", attention ? "attention" : "")));
    }
    return problems;
}

}  // namespace lqer
