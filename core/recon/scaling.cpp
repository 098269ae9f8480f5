// SPDX-License-Identifier: Apache-2.0
#include "core/recon/scaling.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/linalg/gemm.h"

namespace lqer {

std::string_view toString(ScalingKind kind)
{
    switch (kind) {
    case ScalingKind::Identity:
        return "identity";
    case ScalingKind::MeanAbs:
        return "lqer";
    case ScalingKind::Diagonal:
        return "diag";
    case ScalingKind::Exact:
        return "exact";
    }
    failedCheck("known scaling", __FILE__, __LINE__);
}

ScalingKind scalingFromString(std::string_view name)
{
    for (const ScalingKind kind : {ScalingKind::Identity, ScalingKind::MeanAbs, ScalingKind::Diagonal, ScalingKind::Exact})
        if (name == toString(kind))
            return kind;
    if (name == "mean-abs")
        return ScalingKind::MeanAbs;
    if (name == "diagonal")
        return ScalingKind::Diagonal;
    if (name == "rxx")
        return ScalingKind::Exact;
    throw Error(ErrorCode::Argument,
                fmt::format("scaling '{}' is not one of identity, lqer (mean-abs), diag (diagonal), exact (rxx)", escaped(name)));
}

Scaling::Scaling(ScalingKind kind, std::shared_ptr<const SiteStats> stats, Index features)
    : m_kind(kind), m_features(features), m_stats(std::move(stats))
{
    if (kind == ScalingKind::Identity) {
        m_diagonal = VectorF64::Ones(features);
        m_stats.reset();
        return;
    }
    if (!m_stats || m_stats->tokens <= 0)
        throw Error(ErrorCode::Argument, fmt::format("scaling '{}' needs calibration statistics", toString(kind)));
    if (m_stats->features() != features)
        throw Error(ErrorCode::Shape,
                    fmt::format("the layer has {} inputs, the statistics cover {}", features, m_stats->features()));
    if (kind == ScalingKind::Exact) {
        if (!m_stats->hasAutocorrelation())
            throw Error(ErrorCode::Argument, "scaling 'exact' needs statistics with the autocorrelation matrix");
        if (m_stats->autocorrelation.rows() != features || m_stats->autocorrelation.cols() != features)
            throw Error(ErrorCode::Shape, fmt::format("the layer has {} inputs, the autocorrelation matrix is {}x{}", features,
                                                      m_stats->autocorrelation.rows(), m_stats->autocorrelation.cols()));
        m_diagonal = m_stats->autocorrelation.diagonal() / tokens();
        return;
    }
    if (kind == ScalingKind::MeanAbs && !m_stats->hasMagnitudes())
        throw Error(ErrorCode::Argument, "scaling 'lqer' needs statistics with mean magnitudes, these have mean squares only");
    if (kind == ScalingKind::MeanAbs && m_stats->maxMeanAbs.size() != features)
        throw Error(ErrorCode::Shape,
                    fmt::format("the layer has {} inputs, the mean magnitudes cover {}", features, m_stats->maxMeanAbs.size()));
    m_diagonal = (kind == ScalingKind::MeanAbs ? m_stats->lqerScale() : m_stats->diagonalScale()).cwiseAbs2();
    m_stats.reset();
}

Scaling Scaling::fromVector(ScalingKind kind, const VectorF64 &scale)
{
    LQER_ASSERT(kind == ScalingKind::MeanAbs || kind == ScalingKind::Diagonal);
    Scaling scaling(ScalingKind::Identity, nullptr, scale.size());
    scaling.m_kind = kind;
    scaling.m_diagonal = scale.cwiseAbs2();
    return scaling;
}

Scaling Scaling::fromAutocorrelation(MatrixF64 mean)
{
    auto stats = std::make_shared<SiteStats>();
    stats->tokens = 1;
    stats->sumSquares = mean.diagonal();
    stats->autocorrelation = std::move(mean);
    const Index features = stats->features();
    return {ScalingKind::Exact, std::move(stats), features};
}

void Scaling::apply(const ConstMatrixF64Ref &x, MatrixF64Ref y, const TaskContext &context) const
{
    LQER_ASSERT(x.rows() == m_features && y.rows() == m_features && x.cols() == y.cols());
    if (m_kind == ScalingKind::Exact) {
        multiply(sum(), x, y, context);
        y /= tokens();
    } else {
        y = m_diagonal.asDiagonal() * x;
    }
}

const MatrixF64 &Scaling::sum() const
{
    LQER_ASSERT(m_kind == ScalingKind::Exact);
    return m_stats->autocorrelation;
}

double Scaling::tokens() const
{
    LQER_ASSERT(m_kind == ScalingKind::Exact);
    return static_cast<double>(m_stats->tokens);
}

}  // namespace lqer
