// SPDX-License-Identifier: Apache-2.0
#include "core/export/model_card.h"

#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "core/base/text.h"
#include "core/eval/footprint.h"
#include "core/eval/format.h"
#include "core/export/layer_counts.h"

namespace lqer {

namespace {

std::string replaced(std::string text, std::string_view what, const std::string &by)
{
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
        text.replace(at, what.size(), by);
    return text;
}

// A name in a command of a shell, and within the double quotes of a Python string.
std::string quotedFor(const std::string &language, const std::string &name)
{
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.+";
    if (language == "python")
        return replaced(replaced(name, "\\", "\\\\"), "\"", "\\\"");
    return name.find_first_not_of(plain) == std::string::npos ? name : fmt::format("'{}'", replaced(name, "'", "'\\''"));
}

std::string recipeRows(const ExportSource &source)
{
    std::map<std::string, int> weights, scalings, ranks, activations;
    for (const LinearSite &site : source.model().linearSites()) {
        const LayerPlan &plan = source.planFor(site);
        ++weights[plan.quantize ? shortName(plan.formats.weight) : "as in the original"];
        if (plan.quantize && !plan.formats.activation.isPassthrough())
            ++activations[shortName(plan.formats.activation)];
        if (source.isCorrected(site)) {
            ++scalings[std::string(toString(plan.scaling))];
            ++ranks[fmt::format("{}", plan.rank)];
        }
    }
    std::string rows = fmt::format("| recipe | {} |\n| weights | {} |\n", escaped(source.recipe().name), layerCounts(weights));
    rows += ranks.empty() ? std::string("| correction | none |\n")
                          : fmt::format("| correction, scaling | {} |\n| correction, rank | {} |\n", layerCounts(scalings),
                                        layerCounts(ranks));
    if (!activations.empty())
        rows += fmt::format("| activations while measuring | {} |\n", layerCounts(activations));
    const Footprint size = footprint(source.model(), source.plan());
    rows += fmt::format("| bits per weight of the quantized layers | {} with A and B, {} without |\n",
                        formatBits(size.stored.withCorrection), formatBits(size.stored.weights));
    return rows;
}

std::string measuredText(const ExportSource &source)
{
    const auto report = source.measured();
    if (!report)
        return "Nothing was measured with this recipe before the export.\n";
    const PerplexityReport &perplexity = *report->perplexity;
    std::string text = fmt::format("Perplexity {} on {}: {} windows of {} tokens, {} scored, convention {}",
                                   formatWithError(perplexity.headline(), perplexity.standardError), escaped(dataName(perplexity)),
                                   perplexity.windows, perplexity.windowOptions.length, perplexity.tokens,
                                   toString(perplexity.windowOptions.convention));
    if (report->original)
        text += fmt::format("; the original model has {} there", formatPerplexity(report->original->headline()));
    return text + fmt::format(". Measured {} by LQER Studio's evaluator, in float32, with the recipe's formats for weights, "
                              "activations, A and B.\n", escaped(report->created));
}

}  // namespace

std::string dataName(const PerplexityReport &report)
{
    return report.dataSet.empty() ? dataName(report.source) : fmt::format("{}, {} split", report.dataSet, report.split);
}

std::string dataName(const std::string &provenance)
{
    constexpr std::string_view rowsOf = " rows of ";
    const std::size_t at = provenance.find(rowsOf);
    const std::size_t path = at == std::string::npos ? 0 : at + rowsOf.size();
    return provenance.substr(0, path) + std::filesystem::path(provenance.substr(path)).filename().string();
}

std::string modelCard(const Exporter &exporter, const ExportSource &source, const ExportOptions &options,
                      std::span<const ExportProblem> warnings, const std::string &folder)
{
    const CardNotes notes = exporter.card(source, options);
    std::string card =
        fmt::format("# {}, quantized with LQER Studio\n\n{}\n\n", escaped(source.modelName()), exporter.info.meaning);
    card += "| | |\n|---|---|\n";
    card += fmt::format("| base model | {} ({}), fingerprint {} |\n", escaped(source.modelName()),
                        source.model().config().architecture, source.fingerprint());
    card += recipeRows(source);
    card += "\n## Measured\n\n" + measuredText(source);
    card += "\n## Contents\n\n";
    for (const std::string &line : notes.contents)
        card += fmt::format("- {}\n", line);
    card += fmt::format("- `{}`: what was exported with which options, and every file's size and checksum\n", "lqer-export.json");
    if (!notes.launch.empty())
        card += "\n## Loading it\n";
    for (const LaunchNote &launch : notes.launch)
        card += fmt::format("\n{}:\n\n```{}\n{}\n```\n", launch.engine, launch.language,
                            replaced(launch.commands, "{}", quotedFor(launch.language, folder)));
    if (!notes.remarks.empty() || !warnings.empty())
        card += "\n## To know\n\n";
    for (const std::string &remark : notes.remarks)
        card += fmt::format("- {}\n", remark);
    for (const ExportProblem &warning : warnings)
        card += fmt::format("- {}: {}\n", warning.place, warning.message);
    return card;
}

}  // namespace lqer
