// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/error_curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lqer {

double ErrorCurve::at(int rank) const
{
    if (left.empty())
        return std::numeric_limits<double>::quiet_NaN();
    return left[static_cast<std::size_t>(std::clamp(rank, 0, static_cast<int>(left.size()) - 1))];
}

ErrorCurve errorCurve(const DecompositionRecord &record)
{
    ErrorCurve curve;
    curve.output = record.outputKnown;
    const double energy = record.outputKnown ? record.outputEnergy : record.weightEnergy;
    const VectorF64 &captured = record.outputKnown ? record.outputCaptured : record.weightCaptured;
    if (!(energy > 0))
        return curve;
    const Index most = std::min(record.in, record.out);
    double rest = record.outputKnown ? record.outputError : record.weightError;
    curve.left.push_back(std::sqrt(rest / energy));
    for (Index k = 0; k < std::min(captured.size(), most); ++k) {
        rest = std::max(0.0, rest - captured[k]);
        curve.left.push_back(std::sqrt(rest / energy));
    }
    // Summed from the small end, so that the last singular values do not drown in the sum.
    std::vector<double> tail(static_cast<std::size_t>(record.sigma.size()) + 1, 0.0);
    for (Index k = record.sigma.size(); k-- > 0;)
        tail[static_cast<std::size_t>(k)] = tail[static_cast<std::size_t>(k) + 1] + record.sigma[k] * record.sigma[k];
    const auto kept = curve.left.size() - 1;
    const double lastKept = curve.left.back();
    for (std::size_t k = kept + 1; k < tail.size(); ++k)
        curve.left.push_back(tail[kept] > 0 ? lastKept * std::sqrt(tail[k] / tail[kept]) : 0.0);
    return curve;
}

}  // namespace lqer
