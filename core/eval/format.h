// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lqer {

// How numbers are written for people, in one place for the command line and the studio; bytes: formatBytes (base/text.h). NaN is "-".
std::string formatNumber(double value);      // three significant digits: "0.0123", "12.3", "1234", "1.20e-05"
std::string formatCount(std::int64_t count); // "2,016,960"
std::string formatPerplexity(double value);  // "5.6711", "1234.5", "1.23e+07": five significant digits
// "5.671 ± 0.012": the error with two digits, the value to the same place; without an error as formatPerplexity.
std::string formatWithError(double value, double error);
std::string formatBits(double bits);         // "4.25"
// "12.9 Mbit": three significant digits, powers of a thousand.
std::string formatQuantity(double value, std::string_view unit);
std::string formatPercent(double fraction);  // 0.0123 -> "1.23 %"
std::string formatSeconds(double seconds);   // "0.4 s", "45 s", "3 min 20 s", "2 h 05 min"

// "model.layers.3.mlp.up_proj" -> "3.mlp.up_proj": what comes before the first number says nothing.
std::string shortLayerName(const std::string &name);

}  // namespace lqer
