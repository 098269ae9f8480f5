// SPDX-License-Identifier: Apache-2.0
#include "core/base/text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <fmt/format.h>

namespace lqer {

namespace {

// Length of the well-formed UTF-8 sequence at the start of `text` and its code point, or 0.
std::size_t decodeUtf8(std::string_view text, char32_t &codePoint)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) {
        codePoint = first;
        return 1;
    }
    std::size_t length = 0;
    char32_t minimum = 0;
    if ((first & 0xE0) == 0xC0) {
        length = 2, minimum = 0x80, codePoint = first & 0x1F;
    } else if ((first & 0xF0) == 0xE0) {
        length = 3, minimum = 0x800, codePoint = first & 0x0F;
    } else if ((first & 0xF8) == 0xF0) {
        length = 4, minimum = 0x10000, codePoint = first & 0x07;
    } else {
        return 0;
    }
    if (text.size() < length)
        return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80)
            return 0;
        codePoint = (codePoint << 6) | (byte(i) & 0x3F);
    }
    const bool surrogate = codePoint >= 0xD800 && codePoint <= 0xDFFF;
    return codePoint < minimum || codePoint > 0x10FFFF || surrogate ? 0 : length;
}

bool isUnsafe(char32_t c)
{
    // Controls, then what breaks lines (U+2028, U+2029) and what turns the direction of writing.
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x061C
        || c == 0x200E || c == 0x200F;
}

}  // namespace

std::string escaped(std::string_view text, std::size_t maxLength)
{
    std::string out;
    std::size_t i = 0;
    while (i < text.size()) {
        if (out.size() >= maxLength) {
            out += "...";
            break;
        }
        char32_t codePoint = 0;
        const std::size_t length = decodeUtf8(text.substr(i), codePoint);
        if (length == 0) {
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[i]));
            ++i;
            continue;
        }
        if (codePoint == '\n')
            out += "\\n";
        else if (isUnsafe(codePoint))
            out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(codePoint));
        else
            out += text.substr(i, length);
        i += length;
    }
    return out;
}

bool isValidUtf8(std::string_view text, std::size_t *badByte)
{
    std::size_t i = 0;
    while (i < text.size()) {
        char32_t codePoint = 0;
        const std::size_t length = decodeUtf8(text.substr(i), codePoint);
        if (length == 0) {
            if (badByte)
                *badByte = i;
            return false;
        }
        i += length;
    }
    return true;
}

std::string nearest(std::string_view name, std::span<const std::string> candidates)
{
    std::string best;
    if (name.empty())
        return best;
    std::size_t bestDistance = std::max<std::size_t>(1, name.size() / 3) + 1;
    for (const std::string &candidate : candidates) {
        std::vector<std::size_t> row(candidate.size() + 1);
        for (std::size_t j = 0; j < row.size(); ++j)
            row[j] = j;
        for (std::size_t i = 1; i <= name.size(); ++i) {
            std::size_t diagonal = row[0];
            row[0] = i;
            for (std::size_t j = 1; j <= candidate.size(); ++j) {
                const std::size_t substituted = diagonal + (name[i - 1] == candidate[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
            }
        }
        if (row.back() < bestDistance) {
            bestDistance = row.back();
            best = candidate;
        }
    }
    return best;
}

std::string formatBytes(double bytes)
{
    static constexpr const char *units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    std::size_t unit = 0;
    while (std::abs(bytes) >= 999.5 && unit + 1 < std::size(units)) {
        bytes /= 1000.0;
        ++unit;
    }
    if (unit == 0)
        return fmt::format("{:.0f} B", bytes);
    return fmt::format("{:.{}f} {}", bytes, bytes < 9.995 ? 2 : bytes < 99.95 ? 1 : 0, units[unit]);
}

}  // namespace lqer
