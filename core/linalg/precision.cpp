// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/precision.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer {

std::string_view toString(Precision precision)
{
    return precision == Precision::BFloat16 ? "bf16" : "f32";
}

Precision precisionFromString(std::string_view name)
{
    for (const Precision precision : {Precision::Float32, Precision::BFloat16})
        if (toString(precision) == name)
            return precision;
    throw Error(ErrorCode::Argument, fmt::format("unknown precision '{}', known are: f32, bf16", escaped(name)));
}

}  // namespace lqer
