// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/python_literal.h"

#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer {

namespace {

constexpr int deepest = 32;

class LiteralParser {
public:
    explicit LiteralParser(std::string_view text) : m_text(text) { }

    Json parse()
    {
        if (std::size_t bad = 0; !isValidUtf8(m_text, &bad)) {
            m_at = bad;
            fail("not UTF-8");
        }
        Json value = parseValue(0);
        skipBlanks();
        if (m_at != m_text.size())
            fail("something follows the value");
        return value;
    }

private:
    [[noreturn]] void fail(std::string_view message) const
    {
        throw Error(ErrorCode::Argument,
            fmt::format("'{}' is no Python literal: {} at character {}", escaped(m_text, 60), message, m_at + 1));
    }

    void skipBlanks()
    {
        while (
            m_at < m_text.size() && (m_text[m_at] == ' ' || m_text[m_at] == '\t' || m_text[m_at] == '\n' || m_text[m_at] == '\r'))
            ++m_at;
    }

    bool take(char c)
    {
        skipBlanks();
        if (m_at >= m_text.size() || m_text[m_at] != c)
            return false;
        ++m_at;
        return true;
    }

    Json parseValue(int depth)
    {
        skipBlanks();
        if (m_at >= m_text.size())
            fail("a value is missing");
        if (depth > deepest)
            fail(fmt::format("more than {} containers in each other", deepest));
        const char c = m_text[m_at];
        if (c == '[' || c == '(')
            return parseSequence(depth);
        if (c == '{')
            return parseDict(depth);
        if (c == '\'' || c == '"')
            return parseString();
        return parseWord();
    }

    Json parseSequence(int depth)
    {
        const bool tuple = m_text[m_at++] == '(';
        const char close = tuple ? ')' : ']';
        Json::Array values;
        bool comma = false;
        while (!take(close)) {
            if (!values.empty() && !comma)
                fail(fmt::format("',' or '{}' expected", close));
            values.push_back(parseValue(depth + 1));
            comma = take(',');
        }
        // Brackets around one value only group it.
        if (tuple && values.size() == 1 && !comma)
            return values.front();
        return values;
    }

    Json parseDict(int depth)
    {
        ++m_at;
        Json::Object members;
        bool comma = false;
        while (!take('}')) {
            if (!members.empty() && !comma)
                fail("',' or '}' expected");
            const Json key = parseValue(depth + 1);
            if (key.isArray() || key.isObject())
                fail("a key must be a text or a number");
            if (!take(':'))
                fail("':' expected");
            // As in Python, the last of equal keys counts.
            Json value = parseValue(depth + 1);
            std::string name = key.isString() ? key.asString() : key.dump();
            bool known = false;
            for (auto &member : members)
                if (member.first == name) {
                    member.second = value;
                    known = true;
                }
            if (!known)
                members.emplace_back(std::move(name), std::move(value));
            comma = take(',');
        }
        return members;
    }

    Json parseString()
    {
        const char quote = m_text[m_at++];
        std::string value;
        while (true) {
            if (m_at >= m_text.size())
                fail("the text does not end");
            const char c = m_text[m_at++];
            if (c == quote)
                return value;
            if (c != '\\') {
                value += c;
                continue;
            }
            if (m_at >= m_text.size())
                fail("the text does not end");
            const char escape = m_text[m_at++];
            if (escape == 'n')
                value += '\n';
            else if (escape == 't')
                value += '\t';
            else if (escape == 'r')
                value += '\r';
            else if (escape == '\\' || escape == '\'' || escape == '"')
                value += escape;
            else if (escape == 'x' || escape == 'u' || escape == 'U' || escape == 'N' || (escape >= '0' && escape <= '7')
                || escape == 'a' || escape == 'b' || escape == 'f' || escape == 'v')
                fail("an escape that is not supported; use the character itself");
            else  // Python keeps the backslash of an escape it does not know: patterns such as '\d' depend on it
                (value += '\\') += escape;
        }
    }

    Json parseWord()
    {
        const std::size_t begin = m_at;
        while (m_at < m_text.size()) {
            const char c = m_text[m_at];
            const bool sign = (c == '+' || c == '-') && (m_at == begin || m_text[m_at - 1] == 'e' || m_text[m_at - 1] == 'E');
            if (!sign && c != '.' && c != '_' && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z'))
                break;
            ++m_at;
        }
        const std::string_view word = m_text.substr(begin, m_at - begin);
        if (word == "None")
            return {};
        if (word == "True" || word == "False")
            return word == "True";
        m_at = begin;
        std::string digits;
        for (std::size_t i = 0; i < word.size(); ++i) {
            const bool inside = i > 0 && i + 1 < word.size() && std::isxdigit(static_cast<unsigned char>(word[i - 1]))
                && std::isxdigit(static_cast<unsigned char>(word[i + 1]));
            if (word[i] == '_' && !inside)
                fail("a misplaced '_'");
            if (word[i] != '_' && !(i == 0 && word[i] == '+'))
                digits += word[i];
        }
        const char *const end = digits.data() + digits.size();
        std::int64_t integer = 0;
        if (const auto [stop, fault] = std::from_chars(digits.data(), end, integer); stop == end && !digits.empty()) {
            if (fault != std::errc())
                fail("an integer that does not fit 64 bits");
            const std::size_t first = digits[0] == '-' ? 1 : 0;
            if (digits.size() > first + 1 && digits[first] == '0' && integer != 0)
                fail("an integer with a leading zero");
            m_at = begin + word.size();
            return integer;
        }
        double number = 0;
        const bool spelled = digits.find_first_of("nN") != std::string::npos;  // "inf" and "nan" are names in Python
        if (const auto [stop, fault] = std::from_chars(digits.data(), end, number);
            !digits.empty() && !spelled && stop == end && fault == std::errc() && std::isfinite(number)) {
            m_at = begin + word.size();
            return number;
        }
        fail("neither a value nor a quoted text");
    }

    std::string_view m_text;
    std::size_t m_at = 0;
};

}  // namespace

Json parsePythonLiteral(std::string_view text)
{
    return LiteralParser(text).parse();
}

}  // namespace lqer
