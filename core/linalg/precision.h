// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace lqer {

// In which operands are multiplied; sums are float32 in both. In a forward pass: the linear layers' inputs and weights; what a quantized
// layer computes instead of a linear one does not depend on it. In a decomposition: the iteration's.
enum class Precision {
    Float32,
    BFloat16,  // operands rounded to bfloat16, where they have more: twice as fast where the processor multiplies it
};
std::string_view toString(Precision precision);         // "f32", "bf16"
Precision precisionFromString(std::string_view name);   // throws Error(Argument)

}  // namespace lqer
