// SPDX-License-Identifier: Apache-2.0
#include "core/io/json.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/file.h"
#include "core/io/text_encoding.h"

namespace lqer {

namespace {

// 40 bytes each in memory. The largest tokenizer files have about one million.
constexpr std::size_t mostValues = 16'000'000;

// Feeds the parser and remembers how far it has read, because its events carry no position.
class CountingIterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char *;
    using reference = const char &;

    CountingIterator(const char *at, const char **reached) : m_at(at), m_reached(reached) {}
    reference operator*() const { return *m_at; }
    CountingIterator &operator++()
    {
        *m_reached = ++m_at;
        return *this;
    }
    friend bool operator==(const CountingIterator &a, const CountingIterator &b) { return a.m_at == b.m_at; }
    friend bool operator!=(const CountingIterator &a, const CountingIterator &b) { return a.m_at != b.m_at; }

private:
    const char *m_at;
    const char **m_reached;
};

// Receives the parser's events and builds the value. SAX, because the library's own document type keeps the last of
// duplicate keys and turns big integers into doubles without a word (reliability.md 3.4).
class Builder {
public:
    Builder(std::string_view text, std::string_view file, std::size_t deepest)
        : m_text(text), m_file(file), m_deepest(deepest), m_reached(text.data())
    {
    }

    Json parse()
    {
        nlohmann::json::sax_parse(CountingIterator(m_text.data(), &m_reached),
                                  CountingIterator(m_text.data() + m_text.size(), &m_reached), this);
        return std::move(m_root);
    }

    bool null() { return add(Json()); }
    bool boolean(bool value) { return add(Json(value)); }
    // The parser calls this for numbers with a minus sign only; "-0" is a double, because no integer says it.
    bool number_integer(std::int64_t value) { return add(value == 0 ? Json(-0.0) : Json(value)); }
    bool number_unsigned(std::uint64_t value)
    {
        if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
            return add(Json(static_cast<double>(value)));
        return add(Json(value));
    }
    // Integers that do not fit come here, too. They are refused where an integer is asked for, not before: nearly every
    // tokenizer_config.json says "model_max_length": 1000000000000000019884624838656.
    bool number_float(double value, const std::string &) { return add(Json(value)); }
    bool string(std::string &value) { return add(Json(std::move(value))); }
    bool binary(std::vector<std::uint8_t> &) { return false; }

    bool start_object(std::size_t) { return open(Json::object()); }
    bool start_array(std::size_t) { return open(Json::array()); }
    bool end_array() { return close(); }
    bool end_object()
    {
        checkDuplicates();
        m_keyEnds.resize(m_keyEnds.size() - m_open.back()->asObject().size());
        return close();
    }
    bool key(std::string &name)
    {
        if (name.find('\0') != std::string::npos)
            fail(fmt::format("NUL in name '{}'", escaped(name)));
        m_open.back()->asObject().emplace_back(std::move(name), Json());
        m_keyEnds.push_back(position());
        return true;
    }

    bool parse_error(std::size_t, const std::string &, const nlohmann::json::exception &error)
    {
        const std::size_t at = position() == 0 ? 0 : position() - 1;
        if (const std::string found = recognisedContent(std::as_bytes(std::span(m_text))); !found.empty() && m_text[0] != '{')
            throw Error(ErrorCode::Format, m_file, {}, fmt::format("is {}", found));
        constexpr int numberOverflow = 406;
        if (error.id == numberOverflow)
            failNumber("number is out of range");
        if (m_complete)
            fail("text after the end", at);
        for (const char *word : {"NaN", "Infinity"})
            if (m_text.substr(at).starts_with(word))
                fail(fmt::format("{} is not JSON", word), at);
        if (static_cast<unsigned char>(m_text[at]) < 0x20 && !std::strchr("\t\r\n", m_text[at]))
            fail(fmt::format("control character 0x{:02x}", m_text[at]), at);
        if (endsInTheMiddle(error.what()))
            fail("ends in the middle (interrupted download?)", m_text.size());
        if (static_cast<unsigned char>(m_text[at]) < 0x20)
            fail(fmt::format("control character 0x{:02x} in a string or name", m_text[at]), at);
        fail("invalid JSON", at);
    }

private:
    std::size_t position() const { return static_cast<std::size_t>(m_reached - m_text.data()); }

