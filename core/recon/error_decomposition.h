// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/calib/calibration_stats.h"
#include "core/linalg/precision.h"
#include "core/quant/quantizer.h"
#include "core/recon/scaling.h"
#include "core/recon/spectrum_extent.h"
#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// A rank-k correction: W^T ~ W_q^T + A B.
struct LowRankCorrection {
    Matrix a;            // (in, k), as used in the product: already quantized by aFormat
    Matrix b;            // (k, out)
    FormatSpec aFormat;  // number formats of the stored factors
    FormatSpec bFormat;
    Index rank() const { return a.cols(); }
};

// The decomposition of one layer's quantization error under one scaling, good for every rank up to maxRank(). Immutable.
// E = (W - W_q)^T (in, out); V_k top eigenvectors of E^T M E; A = E V_k Sigma_k^-1, B = Sigma_k V_k^T (math.md). A B = E V_k
// V_k^T.
struct ErrorDecomposition {
    ScalingKind scaling = ScalingKind::Identity;
    // (in, kmax), official A = E V Sigma^-1. The sign of each component makes the entry of largest magnitude of A's column
    // positive. Components whose sigma is lost in rounding (sigma^2 below n eps sigma_1^2) are zero in A and in B.
    MatrixF64 a;
    MatrixF64 b;              // (kmax, out): official B = Sigma V^T
    VectorF64 sigma;          // singular values of F E (F^T F = M), descending: all min(in, out), or kmax where only those are known
    VectorF64 sigmaUnscaled;  // singular values of E itself; empty where only leading ones are known, unless the scaling is Identity
    Index sigmaExact = 0, sigmaUnscaledExact = 0;  // so many of each, from the first; the others are estimates (spectrum_estimate.h)
    double totalEnergy = 0;          // ||F E||_F^2 = trace(E^T M E)
    double totalEnergyUnscaled = 0;  // ||E||_F^2

    Index in() const { return a.rows(); }
    Index out() const { return b.cols(); }
    Index maxRank() const { return a.cols(); }
    SpectrumExtent spectrum() const { return spectrumExtent(sigma, sigmaExact, std::min(in(), out())); }
    // First k columns of A and rows of B, quantized as (in, k) and (k, out). Throws Error(Argument) on a rank above maxRank() or
    // min(in, out).
    LowRankCorrection truncate(Index rank, const Quantizer &aFormat, const Quantizer &bFormat) const;
    // sum_{i>k} sigma_i^2: the shaped error that remains, before A and B are quantized.
    double residualEnergy(Index rank) const;
};

struct DecompositionOptions {
    Index maxRank = 0;  // 0, or more than there is: min(in, out)
    // Which singular values. All of them cost a reduction of F E to a band, twice (shaped and not): ten times as long as the factors at
    // order 4096; estimates as long as the factors, twice. attainableSpectrum() says what is given for it.
    SpectrumExtent spectrum = SpectrumExtent::Whole;
    // Of E itself from another decomposition, and how many are exact: where they are what is wanted, they are not computed again.
    VectorF64 sigmaUnscaled = {};
    Index sigmaUnscaledExact = 0;
    // ||F E||^2 of scaling Exact: a product of R and E, which takes as long as the factors do. Without, totalEnergy is 0 where the
    // iteration is used and nothing is estimated.
    bool totalEnergy = true;
    Index exactBelow = 512;        // min(in, out) up to here: always by LAPACK, never by iteration
    // Of the iteration's products, where the processor multiplies bfloat16; it changes which subspace is found, at a cost of 1e-5
    // of its energy at most. What the subspace captures, sigma, A and B come from float products in either.
    Precision precision = Precision::BFloat16;
};

// error = W - W_q as (out, in), the orientation of the weight. Throws Error(Numeric).
//
// Small layers, and ranks above a quarter of the order: the Gram matrix of the smaller side in double. Else block Krylov on x ->
// E^T (M (E x)) and Rayleigh-Ritz, products in float, so that sigma is what A and B really capture (0.9998 of the optimum or
// better at order 4096); the rest of a full spectrum by allSingularValues() of F E in float, or from E^T R E in float where `in` is more
// than twice `out` under exact scaling: there a sigma below 3e-4 of the largest is noise. Peak memory beside the error:
// decompositionBytes().
ErrorDecomposition decompose(const ConstMatrixRef &error, const Scaling &scaling, const DecompositionOptions &options,
                             const TaskContext &context);
// The spectrum that decompose() gives: whole where no iteration is used, never whole above order 16384 where one is.
SpectrumExtent attainableSpectrum(Index out, Index in, const DecompositionOptions &options);
// Bytes that decompose() takes at its worst moment for an error (out, in), beside the error and the statistics.
std::uint64_t decompositionBytes(Index out, Index in, ScalingKind scaling, const DecompositionOptions &options, std::size_t threads);

// trace((E - AB)^T R (E - AB)) and, without R, with diag(E[x^2]): the expected squared output error per token of one layer for
// any correction. error (out, in) = W - W_q, or W itself for the energy of the output; correction may be null (no correction).
// precision: of the products with R, as quadraticForm() takes it.
double outputError(const ConstMatrixRef &error, const LowRankCorrection *correction, const SiteStats &stats,
                   const TaskContext &context, Precision precision = Precision::Float32);
// Bytes that outputError() takes beside its arguments.
std::uint64_t outputErrorBytes(Index out, Index in, std::size_t threads);

}  // namespace lqer
