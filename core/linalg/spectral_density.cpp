// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/spectral_density.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "core/base/check.h"
#include "core/linalg/block_krylov.h"

namespace lqer {

namespace {

// A Ritz value is off by at most the length of its residual, and by its square over the gap to the others: so small against theta, it is an
// eigenvalue.
constexpr double converged = 1e-2;
// Share of the way to a weight of zero that the correction of weights goes at most.
constexpr double mostTilt = 0.9;
// Weight of Ritz values that belong to fresh random blocks: nothing but rounding.
constexpr double unseen = 1e-9;

// The quadrature of the spectrum of G, descending.
struct Quadrature {
    VectorF64 theta;     // >= 0
    VectorF64 weight;    // how many eigenvalues each stands for; they add up to n
    VectorF64 residual;  // |G v - theta v|
};

// firstBlock, b: rows of the start block.
Quadrature quadratureOf(const BlockKrylov &krylov, Index firstBlock)
{
    const SymmetricEigen eigen = symmetricEigen(krylov.projected());
    const MatrixF64 residual = krylov.residual().cast<double>();
    const MatrixF64 outside = residual * residual.transpose();
    const MatrixF64 last = eigen.vectors.bottomRows(residual.rows());
    const double share = static_cast<double>(residual.cols()) / static_cast<double>(firstBlock);
    Quadrature found;
    found.theta = eigen.values.reverse().cwiseMax(0.0);
    found.weight = share * eigen.vectors.topRows(firstBlock).colwise().squaredNorm().reverse().transpose();
    found.residual = last.cwiseProduct(outside * last).colwise().sum().reverse().transpose().cwiseMax(0.0).cwiseSqrt();
    return found;
}

// How many leading Ritz values are eigenvalues, each one copy. The weight of such is a mean of b squares of random coordinates, 1 on average
// with variance 2/b; where a sum of them is far above that, there are more copies than the start block could see.
Index convergedCount(const Quadrature &found, Index firstBlock)
{
    double weight = 0;
    Index count = 0;
    for (; count < found.theta.size() && found.residual[count] <= converged * found.theta[count]; ++count) {
        const double expected = static_cast<double>(count + 1);
        weight += found.weight[count];
        if (weight > expected + 1 + 4 * std::sqrt(2 * expected / static_cast<double>(firstBlock)))
            break;
    }
    return count;
}

// `count` values read off nodes of which each stands for weight_i of them, descending. The nodes crowd in bands, one per block of the
// space, so the values lie on a line through the means of every `band` neighbours, which goes on straight for the outer halves of the first
// and the last band.
VectorF64 readOff(const VectorF64 &sigma, const VectorF64 &weight, Index count, Index band)
{
    const Index nodes = sigma.size();
    VectorF64 begin = VectorF64::Zero(nodes + 1), area = VectorF64::Zero(nodes + 1);
    for (Index i = 0; i < nodes; ++i) {
        begin[i + 1] = begin[i] + weight[i];
        area[i + 1] = area[i] + weight[i] * sigma[i];
    }
    band = std::clamp(band, Index(1), std::max(Index(1), nodes / 2));
    const Index last = nodes - band;
    const auto position = [&](Index i) { return 0.5 * (begin[i] + begin[i + band]); };
    const auto mean = [&](Index i) { return (area[i + band] - area[i]) / (begin[i + band] - begin[i]); };
    VectorF64 values = VectorF64::Constant(count, sigma[0]);
    Index right = 1;
    for (Index i = 0; i < count && last > 0; ++i) {
        const double at = static_cast<double>(i) + 0.5;
        while (right < last && position(right) < at)
            ++right;
        Index from = right - 1, to = right;
        if (at < position(0))
            to = band;
        else if (at > position(last))
            from = last - band;
        const double slope = (mean(to) - mean(from)) / (position(to) - position(from));
        values[i] = std::clamp(mean(from) + (at - position(from)) * slope, 0.0, sigma[0]);
    }
    return values;
}

// `count` values >= 0 with the sum `trace`, distributed as the nodes are.
VectorF64 distributed(const VectorF64 &nodes, const VectorF64 &weights, Index count, double trace, Index firstBlock)
{
    std::vector<Index> seen;  // by the start block
    for (Index i = 0; i < nodes.size(); ++i)
        if (weights[i] > unseen)
            seen.push_back(i);
    if (count == 0 || seen.empty())
        return VectorF64::Zero(count);
    const VectorF64 theta = nodes(seen);
    VectorF64 weight = weights(seen);
    weight *= static_cast<double>(count) / weight.sum();
    // What is random in the weights is corrected where it shows, in the mean: linear in theta, which changes them least.
    const double mean = weight.dot(theta) / static_cast<double>(count);
    const VectorF64 offset = theta.array() - mean;
    const double variance = weight.dot(offset.cwiseAbs2());
    if (variance > 0) {
        const double most = mostTilt / offset.cwiseAbs().maxCoeff();
        weight.array() *= 1 + std::clamp((trace - mean * static_cast<double>(count)) / variance, -most, most) * offset.array();
    }
    const VectorF64 values = readOff(theta.cwiseSqrt(), weight, count, firstBlock).cwiseAbs2();
    return values.sum() > 0 ? VectorF64(values * (trace / values.sum())) : values;
}

}  // namespace

VectorF64 estimatedSingularValues(Index n, double trace, const GramOperator &gramOperator, const SpectralDensityOptions &options,
                                  const TaskContext &context)
{
    LQER_ASSERT(n >= 0 && trace >= 0 && options.block >= 1 && options.blocks >= 1);
    VectorF64 squares = VectorF64::Zero(n);
    if (n == 0)
        return squares;
    const Index most = std::min(n, options.block * options.blocks);
    BlockKrylov krylov(n, options.block, most, options.seed);
    Index firstBlock = 0;
    while ((krylov.blocks() < options.blocks || most == n) && krylov.extend(gramOperator, context))
        if (krylov.blocks() == 1)
            firstBlock = krylov.size();
    const Quadrature found = quadratureOf(krylov, firstBlock);
    const Index count = found.theta.size() == n ? n : convergedCount(found, firstBlock);
    const Index rest = found.theta.size() - count;
    squares.head(count) = found.theta.head(count);
    const double left = std::max(0.0, trace - squares.sum());
    squares.tail(n - count) = distributed(found.theta.tail(rest), found.weight.tail(rest), n - count, left, firstBlock);
    std::sort(squares.begin(), squares.end(), std::greater<>());
    const double sum = squares.sum();
    return sum > 0 ? VectorF64((squares * (trace / sum)).cwiseSqrt()) : squares;
}

}  // namespace lqer
