// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/calib/calibration_stats.h"
#include "core/eval/report.h"
#include "core/model/transformer.h"
#include "core/project/decomposition_record.h"
#include "core/quant/quantizer.h"
#include "core/recipe/quantization_recipe.h"
#include "core/recon/error_decomposition.h"
#include "core/task/task_context.h"

namespace lqer {

// What an exporter wants to have of a layer. Each part costs time and memory, so ask for what is written only.
struct LayerParts {
    bool original = false;    // W
    bool quantized = false;   // W_q
    bool encoded = false;     // W_q as codes and scales
    bool correction = false;  // A and B
    bool bias = false;
};

// One linear layer as the recipe makes it. Weights are (out, in), whatever way round the checkpoint stores them. A layer that the
// recipe does not quantize has W for W_q, nothing encoded, no correction and its own bias.
struct ExportLayer {
    Matrix original;                         // W, float32 as the checkpoint's values are
    Matrix quantized;                        // W_q dequantized, float32, the very numbers that evaluation multiplies by
    std::optional<QuantizedWeight> encoded;  // decodes to `quantized`, bit by bit
    LowRankCorrection correction;            // A (in, k), B (k, out) as the plan's formats keep them, dequantized; rank 0 without
    Vector bias;                             // as its format keeps it, dequantized; empty without one
};

// What is exported: a checkpoint, a recipe, and what a project knows about both, read layer by layer. Implemented by the engine, and by
// tests. One layer is in memory at a time: whatever an exporter takes from layer() it lets go before it asks for the next.
// The same source gives the same bits every time, with any number of threads. Thread-safe.
class ExportSource {
public:
    virtual ~ExportSource() = default;

    // The original model: configuration, linear layers in forward order, layout, checkpoint with all other tensors.
    virtual const Transformer &model() const = 0;
    // For people: the name of the checkpoint's folder.
    virtual std::string modelName() const = 0;
    // Checkpoint::fingerprint().
    virtual std::string fingerprint() const = 0;
    virtual const QuantizationRecipe &recipe() const = 0;
    // The recipe decided for every layer and block of the model.
    virtual const ModelPlan &plan() const = 0;

    // Computes the parts now. Throws Error(NotFound) if a correction has not been decomposed up to the plan's rank, Error(Numeric)
    // naming the tensor, Cancelled.
    virtual ExportLayer layer(const LinearSite &site, const LayerParts &parts, const TaskContext &context) const = 0;

    // What calibration saw, without autocorrelation matrices; null if the project has no statistics.
    virtual std::shared_ptr<const CalibrationStats> statistics() const = 0;
    // One input (ActivationSite::name) with its autocorrelation matrix, if that was collected; null without statistics.
    virtual std::shared_ptr<const SiteStats> siteStatistics(const std::string &activationSite) const = 0;
    // Spectra and energies of the decomposition that the plan uses for this layer; null without a correction.
    virtual std::shared_ptr<const DecompositionRecord> decomposition(const LinearSite &site) const = 0;
    // The same with factors up to the stored rank, before they are quantized (float32 precision).
    virtual std::shared_ptr<const ErrorDecomposition> factors(const LinearSite &site) const = 0;

    // All reports of the project, oldest first.
    virtual std::vector<std::shared_ptr<const EvaluationReport>> reports() const = 0;

    const Checkpoint &checkpoint() const { return model().checkpoint(); }
    // Asserts that the layer is one of the model's.
    const LayerPlan &planFor(const LinearSite &site) const;
    // Whether the recipe gives this layer a correction.
    bool isCorrected(const LinearSite &site) const;
    // Largest rank of any correction; 0 without.
    Index largestRank() const;
    // The newest report that measured this very recipe on this checkpoint; null if nothing did.
    std::shared_ptr<const EvaluationReport> measured() const;
};

}  // namespace lqer
