// SPDX-License-Identifier: Apache-2.0
#include "core/calib/calibration_stats.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/processor.h"
#include "core/linalg/gemm.h"
#include "core/tensor/tensor.h"

namespace lqer {

namespace {

// Part of every key: to be raised when the way the statistics are computed changes.
constexpr std::string_view statisticsVersion = "statistics 1";

// The smallest magnitude LQER's scale keeps (numerics.md B.1).
constexpr double lqerLeast = 1e-4;

void checkFinite(const ConstMatrixRef &x)
{
    for (Index token = 0; token < x.rows(); ++token) {
        std::size_t channel = 0;
        if (countNonFinite({x.data() + token * x.outerStride(), static_cast<std::size_t>(x.cols())}, &channel) > 0)
            throw Error(ErrorCode::Numeric, fmt::format("activation is {} at token {}, channel {}",
                                                        x(token, static_cast<Index>(channel)), token, channel));
    }
}

}  // namespace

VectorF64 SiteStats::lqerScale() const
{
    const VectorF64 scale = maxMeanAbs.cwiseMax(lqerLeast);
    return scale.size() == 0 ? scale : VectorF64(scale / std::sqrt(scale.minCoeff() * scale.maxCoeff()));
}

VectorF64 SiteStats::diagonalScale() const
{
    LQER_ASSERT(tokens > 0);
    return (sumSquares / static_cast<double>(tokens)).cwiseSqrt();
}

MatrixF64 SiteStats::meanAutocorrelation() const
{
    LQER_ASSERT(tokens > 0 && hasAutocorrelation());
    return autocorrelation / static_cast<double>(tokens);
}

std::string CalibrationStats::key() const
{
    std::string text = fmt::format("windows {}, length {}, batch {}, autocorrelation {}", windows, windowLength,
                                   options.batch, options.autocorrelation);
    if (options.precision != Precision::Float32)  // keys from before there was a choice stay as they are
        text += fmt::format(", precision {}", toString(options.precision));
    return Hasher().add(statisticsVersion).add(model).add(data).add(dataHash).add(text).hex();
}

SiteAccumulator::SiteAccumulator(Index features, const CalibrationOptions &options) : m_options(options)
{
    LQER_ASSERT(features > 0 && options.batch > 0);
    m_stats.maxMeanAbs = VectorF64::Zero(features);
    m_stats.sumSquares = VectorF64::Zero(features);
    m_stats.maxAbs = VectorF64::Zero(features);
    if (options.autocorrelation)
        m_stats.autocorrelation = MatrixF64::Zero(features, features);
    m_batchAbs = VectorF64::Zero(features);
}

void SiteAccumulator::feed(const ConstMatrixRef &x, const TaskContext &context)
{
    LQER_ASSERT(x.cols() == m_stats.features());
    checkFinite(x);
    // Some channels of all tokens at a time, whose sums stay in the cache; a channel's own additions keep their order.
    constexpr Index channelsAtOnce = 512;
    parallelFor(context.silent(), x.cols(), channelsAtOnce, [&](Index first, Index end) {
        forProcessor([&, sum = m_batchAbs.data(), most = m_stats.maxAbs.data(), squares = m_stats.sumSquares.data()] {
            for (Index token = 0; token < x.rows(); ++token) {
                const float *values = x.data() + token * x.outerStride();
                for (Index channel = first; channel < end; ++channel) {
                    const double magnitude = std::abs(static_cast<double>(values[channel]));
                    sum[channel] += magnitude;
                    most[channel] = most[channel] < magnitude ? magnitude : most[channel];
                    squares[channel] += magnitude * magnitude;
                }
            }
        });
    });
    if (m_options.autocorrelation) {
        if (m_options.precision == Precision::BFloat16) {
            MatrixPool pool;
            addGramLower(Bf16Rows(x, pool, context.silent()), m_stats.autocorrelation, context.silent());
        } else {
            addGramLower(x, m_stats.autocorrelation, context.silent());
        }
        // A product of two channels is at most the mean of their squares, so the diagonal overflows first.
        for (Index channel = 0; channel < x.cols(); ++channel)
            if (!std::isfinite(m_stats.autocorrelation(channel, channel)))
                throw Error(ErrorCode::Numeric, fmt::format("the sum of squares of channel {} overflows float32", channel));
    }
    m_stats.tokens += x.rows();
    m_batchTokens += x.rows();
    if (++m_batchWindows == m_options.batch)
        closeBatch();
}

void SiteAccumulator::closeBatch()
{
    if (m_batchTokens > 0)
        m_stats.maxMeanAbs = m_stats.maxMeanAbs.cwiseMax(m_batchAbs / static_cast<double>(m_batchTokens));
    m_batchAbs.setZero();
    m_batchTokens = 0;
    m_batchWindows = 0;
}

SiteStats SiteAccumulator::finish()
{
    closeBatch();
    if (m_options.autocorrelation)
        fillUpper(m_stats.autocorrelation);
    return std::move(m_stats);
}

}  // namespace lqer
