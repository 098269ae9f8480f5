// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/config_overrides.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/pipeline/python_literal.h"

namespace lqer {

namespace {

constexpr char separator = ':';
constexpr std::string_view literalPrefix = ":ast:";
constexpr std::string_view notAvailable = "NA";

// How far a path leads into a configuration.
struct Place {
    Json *value = nullptr;  // the last one reached
    std::string_view rest;  // what of the path is left; empty: reached all of it
    std::string_view walked;
};

// The member that begins the path, the longest where several do.
std::pair<std::string, Json> *memberAt(Json &table, std::string_view path)
{
    std::pair<std::string, Json> *best = nullptr;
    for (auto &member : table.asObject()) {
        const std::string &key = member.first;
        const bool begins = path.starts_with(key) && (path.size() == key.size() || path[key.size()] == separator);
        if (begins && (!best || key.size() > best->first.size()))
            best = &member;
    }
    return best;
}

Place walk(Json &config, std::string_view path)
{
    Place place{&config, path, {}};
    while (!place.rest.empty() && place.value->isObject()) {
        auto *const member = memberAt(*place.value, place.rest);
        if (!member)
            break;
        place.value = &member->second;
        const std::size_t used = path.size() - place.rest.size() + member->first.size();
        place.walked = path.substr(0, used);
        place.rest = used < path.size() ? path.substr(used + 1) : std::string_view();
    }
    return place;
}

[[noreturn]] void failUnknown(const Place &place, std::string_view path)
{
    if (!place.value->isObject())
        throw Error(ErrorCode::Argument, fmt::format("--{}: '{}' is a value, not a table", escaped(path), escaped(place.walked)));
    std::vector<std::string> keys;
    for (const auto &member : place.value->asObject())
        keys.push_back(member.first);
    const std::string_view key = place.rest.substr(0, place.rest.find(separator));
    const std::string near = nearest(key, keys);
    const std::string where = place.walked.empty() ? "the configuration" : fmt::format("'{}'", escaped(place.walked));
    throw Error(ErrorCode::Argument,
        fmt::format("--{}: {} has no key '{}'{} (a value that begins with :ast: makes new keys)", escaped(path), where,
            escaped(key), near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

void checkPath(std::string_view path)
{
    if (path.empty() || path.front() == separator || path.back() == separator || path.find("::") != std::string_view::npos)
        throw Error(ErrorCode::Argument, fmt::format("'{}' is no path of keys; write --key:key=value", escaped(path)));
}

template <typename Number>
bool readAll(std::string_view text, Number &number)
{
    if (text.starts_with('+'))
        text.remove_prefix(1);
    const auto [stop, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    return !text.empty() && stop == text.data() + text.size() && fault == std::errc();
}

// `text` as a value of the type that `old` has.
Json castLike(const Json &old, std::string_view path, std::string_view text)
{
    const auto fail = [&](std::string_view expected) {
        throw Error(ErrorCode::Argument, fmt::format("--{}: {} expected, found '{}'", escaped(path), expected, escaped(text)));
    };
    if (text == notAvailable)
        return {};
    if (old.isString())
        return text;
    if (old.isBool()) {
        std::string lower(text);
        std::transform(
            lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        if (lower == "true" || lower == "1")
            return true;
        if (lower != "false" && lower != "0")
            fail("true or false");
        logWarning(fmt::format(
            "--{}={} switches it off, as it says; the official pipeline takes any text as true (:ast:0 is off in both)",
            escaped(path), escaped(text)));
        return false;
    }
    if (old.isInteger()) {
        std::int64_t integer = 0;
        if (!readAll(text, integer))
            fail("an integer");
        return integer;
    }
    if (old.isNumber()) {
        double number = 0;
        if (!readAll(text, number) || !std::isfinite(number))
            fail("a number");
        return number;
    }
    if (old.isObject())
        fail("a key inside this table");
    if (old.isArray()) {
        if (!text.starts_with('[') && !text.starts_with('('))
            fail("a list, such as [1, 16],");
        return parsePythonLiteral(text);
    }
    // A null has no type to follow.
    try {
        return parsePythonLiteral(text);
    } catch (const Error &) {
        return text;
    }
}

Json replaceAll(const Json &config, const Json &from, const Json &to)
{
    if (config == from)
        return to;
    Json copy = config;
    if (copy.isArray())
        for (Json &value : copy.asArray())
            value = replaceAll(value, from, to);
    if (copy.isObject())
        for (auto &member : copy.asObject())
            member.second = replaceAll(member.second, from, to);
    return copy;
}

}  // namespace

const Json *findConfigValue(const Json &config, std::string_view path)
{
    checkPath(path);
    const Place place = walk(const_cast<Json &>(config), path);  // walk() changes nothing itself
    return place.rest.empty() ? place.value : nullptr;
}

void setConfigValue(Json &config, std::string_view path, Json value, bool create)
{
    checkPath(path);
    Place place = walk(config, path);
    if (!place.rest.empty() && (!create || !place.value->isObject()))
        failUnknown(place, path);
    Json *at = place.value;
    for (std::string_view rest = place.rest; !rest.empty();) {
        const std::size_t end = rest.find(separator);
        at->set(std::string(rest.substr(0, end)), Json::object());
        at = &at->asObject().back().second;
        rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    }
    *at = std::move(value);
}

ConfigOverride parseConfigOverride(std::string_view argument)
{
    std::string_view text = argument;
    for (int dashes = 0; dashes < 2 && text.starts_with('-'); ++dashes)
        text.remove_prefix(1);
    const std::size_t equals = text.find('=');
    if (text.size() == argument.size() || equals == std::string_view::npos)
        throw Error(ErrorCode::Argument, fmt::format("'{}' is no override; write --key:key=value", escaped(argument)));
    checkPath(text.substr(0, equals));
    return {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

void applyConfigOverride(Json &config, const ConfigOverride &override)
{
    const std::string_view text = override.text;
    if (text.starts_with(literalPrefix)) {
        setConfigValue(config, override.path, parsePythonLiteral(text.substr(literalPrefix.size())), true);
        return;
    }
    checkPath(override.path);
    const Place place = walk(config, override.path);
    if (!place.rest.empty())
        failUnknown(place, override.path);
    *place.value = castLike(*place.value, override.path, text);
}

void applyConfigOverrides(Json &config, std::span<const std::string> arguments)
{
    for (const std::string &argument : arguments)
        applyConfigOverride(config, parseConfigOverride(argument));
}

Json nullsFromNa(const Json &config)
{
    return replaceAll(config, notAvailable, Json());
}

Json naFromNulls(const Json &config)
{
    return replaceAll(config, Json(), notAvailable);
}

}  // namespace lqer
