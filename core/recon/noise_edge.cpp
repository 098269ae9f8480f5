// SPDX-License-Identifier: Apache-2.0
#include "core/recon/noise_edge.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/check.h"

namespace lqer {

namespace {

double aspectRatio(Index rows, Index cols)
{
    LQER_ASSERT(rows > 0 && cols > 0);
    return static_cast<double>(std::min(rows, cols)) / static_cast<double>(std::max(rows, cols));
}

// Mass of the law below the angle theta in [0, pi] of x = 1 + beta - 2 sqrt(beta) cos(theta). In this variable the density
// sqrt((b - x)(x - a)) / (2 pi beta x) dx becomes the smooth 2 sin^2(theta) / (pi x) dtheta (Simpson's rule).
double massBelow(double theta, double beta)
{
    constexpr int steps = 2048;
    const double h = theta / steps;
    const auto density = [beta](double angle) {
        const double x = 1.0 + beta - 2.0 * std::sqrt(beta) * std::cos(angle);
        const double sine = std::sin(angle);
        // At beta = 1, theta -> 0: x = theta^2 and the quotient tends to 2 / pi.
        return x > 1e-300 ? 2.0 * sine * sine / (std::numbers::pi * x) : 2.0 / std::numbers::pi;
    };
    double sum = density(0.0) + density(theta);
    for (int i = 1; i < steps; ++i)
        sum += (i % 2 ? 4.0 : 2.0) * density(i * h);
    return sum * h / 3.0;
}

Index countAbove(const VectorF64 &sigma, double threshold)
{
    return std::count_if(sigma.begin(), sigma.end(), [&](double value) { return value > threshold; });
}

}  // namespace

double noiseEdge(Index rows, Index cols, double variance)
{
    LQER_ASSERT(rows > 0 && cols > 0 && variance >= 0);
    return std::sqrt(variance) * (std::sqrt(static_cast<double>(rows)) + std::sqrt(static_cast<double>(cols)));
}

double marchenkoPasturMedian(double beta)
{
    LQER_ASSERT(beta > 0 && beta <= 1);
    double low = 0;
    double high = std::numbers::pi;
    for (int i = 0; i < 60; ++i) {
        const double middle = 0.5 * (low + high);
        (massBelow(middle, beta) < 0.5 ? low : high) = middle;
    }
    return 1.0 + beta - 2.0 * std::sqrt(beta) * std::cos(0.5 * (low + high));
}

double gavishDonohoThreshold(Index rows, Index cols, double medianSigma)
{
    const double beta = aspectRatio(rows, cols);
    const double lambda = std::sqrt(2.0 * (beta + 1.0) + 8.0 * beta / (beta + 1.0 + std::sqrt(beta * beta + 14.0 * beta + 1.0)));
    return lambda / std::sqrt(marchenkoPasturMedian(beta)) * medianSigma;
}

NoiseLevel noiseLevel(const VectorF64 &sigma, Index rows, Index cols)
{
    LQER_ASSERT(sigma.size() == std::min(rows, cols));
    const Index n = sigma.size();
    const double median = 0.5 * (sigma[(n - 1) / 2] + sigma[n / 2]);
    NoiseLevel level;
    level.variance
        = median * median / (marchenkoPasturMedian(aspectRatio(rows, cols)) * static_cast<double>(std::max(rows, cols)));
    level.edge = noiseEdge(rows, cols, level.variance);
    level.threshold = gavishDonohoThreshold(rows, cols, median);
    level.aboveEdge = countAbove(sigma, level.edge);
    level.aboveThreshold = countAbove(sigma, level.threshold);
    return level;
}

}  // namespace lqer
