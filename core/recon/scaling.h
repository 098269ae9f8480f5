// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>

#include "core/calib/calibration_stats.h"
#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// By what the quantization error is weighted before its leading part is taken (math.md, "One optimum, one formula").
enum class ScalingKind {
    Identity,  // M = I            plain SVD of the error
    MeanAbs,   // M = diag(s^2)    LQER / L2QER, s = calibrated mean magnitude
    Diagonal,  // M = diag(E[x^2]) QERA-approx
    Exact,     // M = R            QERA-exact
};
std::string_view toString(ScalingKind kind);  // "identity", "lqer", "diag", "exact"
// Also takes the papers' names: "diagonal", "rxx", "mean-abs". Throws Error(Argument).
ScalingKind scalingFromString(std::string_view name);

// The weighting M of one activation site. M is only ever multiplied by: no square root, no inverse. A value; shares the
// statistics.
class Scaling {
public:
    // stats may be null for Identity. Throws Error(Argument) if the statistics lack what the kind needs, Error(Shape) if they
    // cover another number of features.
    Scaling(ScalingKind kind, std::shared_ptr<const SiteStats> stats, Index features);
    // M = diag(scale^2) with the scale as given; kind is MeanAbs or Diagonal.
    static Scaling fromVector(ScalingKind kind, const VectorF64 &scale);
    // Exact, with M = E[x^T x] as given.
    static Scaling fromAutocorrelation(MatrixF64 mean);

    ScalingKind kind() const { return m_kind; }
    Index features() const { return m_features; }
    // y = M x, both (features, columns).
    void apply(const ConstMatrixF64Ref &x, MatrixF64Ref y, const TaskContext &context = {}) const;

    // Diagonal of M, whatever the kind.
    const VectorF64 &diagonal() const { return m_diagonal; }
    // Exact only: tokens() * M, the sum as calibration keeps it.
    const MatrixF64 &sum() const;
    double tokens() const;

private:
    ScalingKind m_kind;
    Index m_features;
    VectorF64 m_diagonal;
    std::shared_ptr<const SiteStats> m_stats;
};

}  // namespace lqer
