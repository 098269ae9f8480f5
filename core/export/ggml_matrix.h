// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/io/gguf.h"
#include "core/quant/format_spec.h"
#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// How a matrix is stored in a GGUF file.
struct GgmlChoice {
    GgmlType type = GgmlType::F32;
    bool exact = true;
    double error = 0;    // ||stored - values|| / ||values||, Frobenius; 0 if exact
    float smallest = 0;  // values of at most this magnitude are stored as 0
};

// Types that may hold values of this number format, by bits per element. MXFP4 and NVFP4, which llama.cpp got in 2025 and 2026,
// are among them for the formats of these names only.
std::vector<GgmlType> exactCandidates(const FormatSpec &format);
// The first of the candidates that holds every value, its sign of zero aside; F32 if none does.
GgmlChoice chooseExact(const ConstMatrixRef &values, std::span<const GgmlType> candidates, const TaskContext &context);
// The same for what block_fp gives: it passes values up to 1e-8 through, a handful in a large matrix, for which no block has
// room. Where they alone stand in the way, they are stored as 0 and `error` says what that changes.
GgmlChoice chooseExactButTiny(const ConstMatrixRef &values, std::span<const GgmlType> candidates, const TaskContext &context);
// F32, BF16, F16, or Q8_0 where rows are whole blocks of it, else F16; measured. Throws Error(Numeric) where a value is beyond
// the type's range.
GgmlChoice chooseNearest(const ConstMatrixRef &values, GgmlType wanted, const TaskContext &context);
// The bytes of what was chosen for these values.
std::vector<std::byte> encoded(const ConstMatrixRef &values, const GgmlChoice &choice, const TaskContext &context);

// The type that chooseExact() comes to for ordinary weights of this format with rows of `columns` elements, without looking at
// any. It may find a smaller one where exponents lie close together, and needs a larger one for scales beyond half precision.
GgmlType usualType(const FormatSpec &format, std::int64_t columns);

}  // namespace lqer
