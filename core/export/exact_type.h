// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/quant/format_spec.h"
#include "core/tensor/dtype.h"

namespace lqer {

// BF16, F16 or F32: the narrowest of them that holds every value a number format gives, seen from the format's definition (values that
// are subnormal in float32 aside). F32 where that cannot be said. original: the type of the values before; some formats leave tiny ones
// as they are.
DType exactType(const FormatSpec &format, DType original);
// The narrowest that holds what both hold: BF16 and F16 together take F32.
DType commonType(DType one, DType other);

}  // namespace lqer
