// SPDX-License-Identifier: Apache-2.0
#include "core/text/decoder.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/text/byte_level.h"
#include "core/text/pattern.h"
#include "core/text/unicode.h"

namespace lqer {

namespace {

// The byte of "<0x41>". Exactly two hexadecimal digits: "<0x-1>" is ordinary text.
std::optional<char> byteOf(std::string_view token)
{
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>')
        return std::nullopt;
    unsigned value = 0;
    const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
    if (error != std::errc() || end != token.data() + 5)
        return std::nullopt;
    return static_cast<char>(value);
}

void fuse(std::vector<std::string> &tokens)
{
    std::string text;
    for (const std::string &token : tokens)
        text += token;
    tokens = {std::move(text)};
}

// Bytes side by side become their text, or one U+FFFD each if they are not UTF-8.
void joinBytes(std::vector<std::string> &tokens)
{
    std::vector<std::string> joined;
    std::string bytes;
    const auto flush = [&] {
        if (isValidUtf8(bytes)) {
            if (!bytes.empty())
                joined.push_back(bytes);
        } else {
            joined.insert(joined.end(), bytes.size(), "\xEF\xBF\xBD");
        }
        bytes.clear();
    };
    for (std::string &token : tokens) {
        if (const auto byte = byteOf(token)) {
            bytes += *byte;
        } else {
            flush();
            joined.push_back(std::move(token));
        }
    }
    flush();
    tokens = std::move(joined);
}

void decodeByteLevel(std::vector<std::string> &tokens)
{
    std::string bytes;
    for (const std::string &token : tokens)
        if (!appendBytes(token, bytes))
            bytes += token;
    tokens = {replaceInvalidUtf8(bytes)};
}

// Takes up to `start` such characters from the front of each token and up to `stop` from its end.
Decoder::Step strip(const std::string &character, std::int64_t start, std::int64_t stop)
{
    return [character, start, stop](std::vector<std::string> &tokens) {
        for (std::string &token : tokens) {
            std::string_view rest = token;
            for (std::int64_t i = 0; i < start && rest.starts_with(character); ++i)
                rest.remove_prefix(character.size());
            for (std::int64_t i = 0; i < stop && rest.ends_with(character); ++i)
                rest.remove_suffix(character.size());
            token = std::string(rest);
        }
    };
}

Decoder::Step replace(Pattern pattern, std::string content)
{
    return [pattern = std::move(pattern), content = std::move(content)](std::vector<std::string> &tokens) {
        for (std::string &token : tokens)
            token = pattern.replaceAll(token, content);
    };
}

// The first token loses its marks (one was put in front of the text), the others' marks are spaces.
Decoder::Step metaspace(const std::string &mark, bool prepended)
{
    return [prepended, marks = Pattern::literal(mark)](std::vector<std::string> &tokens) {
        for (std::size_t i = 0; i < tokens.size(); ++i)
            tokens[i] = marks.replaceAll(tokens[i], i == 0 && prepended ? "" : " ");
    };
}

}  // namespace

Decoder::Decoder()
{
    m_steps.push_back([](std::vector<std::string> &tokens) { tokens = {fmt::format("{}", fmt::join(tokens, " "))}; });
}

Decoder Decoder::byteLevel()
{
    return Decoder({decodeByteLevel});
}

Decoder Decoder::sentencePiece(bool stripSpace)
{
    std::vector<Step> steps{replace(Pattern::literal("\xE2\x96\x81"), " "), joinBytes, fuse};
    if (stripSpace)
        steps.push_back(strip(" ", 1, 0));
    return Decoder(std::move(steps));
}

Decoder Decoder::fromJson(const JsonReader &reader)
{
    Decoder decoder{std::vector<Step>{}};
    decoder.addFromJson(reader);
    return decoder;
}

void Decoder::addFromJson(const JsonReader &reader)
{
    const std::string &type = reader["type"].string();
    if (type == "Sequence") {
        const JsonReader members = reader["decoders"];
        for (std::size_t i = 0; i < members.size(); ++i)
            addFromJson(members.at(i));
    } else if (type == "ByteLevel") {
        m_steps.push_back(decodeByteLevel);
    } else if (type == "ByteFallback") {
        m_steps.push_back(joinBytes);
    } else if (type == "Fuse") {
        m_steps.push_back(fuse);
    } else if (type == "Replace") {
        m_steps.push_back(replace(Pattern::fromJson(reader["pattern"]), reader["content"].string()));
    } else if (type == "Strip") {
        const std::string &character = reader["content"].string();
        if (character.empty() || characterLength(character[0]) != character.size())
            reader["content"].fail("must be one character");
        m_steps.push_back(strip(character, reader["start"].integer(0, INT64_MAX), reader["stop"].integer(0, INT64_MAX)));
    } else if (type == "Metaspace") {
        const std::string &mark = reader["replacement"].string();
        if (mark.empty())
            reader["replacement"].fail("must not be empty");
        const char *fallback = reader.boolean("add_prefix_space", true) ? "always" : "never";
        m_steps.push_back(metaspace(mark, reader.string("prepend_scheme", fallback) != "never"));
    } else if (type == "BPEDecoder") {
        const std::string suffix = reader["suffix"].string();
        m_steps.push_back([suffix](std::vector<std::string> &tokens) {
            for (std::size_t i = 0; i < tokens.size() && !suffix.empty(); ++i)
                tokens[i] = Pattern::literal(suffix).replaceAll(tokens[i], i + 1 == tokens.size() ? "" : " ");
        });
    } else {
        logWarning(fmt::format("{}: decoder '{}' is not known; token strings are only joined", escaped(reader.file()),
                               escaped(type, 60)));
    }
}

std::string Decoder::apply(std::vector<std::string> tokens) const
{
    for (const Step &step : m_steps)
        step(tokens);
    fuse(tokens);
    return std::move(tokens.front());
}

}  // namespace lqer
