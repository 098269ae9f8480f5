// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace lqer {

// Element types of the safetensors format that can appear in a checkpoint or in our own files.
enum class DType : std::uint8_t { F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, Bool, F8E4M3, F8E5M2 };

// Bytes of one element.
std::size_t itemSize(DType dtype);
// The safetensors name ("F32", "BF16", "F8_E4M3").
std::string_view toString(DType dtype);
std::optional<DType> dtypeFromString(std::string_view name);

}  // namespace lqer