    [[noreturn]] void fail(const std::string &message) const { fail(message, position()); }
    [[noreturn]] void fail(const std::string &message, std::size_t at, std::string_view where = {}) const
    {
        throw Error(ErrorCode::Format, m_file, where, fmt::format("{} at byte {}", message, at));
    }
    // Names the member that the number belongs to.
    [[noreturn]] void failNumber(const std::string &message) const
    {
        std::string where;
        for (const Json *container : m_open)
            if (container->isObject())
                where = fmt::format("key '{}'", escaped(container->asObject().back().first, 100));
        fail(message, position(), where);
    }

    // The library says so in words only, and only if every byte was read.
    bool endsInTheMiddle(std::string_view what) const
    {
        return position() == m_text.size()
            && (what.find("unexpected end of input") != std::string_view::npos
                || what.find("missing closing quote") != std::string_view::npos || endsWithCutWord());
    }
    // "tru", "1." and "\\u00" are cut off, "truX" is wrong.
    bool endsWithCutWord() const
    {
        if (m_text.substr(m_text.size() - std::min<std::size_t>(m_text.size(), 5)).find('\\') != std::string_view::npos)
            return true;
        const std::string_view word = m_text.substr(m_text.find_last_of(" \t\r\n,:[{") + 1);
        for (const std::string_view whole : {"true", "false", "null"})
            if (!word.empty() && whole.starts_with(word))
                return true;
        return !word.empty() && std::strchr("-+.eE", word.back()) && std::strchr("-0123456789", word.front());
    }

    bool add(Json value)
    {
        place(std::move(value));
        return true;
    }
    Json *place(Json value)
    {
        if (++m_values > mostValues)
            fail(fmt::format("more than {} values", mostValues));
        if (m_open.empty()) {
            m_root = std::move(value);
            m_complete = true;
            return &m_root;
        }
        Json &parent = *m_open.back();
        if (parent.isArray()) {
            parent.append(std::move(value));
            return &parent.asArray().back();
        }
        Json &member = parent.asObject().back().second;
        member = std::move(value);
        return &member;
    }
    bool open(Json container)
    {
        if (m_open.size() == m_deepest)
            fail(fmt::format("nested deeper than {}", m_deepest));
        m_open.push_back(place(std::move(container)));
        m_complete = false;
        return true;
    }
    bool close()
    {
        m_open.pop_back();
        m_complete = m_open.empty();
        return true;
    }

    // Sorting instead of a hash table: no input makes it quadratic.
    void checkDuplicates()
    {
        const Json::Object &members = m_open.back()->asObject();
        m_order.resize(members.size());
        std::iota(m_order.begin(), m_order.end(), 0U);
        std::sort(m_order.begin(), m_order.end(), [&](std::uint32_t a, std::uint32_t b) {
            const int order = members[a].first.compare(members[b].first);
            return order != 0 ? order < 0 : a < b;
        });
        for (std::size_t i = 1; i < m_order.size(); ++i) {
            const std::string &name = members[m_order[i]].first;
            if (name == members[m_order[i - 1]].first)
                fail(fmt::format("duplicate key '{}'", escaped(name)), m_keyEnds[m_keyEnds.size() - members.size() + m_order[i]]);
        }
    }

