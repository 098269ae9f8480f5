// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace lqer {

// A JSON value read strictly: valid UTF-8, no duplicate keys, no NUL in keys, nothing but white space behind the value, at
// most 64 levels deep. An integer that does not fit 64 bits is a number but no integer. Objects keep the order of the file.
class Json {
public:
    using Array = std::vector<Json>;
    using Object = std::vector<std::pair<std::string, Json>>;

    Json() = default;  // null
    Json(bool value) : m_value(value) {}
    Json(int value) : m_value(static_cast<std::int64_t>(value)) {}
    Json(std::int64_t value) : m_value(value) {}
    Json(std::uint64_t value);
    Json(double value) : m_value(value) {}
    Json(const char *value) : m_value(std::string(value)) {}
    Json(std::string value) : m_value(std::move(value)) {}
    Json(std::string_view value) : m_value(std::string(value)) {}
    Json(Array value) : m_value(std::move(value)) {}
    Json(Object value) : m_value(std::move(value)) {}

    static Json array() { return Json(Array{}); }
    static Json object() { return Json(Object{}); }

    bool isNull() const { return std::holds_alternative<std::monostate>(m_value); }
    bool isBool() const { return std::holds_alternative<bool>(m_value); }
    bool isInteger() const { return std::holds_alternative<std::int64_t>(m_value); }
    bool isNumber() const { return isInteger() || std::holds_alternative<double>(m_value); }
    bool isString() const { return std::holds_alternative<std::string>(m_value); }
    bool isArray() const { return std::holds_alternative<Array>(m_value); }
    bool isObject() const { return std::holds_alternative<Object>(m_value); }

    // Typed access; LQER_ASSERT on the wrong type (check first, or use JsonReader below for files).
    bool asBool() const;
    std::int64_t asInteger() const;
    double asNumber() const;
    const std::string &asString() const;
    const Array &asArray() const;
    const Object &asObject() const;
    Array &asArray();
    Object &asObject();

    // Member of an object, or nullptr. Linear: to look up many names of a big object, walk asObject() once instead.
    const Json *find(std::string_view key) const;
    // Adds or replaces a member. Returns *this, so that calls chain.
    Json &set(std::string key, Json value);
    Json &append(Json value);

    // indent < 0: one line. Doubles are written so that reading gives the same bits; NaN and infinities become null.
    std::string dump(int indent = -1) const;

    friend bool operator==(const Json &, const Json &) = default;

private:
    std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> m_value;
};

// `file` is for messages only; `deepest` is how many containers may lie in each other (64 at most). At most 16 million values.
// Throws Error(Format) with file and byte.
Json parseJson(std::string_view text, std::string_view file, std::size_t deepest = 64);
// Reads at most `limit` bytes (a larger file is an Error).
Json readJsonFile(const std::string &path, std::uint64_t limit = 256'000'000);

// A member of a file's object with the place kept for the message: reader["rope_scaling"]["factor"].
// Every access throws Error(Format) naming file and key path, what was expected and what was found.
class JsonReader {
public:
    JsonReader(const Json &value, std::string file, std::string path = {});

    bool has(std::string_view key) const;             // present and not null
    JsonReader operator[](std::string_view key) const;  // must be there
    JsonReader at(std::size_t index) const;
    std::size_t size() const;                         // of an array

    bool boolean() const;
    std::int64_t integer(std::int64_t least, std::int64_t most) const;
    double number() const;                            // finite
    const std::string &string() const;
    const Json &value() const { return *m_value; }

    bool boolean(std::string_view key, bool fallback) const;
    std::int64_t integer(std::string_view key, std::int64_t least, std::int64_t most, std::int64_t fallback) const;
    double number(std::string_view key, double fallback) const;
    std::string string(std::string_view key, const std::string &fallback) const;

    // Throws Error(Format): "<file>, key '<path>': <message>".
    [[noreturn]] void fail(std::string_view message) const;
    const std::string &file() const { return m_file; }
    const std::string &path() const { return m_path; }

private:
    const Json *m_value;
    std::string m_file;
    std::string m_path;
};

}  // namespace lqer
