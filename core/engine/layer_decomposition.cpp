// SPDX-License-Identifier: Apache-2.0
#include "core/engine/layer_decomposition.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/engine/engine_state.h"
#include "core/recon/error_gram.h"

namespace lqer {

namespace {

// E ||x E v_i||^2 for every kept direction. E v_i = sigma_i a_i, so this is sigma_i^2 a_i^T R a_i, under exact scaling sigma_i^2.
VectorF64 capturedOutput(const ErrorDecomposition &decomposition, const std::shared_ptr<const SiteStats> &stats, const TaskContext &context)
{
    const MatrixF64 &a = decomposition.a;
    const VectorF64 sigma2 = decomposition.sigma.head(decomposition.maxRank()).cwiseAbs2();
    if (!stats->hasAutocorrelation())
        return (a.cwiseAbs2().transpose() * (stats->sumSquares / static_cast<double>(stats->tokens))).cwiseProduct(sigma2);
    if (decomposition.scaling == ScalingKind::Exact)
        return (a.colwise().squaredNorm().array() > 0).select(sigma2.transpose(), 0.0).transpose();
    const Scaling exact(ScalingKind::Exact, stats, a.rows());
    const FloatScaling r(exact, false, context);
    const Matrix product = r.times(a.cast<float>(), context);
    return r.unit() * product.cast<double>().cwiseProduct(a).colwise().sum().transpose().cwiseProduct(sigma2);
}

}  // namespace

Index storedRank(Index wanted, Index planned, Index in, Index out)
{
    const Index all = std::min(in, out);
    return std::min(all, std::max(wanted > 0 ? wanted : std::min(all, defaultStoredRank), planned));
}

DecompositionOptions decompositionOptions(const LinearSite &site, const LayerPlan &plan, const DecomposeOptions &options)
{
    DecompositionOptions layer;
    layer.maxRank = storedRank(options.maxRank, plan.rank, site.in, site.out);
    layer.spectrum = options.spectrum;
    layer.precision = options.precision;
    return layer;
}

LayerDecomposition decomposeSite(const LoadedModel &model, const LinearSite &site, const DecompositionKey &key,
                                 std::shared_ptr<const SiteStats> stats, const DecompositionOptions &options, const TaskContext &context)
{
    LayerDecomposition result;
    DecompositionRecord &record = result.record;
    record.key = key;
    record.in = site.in;
    record.out = site.out;
    record.outputKnown = stats != nullptr;
    record.fullAutocorrelation = stats && stats->hasAutocorrelation();

    Matrix error;
    {
        const Matrix weight = model.transformer().readWeight(site, context);
        record.weightEnergy = weight.cast<double>().squaredNorm();
        if (stats)
            record.outputEnergy = outputError(weight, nullptr, *stats, context, options.precision);
        error = weightError(model, site, key.format, weight, context);
        if (model.base())
            requireQuantizationOf(record.weightEnergy, error.cast<double>().squaredNorm(), *model.base(), site);
    }
    context.checkStop();
    // Under exact scaling ||F E||^2 is the output error itself.
    const bool shapedByOutput = key.scaling == ScalingKind::Exact;
    if (stats && !shapedByOutput)
        record.outputError = outputError(error, nullptr, *stats, context, options.precision);
    context.checkStop();
    releaseFreedMemory();  // pieces of W and of the bands are no use to the larger matrices that follow
    result.decomposition = decompose(error, Scaling(key.scaling, stats, site.in), options, context);

    const ErrorDecomposition &decomposition = result.decomposition;
    record.maxRank = decomposition.maxRank();
    record.weightError = decomposition.totalEnergyUnscaled;
    record.totalEnergy = decomposition.totalEnergy;
    if (shapedByOutput)
        record.outputError = decomposition.totalEnergy;
    record.sigma = decomposition.sigma;
    record.sigmaUnscaled = decomposition.sigmaUnscaled;
    record.sigmaExact = decomposition.sigmaExact;
    record.sigmaUnscaledExact = decomposition.sigmaUnscaledExact;
    record.weightCaptured =
        decomposition.a.cwiseAbs2().colwise().sum().transpose().cwiseProduct(decomposition.sigma.head(record.maxRank).cwiseAbs2());
    if (stats)
        record.outputCaptured = capturedOutput(decomposition, stats, context);
    return result;
}

}  // namespace lqer
