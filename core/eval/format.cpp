// SPDX-License-Identifier: Apache-2.0
#include "core/eval/format.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace lqer {

namespace {

// What is written for a value without digits.
std::string notFinite(double value)
{
    return std::isnan(value) ? "-" : value < 0 ? "-inf" : "inf";
}

}  // namespace

std::string formatNumber(double value)
{
    if (!std::isfinite(value))
        return notFinite(value);
    const double magnitude = std::abs(value);
    if (magnitude != 0 && (magnitude < 1e-3 || magnitude >= 1e5))
        return fmt::format("{:.2e}", value);
    // Rounding may carry into a further digit: 9.996 is "10.0".
    const int digits = magnitude < 0.0099995 ? 5 : magnitude < 0.099995 ? 4 : magnitude < 0.99995 ? 3 : magnitude < 9.995 ? 2 : magnitude < 99.95 ? 1 : 0;
    return value == 0 ? "0" : fmt::format("{:.{}f}", value, digits);
}

std::string formatCount(std::int64_t count)
{
    const std::string digits = fmt::format("{}", count);
    std::string text;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        text += digits[i];
        const std::size_t after = digits.size() - 1 - i;
        if (after > 0 && after % 3 == 0 && digits[i] != '-')
            text += ',';
    }
    return text;
}

std::string formatPerplexity(double value)
{
    if (!std::isfinite(value))
        return notFinite(value);
    if (std::abs(value) >= 99999.5)
        return fmt::format("{:.2e}", value);
    const int digits = std::abs(value) < 9.99995 ? 4 : std::abs(value) < 99.9995 ? 3 : std::abs(value) < 999.995 ? 2 : 1;
    return fmt::format("{:.{}f}", value, digits);
}

std::string formatWithError(double value, double error)
{
    if (!std::isfinite(value) || !std::isfinite(error) || error <= 0)
        return formatPerplexity(value);
    const int digits = std::clamp(1 - static_cast<int>(std::floor(std::log10(error))), 0, 9);
    return fmt::format("{:.{}f} ± {:.{}f}", value, digits, error, digits);
}

std::string formatBits(double bits)
{
    return std::isnan(bits) ? "-" : fmt::format("{:.2f}", bits);
}

std::string formatQuantity(double value, std::string_view unit)
{
    if (!std::isfinite(value))
        return notFinite(value);
    static constexpr const char *prefixes[] = {"", "k", "M", "G", "T", "P"};
    std::size_t prefix = 0;
    while (std::abs(value) >= 999.5 && prefix + 1 < std::size(prefixes)) {
        value /= 1000.0;
        ++prefix;
    }
    const int digits = prefix == 0 && value == std::floor(value) ? 0 : std::abs(value) < 9.995 ? 2 : std::abs(value) < 99.95 ? 1 : 0;
    const std::string text = fmt::format("{:.{}f} {}{}", value, digits, prefixes[prefix], unit);
    return text.ends_with(' ') ? text.substr(0, text.size() - 1) : text;
}

std::string formatPercent(double fraction)
{
    const double percent = fraction * 100;
    if (!std::isfinite(percent))
        return notFinite(percent);
    if (percent != 0 && std::abs(percent) < 0.0095)
        return fmt::format("{:.1e} %", percent);
    return fmt::format("{:.{}f} %", percent, std::abs(percent) < 9.995 ? 2 : 1);
}

std::string formatSeconds(double seconds)
{
    if (!std::isfinite(seconds))
        return notFinite(seconds);
    if (seconds < 9.95)
        return fmt::format("{:.1f} s", seconds);
    if (seconds < 59.5)
        return fmt::format("{:.0f} s", seconds);
    const auto whole = static_cast<long long>(std::llround(seconds));
    if (whole < 3600)
        return fmt::format("{} min {:02} s", whole / 60, whole % 60);
    return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string shortLayerName(const std::string &name)
{
    const std::size_t digit = name.find_first_of("0123456789");
    return digit == std::string::npos || digit == 0 || name[digit - 1] != '.' ? name : name.substr(digit);
}

}  // namespace lqer
