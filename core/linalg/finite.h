// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/tensor/matrix.h"

namespace lqer {

// Error(Numeric) that names the first element that is NaN or infinite: LAPACK's symmetric solvers report success on such.
inline void checkFinite(const ConstMatrixF64Ref &matrix, std::string_view what)
{
    for (Index row = 0; row < matrix.rows(); ++row)
        for (Index column = 0; column < matrix.cols(); ++column)
            if (!std::isfinite(matrix(row, column)))
                throw Error(ErrorCode::Numeric, fmt::format("{} of a {}x{} matrix: element ({}, {}) is {}", what, matrix.rows(),
                                                            matrix.cols(), row, column, matrix(row, column)));
}

}  // namespace lqer
