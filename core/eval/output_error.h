// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "core/calib/calibration_stats.h"
#include "core/io/json.h"
#include "core/recipe/layer_plan.h"
#include "core/recon/error_decomposition.h"

namespace lqer {

// What quantization did to one layer. Energies are squared Frobenius norms; output energies are expected values per token,
// trace(X^T R X) with R = E[x^T x], or with its diagonal where only that was collected. Corrected: W_q + (A B)^T in place of W_q.
struct LayerError {
    std::string layer;
    double weightEnergy = 0;           // ||W||^2
    double weightError = 0;            // ||W - W_q||^2
    double correctedWeightError = 0;   // ||W - W_q - (A B)^T||^2
    bool outputKnown = false;          // the site has statistics
    bool fullAutocorrelation = false;  // they hold R, not only its diagonal
    double outputEnergy = 0;           // E ||x W^T||^2
    double outputError = 0;            // E ||x (W - W_q)^T||^2
    double correctedOutputError = 0;

    // sqrt(error / energy): the relative errors a table shows; 0 where the energy is 0.
    double relativeWeightError() const;
    double relativeCorrectedWeightError() const;
    double relativeOutputError() const;
    double relativeCorrectedOutputError() const;

    Json toJson() const;
    static LayerError fromJson(const JsonReader &json);
    friend bool operator==(const LayerError &, const LayerError &) = default;
};

// All layers together: energies and errors added up, so that the relative errors are those of the whole. outputKnown only if it is known of
// every layer and there are any.
LayerError totalError(std::span<const LayerError> layers);

// weight, quantized: (out, in). correction may be null (then corrected = uncorrected), stats may be null (output unknown).
// Throws Error(Shape) naming the layer.
LayerError layerError(const std::string &layer, const ConstMatrixRef &weight, const ConstMatrixRef &quantized,
                      const LowRankCorrection *correction, const SiteStats *stats, const TaskContext &context);

}  // namespace lqer
