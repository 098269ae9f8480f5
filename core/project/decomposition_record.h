// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/quant/format_spec.h"
#include "core/recon/error_decomposition.h"

namespace lqer {

// Which decomposition: everything its numbers depend on, and not the rank, so that changing the rank costs nothing.
struct DecompositionKey {
    std::string layer;        // LinearSite::name
    std::string weight;       // fingerprint of the weight
    FormatSpec format;        // of W_q
    ScalingKind scaling = ScalingKind::Identity;
    std::string calibration;  // CalibrationStats::key(); "" without: then output errors are not known
    std::string base = {};    // fingerprint of the existing quantization that W_q was read from; "": `format` computed it

    // 32 hexadecimal digits.
    std::string text() const;
    friend bool operator==(const DecompositionKey &, const DecompositionKey &) = default;
};

// What is known of a stored decomposition without reading its factors. With v_i the kept directions and C_k = E V_k V_k^T the
// correction of rank k, an error ||F (E - C_k)||^2 of any weighting F is ||F E||^2 - sum_{i<=k} ||F E v_i||^2, so three short
// vectors give every curve against the rank, before A and B are quantized. Energies: squared Frobenius norms; output energies are
// expected values per token.
struct DecompositionRecord {
    DecompositionKey key;
    Index in = 0, out = 0;
    Index maxRank = 0;               // factors are kept up to this rank
    bool outputKnown = false;        // there were statistics
    bool fullAutocorrelation = false;  // ... and they held R, not only its diagonal

    double weightEnergy = 0;  // ||W||^2
    double weightError = 0;   // ||E||^2, E = (W - W_q)^T
    double outputEnergy = 0;  // E ||x W^T||^2
    double outputError = 0;   // E ||x E||^2
    double totalEnergy = 0;   // ||F E||^2 under the decomposition's own scaling

    VectorF64 sigma;           // singular values of F E, descending: all min(in, out), or the leading maxRank
    VectorF64 sigmaUnscaled;   // of E; or none
    Index sigmaExact = 0, sigmaUnscaledExact = 0;  // so many of each, from the first; the others are estimates (spectrum_estimate.h)
    VectorF64 weightCaptured;  // ||E v_i||^2, maxRank of them
    VectorF64 outputCaptured;  // E ||x E v_i||^2, maxRank of them; empty if not known

    SpectrumExtent spectrum() const { return spectrumExtent(sigma, sigmaExact, std::min(in, out)); }
    // What is left with a correction of this rank; rank 0: without. Asserts rank <= maxRank for the last two.
    double residualEnergy(Index rank) const;
    double correctedWeightError(Index rank) const;
    double correctedOutputError(Index rank) const;
};

}  // namespace lqer
