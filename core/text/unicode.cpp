// SPDX-License-Identifier: Apache-2.0
#include "core/text/unicode.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include <utf8proc.h>

namespace lqer {

namespace {

utf8proc_category_t category(char32_t character)
{
    return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

bool isAscii(std::string_view text)
{
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// Bytes at `at` that belong together: a whole character (`valid`), or the longest beginning of one, or one stray byte.
std::size_t sequenceLength(std::string_view bytes, std::size_t at, bool &valid)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const unsigned char first = byte(at);
    valid = first < 0x80;
    if (first < 0x80 || first < 0xC2 || first > 0xF4)
        return 1;
    const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    // Unicode table 3-7: only the second byte's range depends on the first.
    unsigned char least = 0x80;
    unsigned char most = 0xBF;
    if (first == 0xE0)
        least = 0xA0;
    else if (first == 0xED)
        most = 0x9F;
    else if (first == 0xF0)
        least = 0x90;
    else if (first == 0xF4)
        most = 0x8F;
    std::size_t found = 1;
    while (found < length && at + found < bytes.size() && byte(at + found) >= least && byte(at + found) <= most) {
        least = 0x80;
        most = 0xBF;
        ++found;
    }
    valid = found == length;
    return found;
}

}  // namespace

std::size_t characterLength(char firstByte)
{
    const auto byte = static_cast<unsigned char>(firstByte);
    return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

char32_t nextCharacter(std::string_view text, std::size_t &position)
{
    const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[position + i])); };
    const std::size_t length = characterLength(text[position]);
    char32_t character = 0;
    switch (length) {
    case 1: character = byte(0); break;
    case 2: character = (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F); break;
    case 3: character = (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F); break;
    default: character = (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    }
    position += length;
    return character;
}

void appendCharacter(std::string &text, char32_t character)
{
    if (character < 0x80) {
        text += static_cast<char>(character);
    } else if (character < 0x800) {
        text += static_cast<char>(0xC0 | character >> 6);
        text += static_cast<char>(0x80 | (character & 0x3F));
    } else if (character < 0x10000) {
        text += static_cast<char>(0xE0 | character >> 12);
        text += static_cast<char>(0x80 | (character >> 6 & 0x3F));
        text += static_cast<char>(0x80 | (character & 0x3F));
    } else {
        text += static_cast<char>(0xF0 | character >> 18);
        text += static_cast<char>(0x80 | (character >> 12 & 0x3F));
        text += static_cast<char>(0x80 | (character >> 6 & 0x3F));
        text += static_cast<char>(0x80 | (character & 0x3F));
    }
}

std::string replaceInvalidUtf8(std::string_view bytes)
{
    std::string text;
    text.reserve(bytes.size());
    std::size_t at = 0;
    while (at < bytes.size()) {
        bool valid = false;
        const std::size_t length = sequenceLength(bytes, at, valid);
        if (valid)
            text += bytes.substr(at, length);
        else
            appendCharacter(text, 0xFFFD);
        at += length;
    }
    return text;
}

bool isWhiteSpace(char32_t character)
{
    return (character >= 0x09 && character <= 0x0D) || character == 0x20 || character == 0x85 || character == 0xA0
        || character == 0x1680 || (character >= 0x2000 && character <= 0x200A) || character == 0x2028 || character == 0x2029
        || character == 0x202F || character == 0x205F || character == 0x3000;
}

bool isNumeric(char32_t character)
{
    const utf8proc_category_t c = category(character);
    return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}

bool isPunctuation(char32_t character)
{
    if (character < 0x80)
        return (character >= '!' && character <= '/') || (character >= ':' && character <= '@')
            || (character >= '[' && character <= '`') || (character >= '{' && character <= '~');
    const utf8proc_category_t c = category(character);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

bool isMark(char32_t character)
{
    const utf8proc_category_t c = category(character);
    return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ME;
}

std::string lowercase(std::string_view text)
{
    std::string lower;
    lower.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        const char32_t character = nextCharacter(text, i);
        appendCharacter(lower, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(character))));
        if (character == 0x0130)  // the only character whose lower case is two: i and a dot above
            appendCharacter(lower, 0x0307);
    }
    return lower;
}

std::string uppercase(std::string_view text)
{
    std::string upper;
    upper.reserve(text.size());
    for (std::size_t i = 0; i < text.size();)
        appendCharacter(upper, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(nextCharacter(text, i)))));
    return upper;
}

std::string normalize(std::string_view text, NormalForm form)
{
    if (isAscii(text))
        return std::string(text);
    int options = UTF8PROC_STABLE;
    options |= form == NormalForm::C || form == NormalForm::KC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    if (form == NormalForm::KC || form == NormalForm::KD)
        options |= UTF8PROC_COMPAT;
    utf8proc_uint8_t *mapped = nullptr;
    const utf8proc_ssize_t length =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t *>(text.data()), static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                     static_cast<utf8proc_option_t>(options));
    if (length < 0)  // the text is valid UTF-8, so this can only be memory
        throw std::bad_alloc();
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
    return {reinterpret_cast<const char *>(mapped), static_cast<std::size_t>(length)};
}

}  // namespace lqer
