// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/model_options.h"
#include "app/cli/recipe_options.h"
#include "app/cli/text_table.h"
#include "core/base/text.h"
#include "core/eval/format.h"

namespace lqer::cli {

namespace {

using Align = TextTable::Align;

struct DecomposeCommand {
    ModelOptions model;
    RecipeOptions recipe;
    DecomposeOptions options;
    std::optional<std::string> spectrum;
    bool leadingOnly = false;
    std::string precision = "bf16";
};

// Share of the error's energy that the `rank` largest singular values hold; nothing where they are not known.
std::optional<double> leadingShare(const VectorF64 &sigma, double total, Index rank)
{
    if (sigma.size() < rank)
        return std::nullopt;
    return total > 0 ? sigma.head(rank).squaredNorm() / total : 0;
}

int decomposeModel(Session &session, const DecomposeCommand &command)
{
    Opened opened = command.model.open(session);
    const QuantizationRecipe recipe = command.recipe.recipe(session, *opened.model);
    command.model.openProject(session, opened);
    DecomposeOptions options = command.options;
    if (command.leadingOnly)
        options.spectrum = SpectrumExtent::Leading;
    if (command.spectrum)
        options.spectrum = spectrumExtentFromString(*command.spectrum);
    options.extendSpectra = command.spectrum.has_value();
    options.precision = precisionFromString(command.precision);
    const std::shared_ptr<const DecomposeResult> result = session.engine().decompose(*opened.model, *opened.project, recipe, options, session.context());
    opened.project->save();

    TextTable table({{"layer", Align::Left}, {"scaling", Align::Left}, {"rank"}, {"as it is", Align::Right, "share of the error in the rank"},
                     {"shaped", Align::Right, "share of the error in the rank"}, {"plain", Align::Right, "weight error"}, {"corrected", Align::Right, "weight error"},
                     {"plain", Align::Right, "output error"}, {"corrected", Align::Right, "output error"}});
    const auto relative = [](double error, double energy) { return energy > 0 ? std::sqrt(std::max(error, 0.0) / energy) : 0.0; };
    Json layers = Json::array();
    std::size_t estimated = 0;
    for (const auto &record : result->layers) {
        const Index rank = std::min(recipe.planFor(*opened.model->transformer().findLinear(record->key.layer)).rank, record->maxRank);
        const std::optional<double> asItIs = leadingShare(record->sigmaUnscaled, record->weightError, rank);
        const double shaped = leadingShare(record->sigma, record->totalEnergy, rank).value_or(0);  // maxRank of them are there
        estimated += record->spectrum() == SpectrumExtent::Estimated ? 1 : 0;
        const double weightPlain = relative(record->weightError, record->weightEnergy);
        const double weightCorrected = relative(record->correctedWeightError(rank), record->weightEnergy);
        std::vector<std::string> row{escaped(record->key.layer), std::string(toString(record->key.scaling)), std::to_string(rank), asItIs ? formatPercent(*asItIs) : "-",
                                     formatPercent(shaped), formatPercent(weightPlain), formatPercent(weightCorrected)};
        Json entry = Json::object().set("layer", record->key.layer).set("scaling", toString(record->key.scaling)).set("rank", rank)
                         .set("max_rank", record->maxRank).set("spectrum", toString(record->spectrum())).set("share_shaped", shaped)
                         .set("weight_error", weightPlain).set("corrected_weight_error", weightCorrected);
        if (asItIs)
            entry.set("share_unshaped", *asItIs);
        if (record->outputKnown) {
            const double outputPlain = relative(record->outputError, record->outputEnergy);
            const double outputCorrected = relative(record->correctedOutputError(rank), record->outputEnergy);
            row.insert(row.end(), {formatPercent(outputPlain), formatPercent(outputCorrected)});
            entry.set("output_error", outputPlain).set("corrected_output_error", outputCorrected);
        } else {
            row.insert(row.end(), 2, "-");
        }
        table.addRow(std::move(row));
        layers.append(std::move(entry));
    }
    session.console().print((table.isEmpty() ? std::string("The recipe corrects no layer.\n") : table.toString())
                            + (estimated > 0 ? fmt::format("\nOf {} of {} layers the singular values behind the factors' are estimated (--spectrum whole computes them).\n", estimated,
                                                           result->layers.size())
                                             : std::string())
                            + fmt::format("\n{}: {} decompositions computed, {} reused, {}\n", escaped(opened.project->folder()), result->computed,
                                          result->reused, formatSeconds(result->seconds)));
    session.console().result("decompose", Json::object().set("project", opened.project->folder()).set("calibration", result->calibration)
                                              .set("computed", static_cast<std::int64_t>(result->computed))
                                              .set("reused", static_cast<std::int64_t>(result->reused)).set("seconds", result->seconds)
                                              .set("layers", std::move(layers)));
    return exitOk;
}

}  // namespace

void addDecomposeCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("decompose", "Quantize every layer and decompose the error: singular values and the factors A and B");
    command->footer("The error W - W_q is weighted by the inputs' statistics (`lqer calibrate` first, except for scaling identity). \"Shaped\" says how much of\n"
                    "the weighted error the first singular values hold: the more, the better a low rank works. Factors are kept up to --max-rank, so\n"
                    "another rank below that costs nothing later. Interrupted, it carries on at the next layer.\n\n"
                    "Example:\n  lqer decompose MODEL --recipe qera-exact-mxint4 --max-rank 128");
    const auto options = std::make_shared<DecomposeCommand>();
    options->model.addModel(*command);
    options->model.addProject(*command);
    options->model.addBase(*command);
    options->recipe.add(*command, false);
    command->add_option("--max-rank", options->options.maxRank, "Keep factors up to this rank (0: all of a small layer, 256 of a large one)")
        ->type_name("K")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--calibration", options->options.calibration, "Key of the statistics to use (default: the latest)")->type_name("KEY");
    CLI::Option *spectrum =
        command->add_option("--spectrum", options->spectrum,
                            "Singular values to keep of a layer whose inputs and outputs are more than 512 and at least four times --max-rank (others have all): whole, all of them, which takes ten "
                            "times as long as the factors; estimated, the leading ones that belong to the factors and an estimate of the others, three times; leading, "
                            "only those. Layers that the project has with less are computed again. Default: estimated, and what the project has stays as it is")
            ->type_name("NAME");
    command->add_flag("--leading-only", options->leadingOnly, "The same as --spectrum leading")->excludes(spectrum);
    command->add_option("--precision", options->precision,
                        "Of the products that look for the factors of a large layer: bf16, twice as fast where the processor has it, or f32. Singular values and "
                        "factors are float32 in both, and the energy in them is the same to 1e-5")
        ->capture_default_str()
        ->type_name("NAME");
    command->callback([options, &invocation] { invocation.work = [options](Session &session) { return decomposeModel(session, *options); }; });
}

}  // namespace lqer::cli
