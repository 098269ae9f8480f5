// SPDX-License-Identifier: Apache-2.0
#include "core/io/text_encoding.h"

#include <span>
#include <string>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/file.h"

namespace lqer {

void refuseOtherEncodings(std::string_view text, std::string_view file)
{
    if (text.empty())
        throw Error(ErrorCode::Format, file, {}, "is empty (0 bytes): interrupted download?");
    if (text.starts_with("\xEF\xBB\xBF"))
        throw Error(ErrorCode::Format, file, "byte 0", "begins with a byte order mark, plain UTF-8 was expected");
    const bool wide = text.size() >= 2 && ((text[0] == '\0') != (text[1] == '\0'));
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")
        || (wide && recognisedContent(std::as_bytes(std::span(text))).empty()))
        throw Error(ErrorCode::Format, file, {}, "is UTF-16, UTF-8 was expected");
    std::size_t bad = 0;
    if (!isValidUtf8(text, &bad)) {
        const std::string found = recognisedContent(std::as_bytes(std::span(text)));
        throw Error(ErrorCode::Format, file, {},
            found.empty() ? fmt::format("invalid UTF-8 at byte {}", bad) : fmt::format("is {}", found));
    }
    // Parsers written in C take a NUL for the end of their input.
    if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
        const std::string found = recognisedContent(std::as_bytes(std::span(text)));
        throw Error(ErrorCode::Format, file, fmt::format("byte {}", nul),
            found.empty() ? "control character 0x00" : fmt::format("is {}", found));
    }
}

}  // namespace lqer
