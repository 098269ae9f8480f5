// SPDX-License-Identifier: Apache-2.0
#include "core/io/toml.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <variant>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/file.h"
#include "core/io/text_encoding.h"

namespace lqer {

namespace {

constexpr std::size_t mostBytes = 256 * 1024;
constexpr std::size_t deepest = 32;
constexpr std::size_t mostDots = 16;

struct Table;
using TableArray = std::vector<std::unique_ptr<Table>>;

struct Entry {
    std::string key;
    int line = 0;
    std::variant<Json, std::unique_ptr<Table>, TableArray> content;
};

// A table while the file is read, with what the rules against defining it twice need to know.
struct Table {
    enum class Origin {
        Implied,  // [a.b] says that there is an a
        Headed,  // by its own [a]
        Dotted,  // a.b = 1 says so too, but nothing else may add to it
    };
    Origin origin = Origin::Implied;
    std::vector<Entry> entries;
    std::map<std::string, std::size_t, std::less<>> index;

    Entry *find(std::string_view key)
    {
        const auto found = index.find(key);
        return found == index.end() ? nullptr : &entries[found->second];
    }
    Entry &add(std::string key, int line)
    {
        index.emplace(key, entries.size());
        entries.push_back({std::move(key), line, {}});
        return entries.back();
    }
    Table &addTable(std::string key, int line, Origin how)
    {
        auto table = std::make_unique<Table>();
        table->origin = how;
        Table &made = *table;
        add(std::move(key), line).content = std::move(table);
        return made;
    }
};

Json toJson(Table &&table)
{
    Json::Object object;
    for (Entry &entry : table.entries) {
        if (auto *const value = std::get_if<Json>(&entry.content)) {
            object.emplace_back(std::move(entry.key), std::move(*value));
        } else if (auto *const child = std::get_if<std::unique_ptr<Table>>(&entry.content)) {
            object.emplace_back(std::move(entry.key), toJson(std::move(**child)));
        } else {
            Json::Array elements;
            for (const std::unique_ptr<Table> &element : std::get<TableArray>(entry.content))
                elements.push_back(toJson(std::move(*element)));
            object.emplace_back(std::move(entry.key), std::move(elements));
        }
    }
    return object;
}

bool isBareKeyCharacter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool isDigit(char c, int base = 10)
{
    return base == 16 ? std::isxdigit(static_cast<unsigned char>(c)) != 0 : c >= '0' && c < '0' + base;
}

// The digits without the '_' between them; "" if they are not digits, or a '_' is not between two.
std::string plainDigits(std::string_view text, int base = 10)
{
    std::string digits;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '_' && i > 0 && i + 1 < text.size() && isDigit(text[i - 1], base) && isDigit(text[i + 1], base))
            continue;
        if (!isDigit(text[i], base))
            return {};
        digits += text[i];
    }
    return digits;
}

class TomlParser {
public:
    TomlParser(std::string_view text, std::string_view file) : m_text(text), m_file(file)
    {
        m_root.origin = Table::Origin::Headed;
    }

    Json parse()
    {
        while (skipBlanksAndLines()) {
            if (peek() == '[')
                parseHeader();
            else
                parseKeyValue(*m_table, m_depth);
            expectEndOfLine();
        }
        return toJson(std::move(m_root));
    }

private:
    [[noreturn]] void fail(std::string_view message) const { failAt(m_line, message); }
    [[noreturn]] void failAt(int line, std::string_view message) const
    {
        throw Error(ErrorCode::Format, m_file, fmt::format("line {}", line), message);
    }
    [[noreturn]] void failTwice(std::string_view key, int first) const
    {
        fail(fmt::format("'{}' is defined twice (first in line {})", escaped(key, 80), first));
    }
    [[noreturn]] void failControl(char c) const
    {
        fail(c == '\r' ? std::string("a carriage return without a line feed")
                       : fmt::format("control character 0x{:02x}", static_cast<unsigned char>(c)));
    }

    bool atEnd() const { return m_at >= m_text.size(); }
    char peek() const { return atEnd() ? '\0' : m_text[m_at]; }  // there is no NUL in the text
    bool take(char c)
    {
        if (peek() != c || atEnd())
            return false;
        ++m_at;
        return true;
    }
    bool take(std::string_view word)
    {
        if (!m_text.substr(m_at).starts_with(word))
            return false;
        m_at += word.size();
        return true;
    }
    bool takeNewLine()
    {
        if (!take('\n') && !take("\r\n"))
            return false;
        ++m_line;
        return true;
    }

