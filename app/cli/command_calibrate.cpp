// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/model_options.h"
#include "app/cli/text_options.h"
#include "app/cli/text_table.h"
#include "core/base/text.h"
#include "core/eval/format.h"

namespace lqer::cli {

namespace {

using Align = TextTable::Align;

struct CalibrateOptions {
    ModelOptions model;
    std::string dataFolder;
    TextOptions text{"calibration"};
    CalibrationOptions calibration;
    std::string precision = "f32";
    bool diagonalOnly = false;
    std::string imatrix;
};

double median(VectorF64 values)
{
    std::sort(values.begin(), values.end());
    return values.size() ? values[values.size() / 2] : 0;
}

int calibrateModel(Session &session, const CalibrateOptions &options)
{
    Opened opened = options.model.open(session);
    CalibrationOptions calibration = options.calibration;
    calibration.autocorrelation = !options.diagonalOnly;
    calibration.precision = precisionFromString(options.precision);
    std::shared_ptr<const CalibrationResult> result;
    if (!options.imatrix.empty()) {
        options.model.openProject(session, opened);
        result = session.engine().importImatrix(*opened.model, *opened.project, options.imatrix, session.context());
        session.console().note("An imatrix holds mean squares only: scalings diag and identity can use it, lqer and exact need a calibration");
    } else {
        const std::shared_ptr<const TokenWindows> windows = options.text.windows(session, *opened.model);
        options.model.openProject(session, opened);
        result = session.engine().calibrate(*opened.model, *opened.project, *windows, calibration, session.context());
    }
    opened.project->save();

    TextTable table({{"activation site", Align::Left}, {"channels"}, {"tokens"}, {"median", Align::Right, "RMS of a channel"},
                     {"largest", Align::Right, "RMS of a channel"}, {"ratio", Align::Right, "RMS of a channel"}});
    Json sites = Json::array();
    for (const ActivationSite &site : opened.model->transformer().activationSites()) {
        const auto found = result->stats->sites.find(site.name);
        if (found == result->stats->sites.end())
            continue;
        const VectorF64 rms = found->second.diagonalScale();
        const double middle = median(rms), largest = rms.maxCoeff();
        table.addRow({escaped(site.name), std::to_string(site.features), std::to_string(found->second.tokens), fmt::format("{:.4g}", middle),
                      fmt::format("{:.4g}", largest), middle > 0 ? fmt::format("{:.1f}", largest / middle) : ""});
        sites.append(Json::object().set("name", site.name).set("channels", site.features).set("tokens", found->second.tokens)
                         .set("median_rms", middle).set("largest_rms", largest));
    }
    const CalibrationStats &stats = *result->stats;
    const std::string source = options.imatrix.empty() ? fmt::format("{} windows of {} tokens from {}", stats.windows, stats.windowLength, stats.data) : stats.data;
    session.console().print(fmt::format("{}\n{} {} in {}{}\n", table.toString(), result->reused ? "Reused:" : options.imatrix.empty() ? "Calibrated on" : "Taken from",
                                        escaped(source, 400), escaped(opened.project->folder()),
                                        result->reused ? "" : fmt::format(", {}", formatSeconds(result->seconds))));
    session.console().result("calibrate", Json::object().set("project", opened.project->folder()).set("calibration", stats.key())
                                              .set("reused", result->reused).set("seconds", result->seconds).set("windows", stats.windows)
                                              .set("sites", std::move(sites)));
    return exitOk;
}

}  // namespace

void addCalibrateCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("calibrate", "Collect statistics of every linear layer's input from a text");
    command->footer("One forward pass gives what all scalings need: mean magnitude (lqer), mean square (diag) and autocorrelation (exact). The statistics\n"
                    "are kept in the project with where they came from, and are reused by everything that follows. Interrupted, it carries on with the\n"
                    "layers that are missing.\n\n"
                    "An imatrix file of llama.cpp (GGUF or .dat) takes the place of the forward pass where scaling diag is enough.\n\n"
                    "Examples:\n  lqer calibrate MODEL --text sample.txt --windows 128\n  lqer calibrate MODEL --text docs.jsonl --field content --window 1024\n"
                    "  lqer calibrate MODEL --imatrix imatrix.gguf && lqer decompose MODEL --recipe qera-approx-mxint4");
    const auto options = std::make_shared<CalibrateOptions>();
    options->model.addModel(*command);
    options->model.addProject(*command);
    addDataFolder(*command, options->dataFolder, "Calibration data");
    options->text.add(*command, 128, options->dataFolder);
    command->add_option("--batch", options->calibration.batch, "Windows in a batch: the lqer statistic is the largest of the batches' means")
        ->capture_default_str()
        ->type_name("N")
        ->check(CLI::Range(1, 1 << 20))
        ->group("Calibration data");
    command->add_flag("--no-autocorrelation", options->diagonalOnly, "Save the memory and time for it; scaling exact is not possible then")
        ->group("Calibration data");
    command->add_option("--precision", options->precision, "Of the products: f32, or bf16, twice as fast where the processor has it")
        ->capture_default_str()
        ->type_name("NAME")
        ->group("Calibration data");
    command->add_option("--imatrix", options->imatrix, "Take the inputs' mean squares from this file of llama.cpp in place of a forward pass (scaling diag only)")
        ->type_name("FILE")
        ->excludes(command->get_option("--text"))
        ->excludes(command->get_option("--tokens"))
        ->group("Calibration data");
    command->callback([options, &invocation] { invocation.work = [options](Session &session) { return calibrateModel(session, *options); }; });
}

}  // namespace lqer::cli
