// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace lqer {

// In which the linear layers' inputs and weights are multiplied; sums are float32 in both. What a quantized layer computes instead of a
// linear one does not depend on it.
enum class Precision {
    Float32,
    BFloat16,  // inputs rounded to bfloat16, weights too where the checkpoint has more: twice as fast where the processor multiplies it
};
std::string_view toString(Precision precision);         // "f32", "bf16"
Precision precisionFromString(std::string_view name);   // throws Error(Argument)

}  // namespace lqer
