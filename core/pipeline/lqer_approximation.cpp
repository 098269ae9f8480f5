// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/lqer_approximation.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/export/dictionary_file.h"
#include "core/export/export_source.h"
#include "core/io/atomic_file.h"
#include "core/linalg/gemm.h"
#include "core/pipeline/csv_table.h"
#include "core/pipeline/lqer_recipe.h"
#include "core/pipeline/scale_dictionary.h"

namespace lqer {

namespace {

constexpr std::string_view header = "name,rank,l1_norm(AB-Q_error_T)/n,w_dim0,w_dim1";

// As Python prints it, so that it reads back to the same bits.
std::string numberText(double value)
{
    return std::isnan(value) ? std::string() : Json(value).dump();
}

struct Summary {
    double count = 0, mean = 0, deviation = 0;
    double quantiles[5] = {};  // least, quarters, largest
};

Summary summaryOf(std::vector<double> values)
{
    Summary summary;
    summary.count = static_cast<double>(values.size());
    for (const double value : values)
        summary.mean += value;
    summary.mean /= summary.count;
    double squares = 0;
    for (const double value : values)
        squares += (value - summary.mean) * (value - summary.mean);
    summary.deviation = values.size() < 2 ? std::nan("") : std::sqrt(squares / (summary.count - 1));
    std::ranges::sort(values);
    for (int i = 0; i < 5; ++i) {
        const double place = 0.25 * i * (summary.count - 1);
        const auto below = static_cast<std::size_t>(place);
        const std::size_t above = std::min(below + 1, values.size() - 1);
        summary.quantiles[i] = values[below] + (values[above] - values[below]) * (place - static_cast<double>(below));
    }
    return summary;
}

// E (in, out): what A B is to approximate. scale: empty for the error itself.
Matrix errorOf(const ExportLayer &layer, const VectorF64 &scale)
{
    Matrix error = (layer.original - layer.quantized).transpose();
    for (Index i = 0; i < scale.size(); ++i)
        error.row(i) *= static_cast<float>(scale[i]);
    return error;
}

double meanDifference(const LowRankCorrection &correction, const Matrix &error, const TaskContext &context)
{
    Matrix product(error.rows(), error.cols());
    multiply(correction.a, correction.b, product, context.silent());
    double sum = 0;
    for (Index row = 0; row < error.rows(); ++row)
        for (Index column = 0; column < error.cols(); ++column)
            sum += std::abs(static_cast<double>(product(row, column)) - static_cast<double>(error(row, column)));
    return sum / static_cast<double>(error.size());
}

// Key of the scales as statistics of the project; "" where the method has none.
std::string importScales(
    const LqerConfig &config, const LoadedModel &model, Project &project, std::span<const LinearSite *const> layers)
{
    if (config.scaling == ScalingKind::Identity)
        return {};
    if (config.scaleDict.empty())
        throw Error(ErrorCode::NotFound, config.file, "key 'profile.scale_dict'",
            "lqer-act needs the scales: switch enable_profiling on, or say where they are");
    return importScaleDictionary(project, model, tensorFile(config.scaleDict), layers);
}

}  // namespace

void writeApproximationTable(const std::string &path, std::span<const ApproximationRow> rows)
{
    std::string text = fmt::format("{}\n", header);
    for (const ApproximationRow &row : rows)
        text += fmt::format("{},{},{},{},{}\n", row.name, row.rank, numberText(row.error), row.out, row.in);
    writeFileAtomically(path, text);
}

std::vector<ApproximationRow> readApproximationTable(const std::string &path)
{
    std::vector<ApproximationRow> rows;
    for (const CsvRow &row : readCsv(path, header))
        rows.push_back({row.text(0), row.integer(1), row.number(2), row.integer(3), row.integer(4)});
    return rows;
}

void writeApproximationSummary(const std::string &path, std::span<const ApproximationRow> rows)
{
    const auto column = [&](auto field) {
        std::vector<double> values;
        for (const ApproximationRow &row : rows)
            values.push_back(static_cast<double>(field(row)));
        return summaryOf(std::move(values));
    };
    const Summary columns[]
        = {column([](const auto &row) { return row.rank; }), column([](const auto &row) { return row.error; }),
            column([](const auto &row) { return row.out; }), column([](const auto &row) { return row.in; })};
    std::string text = ",rank,l1_norm(AB-Q_error_T)/n,w_dim0,w_dim1\n";
    const auto line = [&](const char *name, auto value) {
        text += name;
        for (const Summary &summary : columns)
            text += ',' + numberText(value(summary));
        text += '\n';
    };
    line("count", [](const Summary &summary) { return summary.count; });
    line("mean", [](const Summary &summary) { return summary.mean; });
    line("std", [](const Summary &summary) { return summary.deviation; });
    static constexpr const char *names[] = {"min", "25%", "50%", "75%", "max"};
    for (int i = 0; i < 5; ++i)
        line(names[i], [i](const Summary &summary) { return summary.quantiles[i]; });
    writeFileAtomically(path, text);
}

std::vector<ApproximationRow> approximateLayers(const Engine &engine, const LqerConfig &config, const LoadedModel &model,
    Project &project, std::span<const LinearSite *const> layers, const ApproximationFiles &files, const TaskContext &context)
{
    const std::vector<LinearSite> &sites = model.transformer().linearSites();
    const std::string calibration = importScales(config, model, project, layers);
    QuantizationRecipe recipe = lqerRecipe(config, LqerStage::Approximate, sites);
    for (const LinearSite &site : sites)
        if (std::ranges::find(layers, &site) == layers.end())
            recipe.layers[site.name].rank = 0;
    DecomposeOptions options;
    options.calibration = calibration;
    options.spectrum = SpectrumExtent::Leading;
    engine.decompose(model, project, recipe, options, context);
    project.save();

    const std::unique_ptr<const ExportSource> source = engine.exportSource(model, project, recipe, calibration);
    std::vector<std::pair<const LinearSite *, Index>> ranks;
    std::vector<TensorInfo> errors;
    for (const LinearSite *const site : layers) {
        ranks.emplace_back(site, source->planFor(*site).rank);
        errors.push_back({.name = site->name + ".weight", .dtype = DType::F32, .shape = {site->in, site->out}});
    }
    DictionaryWriter dictionary(files.lowRank, ranks);
    std::optional<SafetensorsWriter> errorDictionary;
    if (!files.errors.empty())
        errorDictionary.emplace(files.errors, std::move(errors), std::map<std::string, std::string>{{"format", "pt"}});

    const std::shared_ptr<const CalibrationStats> stats = source->statistics();
    std::vector<ApproximationRow> rows;
    context.beginStage("writing A, B and errors", layers.size());
    for (const LinearSite *const site : layers) {
        context.checkStop();
        context.setDetail(site->name);
        const LayerPlan &plan = source->planFor(*site);
        const ExportLayer layer = source->layer(
            *site, {.original = true, .quantized = true, .encoded = false, .correction = true, .bias = false}, context.silent());
        const Matrix error = errorOf(
            layer, plan.scaling == ScalingKind::MeanAbs ? stats->sites.at(site->activationSite).lqerScale() : VectorF64());
        dictionary.write(*site, layer.correction);
        if (errorDictionary)
            errorDictionary->write(Tensor::fromMatrix(error));
        rows.push_back(
            {site->name + ".weight", plan.rank, meanDifference(layer.correction, error, context), site->out, site->in});
        context.advance();
    }
    if (errorDictionary)
        errorDictionary->finished().commit();
    dictionary.finished().commit();
    if (config.scaling == ScalingKind::MeanAbs)
        logWarning("the errors in results and error_T_dict are scaled by diag(s), as the official code logs and saves them for "
                   "lqer-act; A B approximates the "
                   "unscaled one");
    return rows;
}

}  // namespace lqer