    std::string_view m_text;
    std::string_view m_file;
    std::size_t m_deepest;
    const char *m_reached;
    Json m_root;
    bool m_complete = false;
    std::size_t m_values = 0;
    std::vector<Json *> m_open;             // containers not yet closed, outermost first
    std::vector<std::size_t> m_keyEnds;     // byte behind each name of the open objects
    std::vector<std::uint32_t> m_order;     // scratch of checkDuplicates()
};

void dumpString(const std::string &text, std::string &out)
{
    out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void dumpNumber(double value, std::string &out)
{
    if (!std::isfinite(value)) {
        out += "null";
        return;
    }
    const std::string digits = fmt::format("{}", value);
    out += digits;
    if (digits.find_first_of(".e") == std::string::npos)
        out += ".0";
}

void newLine(int indent, int level, std::string &out)
{
    if (indent < 0)
        return;
    out += '\n';
    out.append(static_cast<std::size_t>(indent) * static_cast<std::size_t>(level), ' ');
}

void dumpValue(const Json &value, int indent, int level, std::string &out)
{
    if (value.isNull()) {
        out += "null";
    } else if (value.isBool()) {
        out += value.asBool() ? "true" : "false";
    } else if (value.isInteger()) {
        out += fmt::format("{}", value.asInteger());
    } else if (value.isNumber()) {
        dumpNumber(value.asNumber(), out);
    } else if (value.isString()) {
        dumpString(value.asString(), out);
    } else if (value.isArray()) {
        const char *separator = "";
        out += '[';
        for (const Json &element : value.asArray()) {
            out += separator;
            newLine(indent, level + 1, out);
            dumpValue(element, indent, level + 1, out);
            separator = ",";
        }
        if (!value.asArray().empty())
            newLine(indent, level, out);
        out += ']';
    } else {
        const char *separator = "";
        out += '{';
        for (const auto &[name, member] : value.asObject()) {
            out += separator;
            newLine(indent, level + 1, out);
            dumpString(name, out);
            out += indent < 0 ? ":" : ": ";
            dumpValue(member, indent, level + 1, out);
            separator = ",";
        }
        if (!value.asObject().empty())
            newLine(indent, level, out);
        out += '}';
    }
}

}  // namespace

Json::Json(std::uint64_t value) : m_value(static_cast<std::int64_t>(value))
{
    LQER_ASSERT(value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
}

bool Json::asBool() const
{
    LQER_ASSERT(isBool());
    return std::get<bool>(m_value);
}

std::int64_t Json::asInteger() const
{
    LQER_ASSERT(isInteger());
    return std::get<std::int64_t>(m_value);
}

double Json::asNumber() const
{
    LQER_ASSERT(isNumber());
    return isInteger() ? static_cast<double>(std::get<std::int64_t>(m_value)) : std::get<double>(m_value);
}

const std::string &Json::asString() const
{
    LQER_ASSERT(isString());
    return std::get<std::string>(m_value);
}

const Json::Array &Json::asArray() const
{
    LQER_ASSERT(isArray());
    return std::get<Array>(m_value);
}

const Json::Object &Json::asObject() const
{
    LQER_ASSERT(isObject());
    return std::get<Object>(m_value);
}

Json::Array &Json::asArray()
{
    LQER_ASSERT(isArray());
    return std::get<Array>(m_value);
}

Json::Object &Json::asObject()
{
    LQER_ASSERT(isObject());
    return std::get<Object>(m_value);
}

const Json *Json::find(std::string_view key) const
{
    if (!isObject())
        return nullptr;
    for (const auto &[name, member] : asObject())
        if (name == key)
            return &member;
    return nullptr;
}

Json &Json::set(std::string key, Json value)
{
    for (auto &[name, member] : asObject()) {
        if (name == key) {
            member = std::move(value);
            return *this;
        }
    }
    asObject().emplace_back(std::move(key), std::move(value));
    return *this;
}

Json &Json::append(Json value)
{
    asArray().push_back(std::move(value));
    return *this;
}

std::string Json::dump(int indent) const
{
    std::string out;
    dumpValue(*this, indent, 0, out);
    return out;
}

Json parseJson(std::string_view text, std::string_view file, std::size_t deepest)
{
    refuseOtherEncodings(text, file);
    return Builder(text, file, deepest).parse();
}

Json readJsonFile(const std::string &path, std::uint64_t limit)
{
    return parseJson(readTextFile(path, limit), path);
}

}  // namespace lqer
