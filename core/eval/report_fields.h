// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/eval/divergence.h"
#include "core/io/json.h"
#include "core/text/token_windows.h"

namespace lqer {

// Pieces that several reports write and read.
Json windowOptionsToJson(const WindowOptions &options);
WindowOptions windowOptionsFromJson(const JsonReader &json);
Json meanToJson(const MeanWithError &mean);
MeanWithError meanFromJson(const JsonReader &json);
// A number that may be infinite: JSON has null for it.
double readNumber(const JsonReader &json, std::string_view key);
// A whole number >= 0; it must be there.
std::int64_t readCount(const JsonReader &json, std::string_view key);

}  // namespace lqer
