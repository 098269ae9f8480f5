// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "core/io/gguf.h"

namespace lqer
{

// The blocks of ggml, llama.cpp's tensor library. All of them read x = scale * code - minimum, with a scale and a minimum for a
// group of 16 or 32 elements. Source: ggml-common.h and the dequantize functions of llama.cpp; numbers equal theirs to the last
// bit.

// F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K ... Q6_K, IQ4_NL, IQ4_XS, MXFP4, NVFP4.
bool canDecodeGgml(GgmlType type);

// Whole blocks, one after another. Throws Error(Unsupported) for a type that canDecodeGgml() does not know, Error(Numeric) with
// the flat index of a value that is not finite; the caller names the tensor.
void decodeGgml(GgmlType type, std::span<const std::byte> blocks, std::span<float> values);

// Whole blocks that decode to these very values (the sign of zero aside). False, and `blocks` is void, if the type has no such
// blocks. F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q6_K, MXFP4, NVFP4; asserted.
bool encodeGgmlExactly(GgmlType type, std::span<const float> values, std::span<std::byte> blocks);

// The nearest that llama.cpp's own rule for Q8_0 comes: scale = largest magnitude / 127 rounded to half precision. Whole blocks
// of 32. Throws Error(Numeric) if a block's scale is beyond half precision.
void encodeQ8_0(std::span<const float> values, std::span<std::byte> blocks);

} // namespace lqer
