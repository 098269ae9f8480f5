// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "core/calib/calibration_stats.h"
#include "core/quant/quantizer.h"
#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// By what the quantization error is weighted before its leading part is taken (math.md, "One optimum, one formula").
enum class ScalingKind {
    Identity,   // M = I            plain SVD of the error
    MeanAbs,    // M = diag(s^2)    LQER / L2QER, s = calibrated mean magnitude
    Diagonal,   // M = diag(E[x^2]) QERA-approx
    Exact,      // M = R            QERA-exact
};
std::string_view toString(ScalingKind kind);  // "identity", "lqer", "diag", "exact"
// Also takes the papers' names: "diagonal", "rxx", "mean-abs". Throws Error(Argument).
ScalingKind scalingFromString(std::string_view name);

// The weighting of one activation site: x -> M x without ever forming a square root or an inverse.
class Scaling {
public:
    // stats may be null for Identity. Throws Error(Argument) if the statistics lack what the kind needs.
    Scaling(ScalingKind kind, std::shared_ptr<const SiteStats> stats, Index features);
    ScalingKind kind() const { return m_kind; }
    Index features() const { return m_features; }
    // y = M x, both (features, columns).
    void apply(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context = {}) const;
    void apply(const ConstMatrixF64Ref &x, MatrixF64Ref y, const TaskContext &context = {}) const;
    // For vector scalings: the square of the scale; empty for Exact.
    const VectorF64 &diagonal() const { return m_diagonal; }
    // For Exact: M; empty otherwise.
    const MatrixF64 &matrix() const { return m_matrix; }

private:
    ScalingKind m_kind;
    Index m_features;
    VectorF64 m_diagonal;
    MatrixF64 m_matrix;
};

// A rank-k correction: W^T ~ W_q^T + A B.
struct LowRankCorrection {
    Matrix a;            // (in, k), as used in the product: already quantized by aFormat
    Matrix b;            // (k, out)
    FormatSpec aFormat;  // number formats of the stored factors
    FormatSpec bFormat;
    Index rank() const { return a.cols(); }
};

// The decomposition of one layer's quantization error under one scaling, good for every rank up to maxRank(). Immutable.
// E = (W - W_q)^T (in, out); V_k top eigenvectors of E^T M E; A = E V_k Sigma_k^-1, B = Sigma_k V_k^T (math.md).
struct ErrorDecomposition {
    ScalingKind scaling = ScalingKind::Identity;
    MatrixF64 a;                 // (in, kmax): official A = E V Sigma^-1
    MatrixF64 b;                 // (kmax, out): official B = Sigma V^T
    VectorF64 sigma;             // singular values of F E, descending, all min(in, out) of them if spectrumComplete, else kmax
    VectorF64 sigmaUnscaled;     // singular values of E itself, before shaping
    bool spectrumComplete = true;
    double totalEnergy = 0;         // ||F E||_F^2 = trace(E^T M E)
    double totalEnergyUnscaled = 0; // ||E||_F^2
    double weightEnergy = 0;        // ||W||_F^2
    double outputEnergy = 0;        // trace(W M' W^T) with M' = E[x^T x] or diag, the expected squared output per token; 0 if unknown

    Index maxRank() const { return a.cols(); }
    // First k columns of A and rows of B, quantized. k <= maxRank().
    LowRankCorrection truncate(Index rank, const Quantizer &aFormat, const Quantizer &bFormat) const;
    // sum_{i>k} sigma_i^2: the shaped error that remains, before A and B are quantized.
    double residualEnergy(Index rank) const;
};

struct DecompositionOptions {
    Index maxRank = 0;              // 0: min(in, out)
    bool fullSpectrum = true;       // all singular values (from the smaller Gram matrix) or the leading ones only
    Index exactBelow = 1024;        // min(in, out) up to here: eigenvectors of the Gram matrix by LAPACK instead of block Krylov
};

// error = W - W_q as (out, in), the orientation of the weight. Throws Error(Numeric).
ErrorDecomposition decompose(const ConstMatrixRef &error, const Scaling &scaling, const DecompositionOptions &options,
                             const TaskContext &context);

// trace((E - AB)^T R (E - AB)) and, without R, with diag(E[x^2]): the expected squared output error per token of one layer for
// any correction. error (out, in) = W - W_q; correction may be null (no correction).
double outputError(const ConstMatrixRef &error, const LowRankCorrection *correction, const SiteStats &stats, const TaskContext &context);

}  // namespace lqer
