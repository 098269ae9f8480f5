// SPDX-License-Identifier: Apache-2.0
#include "core/text/normalizer.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/text/byte_level.h"
#include "core/text/unicode.h"

namespace lqer {

namespace {

std::string withoutMarks(std::string_view text)
{
    std::string kept;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t begin = at;
        if (!isMark(nextCharacter(text, at)))
            kept += text.substr(begin, at - begin);
    }
    return kept;
}

std::string stripped(std::string_view text, bool left, bool right)
{
    std::size_t begin = text.size();  // of the first character that stays
    std::size_t end = text.size();    // of the last one
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t start = at;
        if (isWhiteSpace(nextCharacter(text, at)))
            continue;
        if (begin == text.size())
            begin = start;
        end = at;
    }
    if (!left)
        begin = 0;
    if (!right)
        end = text.size();
    return std::string(text.substr(begin, end > begin ? end - begin : 0));
}

}  // namespace

Normalizer Normalizer::fromJson(const JsonReader &reader)
{
    Normalizer normalizer;
    normalizer.addFromJson(reader);
    return normalizer;
}

void Normalizer::addFromJson(const JsonReader &reader)
{
    const std::string &type = reader["type"].string();
    if (type == "Sequence") {
        const JsonReader members = reader["normalizers"];
        for (std::size_t i = 0; i < members.size(); ++i)
            addFromJson(members.at(i));
    } else if (type == "Prepend") {
        add([prefix = reader["prepend"].string()](std::string &&text) { return text.empty() ? std::move(text) : prefix + text; });
    } else if (type == "Replace") {
        add([pattern = Pattern::fromJson(reader["pattern"]), content = reader["content"].string()](std::string &&text) {
            return pattern.replaceAll(text, content);
        });
    } else if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
        const NormalForm form = type == "NFC" ? NormalForm::C : type == "NFD" ? NormalForm::D : type == "NFKC" ? NormalForm::KC
                                                                                                            : NormalForm::KD;
        add([form](std::string &&text) { return normalize(text, form); });
    } else if (type == "Lowercase") {
        add([](std::string &&text) { return lowercase(text); });
    } else if (type == "Strip") {
        add([left = reader["strip_left"].boolean(), right = reader["strip_right"].boolean()](std::string &&text) {
            return stripped(text, left, right);
        });
    } else if (type == "StripAccents") {
        add([](std::string &&text) { return withoutMarks(text); });
    } else if (type == "ByteLevel") {
        add([](std::string &&text) { return bytesToCharacters(text); });
    } else {
        throw Error(ErrorCode::Unsupported, reader.file(), fmt::format("key '{}'", reader.path()),
                    fmt::format("normalizer '{}' is not supported", escaped(type, 60)));
    }
}

std::string Normalizer::apply(std::string_view text) const
{
    std::string result(text);
    for (const Step &step : m_steps)
        result = step(std::move(result));
    return result;
}

}  // namespace lqer