    void skipBlanks()
    {
        while (peek() == ' ' || peek() == '\t')
            ++m_at;
        if (peek() != '#')
            return;
        while (!atEnd() && peek() != '\n' && !m_text.substr(m_at).starts_with("\r\n"))
            refuseControl(m_text[m_at++]);
    }
    // False at the end of the file.
    bool skipBlanksAndLines()
    {
        do
            skipBlanks();
        while (takeNewLine());
        return !atEnd();
    }
    void refuseControl(char c) const
    {
        if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f)
            failControl(c);
    }
    void expectEndOfLine()
    {
        skipBlanks();
        if (!atEnd() && !takeNewLine()) {
            refuseControl(peek());
            fail("the line should end behind the value");
        }
    }

    // --- keys ---

    std::string parseKeyPart()
    {
        if (peek() == '"' || peek() == '\'') {
            if (m_text.substr(m_at).starts_with("\"\"\"") || m_text.substr(m_at).starts_with("'''"))
                fail("a key cannot be a text of several lines");
            return m_text[m_at] == '"' ? parseBasic() : parseLiteral();
        }
        const std::size_t begin = m_at;
        while (isBareKeyCharacter(peek()))
            ++m_at;
        if (m_at == begin) {
            const char c = peek();
            if (atEnd() || c == '.' || c == '=' || c == ']' || c == '\n' || c == '\r' || c == '#')
                fail("empty key");
            refuseControl(c);
            if (c == '{' && m_text.substr(0, begin).find_first_not_of(" \t\r\n") == std::string_view::npos)
                fail("looks like JSON; TOML was expected");
            fail("without quotes a key may have only A-Z a-z 0-9 _ -");
        }
        return std::string(m_text.substr(begin, m_at - begin));
    }

    std::vector<std::string> parseKey()
    {
        std::vector<std::string> parts;
        do {
            if (parts.size() > mostDots)
                fail(fmt::format("more than {} dots in a key", mostDots));
            skipSpaces();
            parts.push_back(parseKeyPart());
            skipSpaces();
        } while (take('.'));
        return parts;
    }
    void skipSpaces()
    {
        while (peek() == ' ' || peek() == '\t')
            ++m_at;
    }
    void checkDepth(std::size_t depth) const
    {
        if (depth > deepest)
            fail(fmt::format("more than {} tables and arrays in each other", deepest));
    }

    // [a.b] and [[a.b]].
    void parseHeader()
    {
        ++m_at;
        const bool array = take('[');
        const std::vector<std::string> parts = parseKey();
        if (!take(array ? "]]" : "]"))
            fail(array ? "']]' expected behind the name of the table" : "']' expected behind the name of the table");
        m_depth = parts.size() + (array ? 1 : 0);
        Table *table = &m_root;
        for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
            Entry *const entry = table->find(parts[i]);
            if (!entry)
                table = &table->addTable(parts[i], m_line, Table::Origin::Implied);
            else if (auto *const child = std::get_if<std::unique_ptr<Table>>(&entry->content))
                table = child->get();
            else if (auto *const elements = std::get_if<TableArray>(&entry->content))
                table = elements->back().get(), ++m_depth;
            else
                fail(fmt::format("'{}' is a value already (line {}) and cannot be extended", escaped(parts[i], 80), entry->line));
        }

        checkDepth(m_depth);

        Entry *const entry = table->find(parts.back());
        if (array) {
            if (entry && !std::holds_alternative<TableArray>(entry->content))
                failTwice(parts.back(), entry->line);
            Entry &target = entry ? *entry : table->add(parts.back(), m_line);
            if (!entry)
                target.content = TableArray();
            auto &elements = std::get<TableArray>(target.content);
            elements.push_back(std::make_unique<Table>());
            m_table = elements.back().get();
            m_table->origin = Table::Origin::Headed;
            return;
        }
        if (!entry) {
            m_table = &table->addTable(parts.back(), m_line, Table::Origin::Headed);
            return;
        }
        auto *const known = std::get_if<std::unique_ptr<Table>>(&entry->content);
        if (!known || (*known)->origin != Table::Origin::Implied)
            failTwice(parts.back(), entry->line);
        (*known)->origin = Table::Origin::Headed;
        m_table = known->get();
    }

    void parseKeyValue(Table &into, std::size_t depth)
    {
        const int line = m_line;
        std::vector<std::string> parts = parseKey();
        checkDepth(depth + parts.size() - 1);
        Table *table = &into;
        for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
            Entry *const entry = table->find(parts[i]);
            if (!entry) {
                table = &table->addTable(parts[i], line, Table::Origin::Dotted);
                continue;
            }
            auto *const child = std::get_if<std::unique_ptr<Table>>(&entry->content);
            if (!child || (*child)->origin == Table::Origin::Headed)
                fail(fmt::format("'{}' is defined already (line {}) and cannot be extended by a dotted key",
                    escaped(parts[i], 80), entry->line));
            (*child)->origin = Table::Origin::Dotted;
            table = child->get();
        }
        if (Entry *const entry = table->find(parts.back()))
            failTwice(parts.back(), entry->line);
        skipSpaces();
        if (!take('='))
            fail(peek() == ':' ? "looks like YAML or JSON; TOML writes key = value" : "'=' expected behind the key");
        skipSpaces();
        Json value = parseValue(depth + parts.size() - 1);
        table->add(std::move(parts.back()), line).content = std::move(value);
    }

    // --- values ---

    Json parseValue(std::size_t depth)
    {
        if (take("\"\"\""))
            return parseLines('"');
        if (take("'''"))
            return parseLines('\'');
        switch (peek()) {
        case '"':
            return parseBasic();
        case '\'':
            return parseLiteral();
        case '[':
            return parseArray(depth + 1);
        case '{':
            return parseInline(depth + 1);
        default:
            return parseWord();
        }
    }

    Json parseArray(std::size_t depth)
    {
        checkDepth(depth);
        const int opened = m_line;
        ++m_at;
        Json::Array values;
        bool comma = true;
        while (true) {
            if (!skipBlanksAndLines())
                failAt(opened, "a list that is never closed begins here");
            if (take(']'))
                return values;
            if (!comma)
                fail("',' or ']' expected in a list");
            values.push_back(parseValue(depth));
            skipBlanksAndLines();
            comma = take(',');
        }
    }

    // On one line, without a comma at the end (TOML 1.0).
    Json parseInline(std::size_t depth)
    {
        checkDepth(depth);
        ++m_at;
        Table table;
        skipSpaces();
        if (take('}'))
            return Json::object();
        while (true) {
            skipSpaces();
            parseKeyValue(table, depth);
            skipSpaces();
            if (take('}'))
                return toJson(std::move(table));
            if (atEnd() || peek() == '\n' || peek() == '\r')
                fail("an inline table must be closed in its line");
            if (!take(','))
                fail("',' or '}' expected in an inline table");
        }
    }

    std::string parseLiteral()
    {
        const std::size_t begin = ++m_at;
        while (!atEnd() && peek() != '\'') {
            if (peek() == '\n')
                fail("a text that is never closed");
            refuseControl(m_text[m_at++]);
        }
        if (atEnd())
            fail("a text that is never closed");
        return std::string(m_text.substr(begin, m_at++ - begin));
    }

    std::string parseBasic()
    {
        ++m_at;
        std::string text;
        while (!take('"')) {
            if (atEnd() || peek() == '\n')
                fail("a text that is never closed");
            const char c = m_text[m_at++];
            refuseControl(c);
            if (c == '\\')
                parseEscape(text);
            else
                text += c;
        }
        return text;
    }

    // """...""" or '''...''', behind the opening quotes.
    std::string parseLines(char quote)
    {
        const int opened = m_line;
        std::string text;
        takeNewLine();
        while (true) {
            if (atEnd())
                failAt(opened, "a text that is never closed begins here");
            if (takeNewLine()) {
                text += '\n';
                continue;
            }
            const char c = m_text[m_at];
            if (c == quote) {
                std::size_t quotes = 0;
                while (peek() == quote && !atEnd() && quotes < 5) {
                    ++quotes;
                    ++m_at;
                }
                // Up to two quotes may stand right before the closing three.
                text.append(quotes >= 3 ? quotes - 3 : quotes, quote);
                if (quotes >= 3)
                    return text;
                continue;
            }
            ++m_at;
            refuseControl(c);
            if (c != '\\' || quote == '\'')
                text += c;
            else if (!skipEscapedLines())
                parseEscape(text);
        }
    }

    // A '\' at the end of a line swallows all white space up to the next character.
    bool skipEscapedLines()
    {
        const std::size_t at = m_at;
        skipSpaces();
        if (!takeNewLine()) {
            m_at = at;
            return false;
        }
        do
            skipSpaces();
        while (takeNewLine());
        return true;
    }

    void parseEscape(std::string &text)
    {
        const char c = atEnd() ? '\0' : m_text[m_at++];
        switch (c) {
        case 'b':
            text += '\b';
            return;
        case 't':
            text += '\t';
            return;
        case 'n':
            text += '\n';
            return;
        case 'f':
            text += '\f';
            return;
        case 'r':
            text += '\r';
            return;
        case '"':
            text += '"';
            return;
        case '\\':
            text += '\\';
            return;
        case 'u':
            return appendCodePoint(4, text);
        case 'U':
            return appendCodePoint(8, text);
        default:
            fail("an unknown escape in a text (patterns are best written in 'single quotes')");
        }
    }

    void appendCodePoint(std::size_t digits, std::string &text)
    {
        const std::string_view hex = m_text.substr(m_at, digits);
        std::uint32_t c = 0;
        const auto [end, fault] = std::from_chars(hex.data(), hex.data() + hex.size(), c, 16);
        if (hex.size() < digits || end != hex.data() + digits || fault != std::errc() || c > 0x10FFFF
            || (c >= 0xD800 && c <= 0xDFFF))
            fail(fmt::format(
                "\\{} must be followed by the {} hexadecimal digits of a character", digits == 4 ? 'u' : 'U', digits));
        m_at += digits;
        if (c < 0x80) {
            text += static_cast<char>(c);
            return;
        }
        const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        static constexpr unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
        text += static_cast<char>(lead[more] | (c >> (6 * more)));
        for (int i = more - 1; i >= 0; --i)
            text += static_cast<char>(0x80 | ((c >> (6 * i)) & 0x3F));
    }

    // What is neither quoted nor bracketed: a flag or a number.
    Json parseWord()
    {
        const std::size_t begin = m_at;
        const std::size_t end = m_text.find_first_of(" \t\r\n,]}#", begin);
        const std::string_view word = m_text.substr(begin, end == std::string_view::npos ? end : end - begin);
        if (word.empty())
            fail("a value is missing");
        m_at += word.size();
        if (word == "true" || word == "false")
            return word == "true";
        const bool sign = word[0] == '+' || word[0] == '-';
        const std::string_view size = word.substr(sign ? 1 : 0);
        if (size == "inf" || size == "nan")
            fail(fmt::format("'{}' is no finite number", word));
        const std::size_t digits = size.find_first_not_of("0123456789");
        if (digits != std::string_view::npos && ((digits == 4 && size[4] == '-') || (digits == 2 && size[2] == ':')))
            fail(fmt::format("'{}': dates and times are not supported; write a text", escaped(word, 60)));
        if (const std::optional<Json> number = parseNumber(word[0] == '-', sign, size))
            return *number;
        fail(fmt::format("'{}' is no value; a text needs quotes", escaped(word, 60)));
    }

    std::optional<Json> parseNumber(bool negative, bool sign, std::string_view size) const
    {
        const int base = size.starts_with("0x") ? 16 : size.starts_with("0o") ? 8 : size.starts_with("0b") ? 2 : 10;
        if (base != 10 && sign)
            return {};
        const std::size_t stop = base == 10 ? std::min(size.find_first_of(".eE"), size.size()) : size.size();
        const std::size_t first = base == 10 ? 0 : 2;
        const std::string whole = plainDigits(size.substr(first, stop - first), base);
        if (whole.empty() || (base == 10 && whole.size() > 1 && whole[0] == '0'))
            return {};
        const auto tooLarge = [&]() { fail(fmt::format("'{}' does not fit 64 bits", escaped(size, 60))); };
        if (stop == size.size()) {
            const std::string text = (negative ? "-" : "") + whole;
            std::int64_t integer = 0;
            if (std::from_chars(text.data(), text.data() + text.size(), integer, base).ec != std::errc())
                tooLarge();
            return integer;
        }
        std::string text = whole;
        std::string_view rest = size.substr(stop);
        if (rest[0] == '.') {
            const std::size_t exponent = std::min(rest.find_first_of("eE"), rest.size());
            const std::string fraction = plainDigits(rest.substr(1, exponent - 1));
            if (fraction.empty())
                return {};
            text += '.' + fraction;
            rest = rest.substr(exponent);
        }
        if (!rest.empty()) {
            rest.remove_prefix(1);
            const bool down = rest.starts_with('-');
            if (down || rest.starts_with('+'))
                rest.remove_prefix(1);
            const std::string exponent = plainDigits(rest);
            if (exponent.empty())
                return {};
            text += (down ? "e-" : "e") + exponent;
        }
        double number = 0;
        const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (end != text.data() + text.size() || fault != std::errc() || !std::isfinite(number))
            tooLarge();
        return negative ? -number : number;
    }

    std::string_view m_text;
    std::string_view m_file;
    std::size_t m_at = 0;
    int m_line = 1;
    Table m_root;
    Table *m_table = &m_root;  // of the last header
    std::size_t m_depth = 0;  // of that table
};

}  // namespace

Json parseToml(std::string_view text, std::string_view file)
{
    refuseOtherEncodings(text, file);
    if (const std::string found = recognisedContent(std::as_bytes(std::span(text))); !found.empty())
        throw Error(ErrorCode::Format, file, {}, fmt::format("is {}, not TOML", found));
    if (text.size() > mostBytes)
        throw Error(ErrorCode::Format, file, {},
            fmt::format(
                "has {}, a TOML file may have {}", formatBytes(static_cast<double>(text.size())), formatBytes(mostBytes)));
    return TomlParser(text, file).parse();
}

Json readTomlFile(const std::string &path)
{
    return parseToml(readTextFile(path, mostBytes), path);
}

}  // namespace lqer
