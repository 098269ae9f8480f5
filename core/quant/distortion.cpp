// SPDX-License-Identifier: Apache-2.0
#include "core/quant/distortion.h"

#include <cmath>
#include <limits>

#include "core/base/check.h"

namespace lqer {

double Distortion::relativeSquaredError() const
{
    if (errorEnergy == 0)
        return 0;
    return signalEnergy > 0 ? errorEnergy / signalEnergy : std::numeric_limits<double>::infinity();
}

double Distortion::meanSquaredError() const { return elements == 0 ? 0 : errorEnergy / static_cast<double>(elements); }

double Distortion::sqnr() const { return -10 * std::log10(relativeSquaredError()); }

Distortion distortion(std::span<const float> x, std::span<const float> y)
{
    LQER_ASSERT(x.size() == y.size());
    Distortion result;
    result.elements = x.size();
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double error = static_cast<double>(x[i]) - static_cast<double>(y[i]);
        result.errorEnergy += error * error;
        result.signalEnergy += static_cast<double>(x[i]) * static_cast<double>(x[i]);
        if (std::fabs(error) > result.maxError) {
            result.maxError = std::fabs(error);
            result.maxErrorIndex = i;
        }
    }
    return result;
}

}  // namespace lqer
