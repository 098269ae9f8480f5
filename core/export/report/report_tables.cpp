// SPDX-License-Identifier: Apache-2.0
// The two CSV files of a report. Numbers are the engine's own, not rounded; units stand in the header.
#include "core/export/report/csv.h"
#include "core/export/report/report_view.h"
#include "core/recon/noise_edge.h"

namespace lqer {

std::string layersCsv(const ReportView &view)
{
    CsvTable table({"layer", "block", "role", "in", "out", "quantized", "weight_format", "activation_format", "scaling", "rank", "a_format", "b_format",
                    "weight_bits_per_weight", "bits_per_weight_with_correction", "original_size [B]", "weight_size [B]", "bias_size [B]",
                    "correction_size [B]", "errors_are", "weight_energy", "weight_error_energy", "corrected_weight_error_energy", "relative_weight_error",
                    "relative_corrected_weight_error", "output_energy [per token]", "output_error_energy [per token]",
                    "corrected_output_error_energy [per token]", "relative_output_error", "relative_corrected_output_error", "largest_singular_value_shaped",
                    "largest_singular_value", "noise_edge", "singular_values_above_noise_edge", "singular_values_are", "noise_edge_is", "moved_by_a_token [bit]", "multiply_accumulates [per token]",
                    "relative_area", "area_is"});
    for (const LayerView &layer : view.layers) {
        const LinearSite &site = *layer.site;
        const LayerFootprint &size = layer.footprint;
        const bool corrected = view.source.isCorrected(site);
        table.text(site.name).integer(site.layer).text(toString(site.role)).integer(site.in).integer(site.out).text(layer.plan.quantize ? "true" : "false");
        const LinearFormats &formats = layer.plan.formats;
        table.text(layer.plan.quantize ? formats.weight.toString() : "").text(layer.plan.quantize ? formats.activation.toString() : "");
        table.text(corrected ? toString(layer.plan.scaling) : "").integer(size.rank);
        table.text(corrected ? formats.a.toString() : "").text(corrected ? formats.b.toString() : "");
        table.number(size.stored.weights).number(size.stored.withCorrection);
        for (const std::uint64_t bytes : {size.originalBytes, size.weightBytes, size.biasBytes, size.correctionBytes})
            table.integer(static_cast<std::int64_t>(bytes));
        table.text(!layer.error ? "" : layer.measured ? "measured" : "predicted");
        if (layer.error) {
            const LayerError &error = *layer.error;
            table.number(error.weightEnergy).number(error.weightError).number(error.correctedWeightError).number(error.relativeWeightError())
                .number(error.relativeCorrectedWeightError());
        }
        for (int i = layer.error ? 5 : 0; i < 5; ++i)
            table.nothing();
        const bool output = layer.error && layer.error->outputKnown;
        if (output) {
            const LayerError &error = *layer.error;
            table.number(error.outputEnergy).number(error.outputError).number(error.correctedOutputError).number(error.relativeOutputError())
                .number(error.relativeCorrectedOutputError());
        }
        for (int i = output ? 5 : 0; i < 5; ++i)
            table.nothing();
        const DecompositionRecord *record = layer.decomposition.get();
        const auto largest = [](const VectorF64 &sigma) { return sigma.size() > 0 ? std::optional(sigma[0]) : std::nullopt; };
        table.number(record ? largest(record->sigma) : std::nullopt).number(record ? largest(record->sigmaUnscaled) : std::nullopt);
        if (record && record->sigmaUnscaled.size() == std::min(record->in, record->out)) {
            const NoiseLevel noise = noiseLevel(record->sigmaUnscaled, record->in, record->out);
            table.number(noise.edge).integer(noise.aboveEdge);
        } else {
            table.nothing().nothing();
        }
        table.text(record ? toString(record->spectrum()) : "");
        if (record && record->sigmaUnscaled.size() == std::min(record->in, record->out))
            table.text(record->sigmaUnscaledExact == record->sigmaUnscaled.size() ? "computed" : "estimated");
        else
            table.nothing();
        const LayerCost &cost = view.cost.layers[static_cast<std::size_t>(&layer - view.layers.data())];
        table.number(cost.movedBits(1)).number(cost.macs()).number(cost.area()).text(toString(cost.basis()));
        table.endRow();
    }
    return table.toString();
}

std::string reportsCsv(const ReportView &view)
{
    CsvTable table({"number", "name", "title", "created [UTC]", "recipe", "this_recipe", "checkpoint_fingerprint", "calibration", "source", "data_set", "split", "rows", "data_hash",
                    "convention", "window_length [tokens]", "windows", "scored [tokens]", "weighting", "perplexity", "standard_error", "mean_nll [nat]",
                    "bits_per_token [bit]", "bits_per_byte [bit]", "word_perplexity", "original_perplexity", "original_standard_error", "original_mean_nll [nat]",
                    "kl_divergence [nat]", "kl_standard_error [nat]", "same_top_token", "size [B]", "original_size [B]", "weight_bits_per_weight",
                    "bits_per_weight_with_correction", "whole_model_bits_per_parameter", "relative_weight_error", "relative_output_error",
                    "relative_corrected_weight_error", "relative_corrected_output_error", "moved_by_a_token [bit]", "multiply_accumulates [per token]",
                    "relative_area", "area_is"});
    for (const RunView &run : view.runs) {
        const EvaluationReport &report = *run.report;
        table.integer(static_cast<std::int64_t>(run.number)).text(run.name).text(report.title).text(report.created);
        table.text(report.recipe ? report.recipe->name : "").text(run.isMain ? "true" : "false").text(report.fingerprint).text(report.calibration);
        if (report.perplexity) {
            const PerplexityReport &measured = *report.perplexity;
            table.text(measured.source).text(measured.dataSet).text(measured.split);
            table.integer(measured.rows).text(measured.dataHash).text(toString(measured.windowOptions.convention)).integer(measured.windowOptions.length)
                .integer(measured.windows).integer(measured.tokens).text(toString(measured.weighting)).number(measured.perplexity)
                .number(measured.standardError).number(measured.meanNll).number(measured.bitsPerToken);
            // 0 stands for what is not known of the text.
            table.number(measured.bitsPerByte > 0 ? std::optional(measured.bitsPerByte) : std::nullopt);
            table.number(measured.wordPerplexity > 0 ? std::optional(measured.wordPerplexity) : std::nullopt);
        }
        for (int i = report.perplexity ? 16 : 0; i < 16; ++i)
            table.nothing();
        if (report.original)
            table.number(report.original->perplexity).number(report.original->standardError).number(report.original->meanNll);
        for (int i = report.original ? 3 : 0; i < 3; ++i)
            table.nothing();
        if (report.divergence)
            table.number(report.divergence->kl.mean).number(report.divergence->kl.standardError).number(report.divergence->topAgreement.mean);
        for (int i = report.divergence ? 3 : 0; i < 3; ++i)
            table.nothing();
        if (report.footprint) {
            const Footprint &size = *report.footprint;
            table.integer(static_cast<std::int64_t>(size.bytes)).integer(static_cast<std::int64_t>(size.originalBytes)).number(size.stored.weights)
                .number(size.stored.withCorrection).number(size.wholeModelBits);
        }
        for (int i = report.footprint ? 5 : 0; i < 5; ++i)
            table.nothing();
        const LayerError total = totalError(report.layers);
        const bool any = !report.layers.empty();
        table.number(any ? std::optional(total.relativeWeightError()) : std::nullopt);
        table.number(total.outputKnown ? std::optional(total.relativeOutputError()) : std::nullopt);
        table.number(any ? std::optional(total.relativeCorrectedWeightError()) : std::nullopt);
        table.number(total.outputKnown ? std::optional(total.relativeCorrectedOutputError()) : std::nullopt);
        if (const auto cost = reportCost(view.source.model(), view.source.fingerprint(), report, {}))
            table.number(cost->total.movedBits(1)).number(cost->total.macs()).number(cost->total.area()).text(toString(cost->total.basis()));
        else
            table.nothing().nothing().nothing().nothing();
        table.endRow();
    }
    return table.toString();
}

std::string tasksCsv(const ReportView &view)
{
    CsvTable table({"number", "name", "title", "created [UTC]", "checkpoint_fingerprint", "task", "split", "source", "items", "few_shot", "shot_source", "bos", "boundary", "metric", "value",
                    "standard_error"});
    bool any = false;
    for (const RunView &run : view.runs) {
        if (!run.report->tasks)
            continue;
        const auto addRows = [&](const TaskResult &task) {
            for (const TaskMetric &metric : task.metrics) {
                table.integer(static_cast<std::int64_t>(run.number)).text(run.name).text(run.report->title).text(run.report->created).text(run.report->fingerprint);
                table.text(task.task).text(task.split).text(task.source).integer(task.items).integer(task.fewShot).text(task.shotSource);
                table.text(run.report->tasks->rules.bos ? "true" : "false").text(toString(run.report->tasks->rules.boundary)).text(metric.name).number(metric.value);
                table.number(metric.standardError > 0 ? std::optional(metric.standardError) : std::nullopt);
                table.endRow();
                any = true;
            }
        };
        for (const TaskResult &task : run.report->tasks->tasks) {
            addRows(task);
            for (const TaskResult &subject : task.subjects)
                addRows(subject);
        }
    }
    return any ? table.toString() : std::string();
}

}  // namespace lqer
