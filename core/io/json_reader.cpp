// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/json.h"

namespace lqer {

namespace {

// What a value is, for "found ...".
std::string described(const Json &value)
{
    if (value.isArray())
        return "a list";
    if (value.isObject())
        return "an object";
    if (value.isString())
        return fmt::format("the string \"{}\"", escaped(value.asString(), 60));
    return value.dump();
}

}  // namespace

JsonReader::JsonReader(const Json &value, std::string file, std::string path)
    : m_value(&value), m_file(std::move(file)), m_path(std::move(path))
{
}

bool JsonReader::has(std::string_view key) const
{
    if (!m_value->isObject())
        fail(fmt::format("must be an object {{...}}, found {}", described(*m_value)));
    const Json *member = m_value->find(key);
    return member && !member->isNull();
}

JsonReader JsonReader::operator[](std::string_view key) const
{
    if (!m_value->isObject())
        fail(fmt::format("must be an object {{...}}, found {}", described(*m_value)));
    const Json *member = m_value->find(key);
    if (!member)
        fail(fmt::format("lacks '{}'", key));
    return {*member, m_file, m_path.empty() ? std::string(key) : fmt::format("{}.{}", m_path, key)};
}

JsonReader JsonReader::at(std::size_t index) const
{
    const std::size_t count = size();
    if (index >= count)
        fail(fmt::format("has {} elements, number {} was expected", count, index + 1));
    return {m_value->asArray()[index], m_file, fmt::format("{}[{}]", m_path, index)};
}

std::size_t JsonReader::size() const
{
    if (!m_value->isArray())
        fail(fmt::format("must be a list [...], found {}", described(*m_value)));
    return m_value->asArray().size();
}

bool JsonReader::boolean() const
{
    if (!m_value->isBool())
        fail(fmt::format("must be true or false, found {}", described(*m_value)));
    return m_value->asBool();
}

std::int64_t JsonReader::integer(std::int64_t least, std::int64_t most) const
{
    if (!m_value->isInteger() && m_value->isNumber() && std::abs(m_value->asNumber()) >= 0x1p63)
        fail(fmt::format("{:.0f} is out of range", m_value->asNumber()));
    if (!m_value->isInteger())
        fail(fmt::format("must be a whole number, found {}", described(*m_value)));
    const std::int64_t value = m_value->asInteger();
    if (value < least)
        fail(fmt::format("must be at least {}, found {}", least, value));
    if (value > most)
        fail(fmt::format("{} is larger than {}", value, most));
    return value;
}

double JsonReader::number() const
{
    if (!m_value->isNumber())
        fail(fmt::format("must be a number, found {}", described(*m_value)));
    return m_value->asNumber();
}

const std::string &JsonReader::string() const
{
    if (!m_value->isString())
        fail(fmt::format("must be a string, found {}", described(*m_value)));
    return m_value->asString();
}

bool JsonReader::boolean(std::string_view key, bool fallback) const
{
    return has(key) ? (*this)[key].boolean() : fallback;
}

std::int64_t JsonReader::integer(std::string_view key, std::int64_t least, std::int64_t most, std::int64_t fallback) const
{
    return has(key) ? (*this)[key].integer(least, most) : fallback;
}

double JsonReader::number(std::string_view key, double fallback) const
{
    return has(key) ? (*this)[key].number() : fallback;
}

std::string JsonReader::string(std::string_view key, const std::string &fallback) const
{
    return has(key) ? (*this)[key].string() : fallback;
}

void JsonReader::fail(std::string_view message) const
{
    throw Error(ErrorCode::Format, m_file, m_path.empty() ? std::string() : fmt::format("key '{}'", m_path), message);
}

}  // namespace lqer
