// SPDX-License-Identifier: Apache-2.0
#include "core/quant/quantizer.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

[[noreturn]] void refuse(const std::string &message) { throw Error(ErrorCode::Argument, message); }

std::string suggestion(std::string_view name, std::span<const std::string> candidates)
{
    const std::string near = nearest(name, candidates);
    return near.empty() ? "" : fmt::format(" (did you mean {}?)", near);
}

// Other names of the papers' tables, and of ours, for the same thing.
struct Alias {
    std::string_view name;
    FormatSpec means;
};

const std::vector<Alias> &aliases()
{
    static const std::vector<Alias> list = {
        {"bypass", {"passthrough", {}}},
        {"minifloat_ieee", {"minifloat", {{"variant", std::string("ieee")}}}},
        {"minifloat_denorm", {"minifloat", {{"variant", std::string("denorm")}}}},
        {"fp16", {"float16", {}}},
        {"bf16", {"bfloat16", {}}},
    };
    return list;
}

const FormatEntry *findEntry(std::string_view name)
{
    for (const FormatEntry &entry : formatEntries())
        if (entry.info.name == name)
            return &entry;
    return nullptr;
}

std::string outOfRange(const FormatParameter &parameter, std::string_view found)
{
    return fmt::format("{} is {}, expected {:.0f} to {:.0f}", parameter.name, found, parameter.least, parameter.most);
}

// The value in the parameter's own type, or why it cannot be that.
std::optional<std::string> fit(const FormatParameter &parameter, FormatValue &value)
{
    if (parameter.optional && value == FormatValue(std::string("none")))
        return std::nullopt;
    switch (parameter.kind) {
    case FormatParameterKind::Boolean:
        return std::holds_alternative<bool>(value) ? std::nullopt
                                                   : std::optional(fmt::format("{} is not true or false", parameter.name));
    case FormatParameterKind::Integer: {
        if (const auto *list = std::get_if<std::vector<std::int64_t>>(&value); list && list->size() == 1)
            value = FormatValue(list->front());
        const auto *integer = std::get_if<std::int64_t>(&value);
        if (!integer)
            return fmt::format("{} is not an integer", parameter.name);
        if (static_cast<double>(*integer) < parameter.least || static_cast<double>(*integer) > parameter.most)
            return outOfRange(parameter, fmt::to_string(*integer));
        return std::nullopt;
    }
    case FormatParameterKind::Real: {
        if (const auto *integer = std::get_if<std::int64_t>(&value))
            value = static_cast<double>(*integer);
        const auto *real = std::get_if<double>(&value);
        if (!real || !(*real >= parameter.least && *real <= parameter.most))
            return fmt::format("{} is not a finite number", parameter.name);
        return std::nullopt;
    }
    case FormatParameterKind::Choice: {
        const auto *text = std::get_if<std::string>(&value);
        if (!text || std::find(parameter.choices.begin(), parameter.choices.end(), *text) == parameter.choices.end())
            return fmt::format("{} is {}, expected one of {}{}", parameter.name,
                text ? fmt::format("'{}'", escaped(*text)) : "not a string", fmt::join(parameter.choices, ", "),
                text ? suggestion(*text, parameter.choices) : "");
        return std::nullopt;
    }
    case FormatParameterKind::Extents: {
        if (const auto *integer = std::get_if<std::int64_t>(&value))
            value = std::vector<std::int64_t>{*integer};
        const auto *list = std::get_if<std::vector<std::int64_t>>(&value);
        if (!list || list->empty() || list->size() > 8)
            return fmt::format("{} is not a list of one to eight extents", parameter.name);
        for (const std::int64_t extent : *list)
            if (extent == 0 || static_cast<double>(extent) < parameter.least || static_cast<double>(extent) > parameter.most)
                return fmt::format("{} has the extent {}, expected -1 or 1 to {:.0f}", parameter.name, extent, parameter.most);
        return std::nullopt;
    }
    }
    return std::nullopt;
}

// Names resolved, values checked; parameters not given stay away.
FormatSpec resolved(const FormatSpec &given)
{
    FormatSpec spec = given;
    for (const Alias &alias : aliases()) {
        if (spec.name == alias.name) {
            spec.name = alias.means.name;
            spec.parameters.insert(alias.means.parameters.begin(), alias.means.parameters.end());
        }
    }
    if (spec.isPassthrough()) {  // swallows any keyword, as the official one
        spec.parameters.clear();
        return spec;
    }
    if (spec.name == "integer") {
        if (spec.parameters.contains("frac_width"))
            spec.name = "fixed";  // LQER's integer quantizer
        else if (auto width = spec.parameters.extract("width")) {
            width.key() = "n_bits";
            spec.parameters.insert(std::move(width));
        }
    }

    const FormatEntry *entry = findEntry(spec.name);
    if (!entry) {
        std::vector<std::string> known;
        for (const FormatEntry &candidate : formatEntries())
            known.push_back(candidate.info.name);
        refuse(fmt::format("unknown number format '{}'{}", escaped(spec.name), suggestion(spec.name, known)));
    }
    checkParameters(spec.name, entry->info.parameters, spec.parameters);
    return spec;
}

std::vector<std::string_view> split(std::string_view text, char separator)
{
    std::vector<std::string_view> parts;
    for (std::size_t start = 0;;) {
        const std::size_t end = text.find(separator, start);
        parts.push_back(text.substr(start, end - start));
        if (end == std::string_view::npos)
            return parts;
        start = end + 1;
    }
}

std::optional<std::int64_t> integerFrom(std::string_view text)
{
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

// The spec a format's name, an alias or a preset stands for.
FormatSpec named(std::string_view name)
{
    if (findEntry(name))
        return {std::string(name), {}};
    std::vector<std::string> known;
    for (const Alias &alias : aliases()) {
        if (alias.name == name)
            return alias.means;
        known.emplace_back(alias.name);
    }
    for (const FormatEntry &entry : formatEntries()) {
        known.push_back(entry.info.name);
        for (const auto &[preset, spec] : entry.info.presets) {
            if (preset == name)
                return spec;
            known.push_back(preset);
        }
    }
    refuse(fmt::format("unknown number format '{}'{}", escaped(name), suggestion(name, known)));
}

FormatValue valueFrom(const JsonReader &json)
{
    const Json &value = json.value();
    if (value.isBool())
        return value.asBool();
    if (value.isInteger())
        return value.asInteger();
    if (value.isNumber())
        return value.asNumber();
    if (value.isString())
        return value.asString();
    if (value.isArray()) {
        std::vector<std::int64_t> list;
        for (std::size_t i = 0; i < json.size(); ++i)
            list.push_back(json.at(i).integer(INT64_MIN, INT64_MAX));
        return list;
    }
    json.fail("expected a number, a string, true, false or a list of integers");
}

// What the papers' tables write for "not given".
bool isAbsent(const Json &value)
{
    return value.isNull()
        || (value.isString() && (value.asString() == "NA" || value.asString() == "none" || value.asString() == "None"));
}

}  // namespace

void checkParameters(std::string_view owner, std::span<const FormatParameter> parameters, std::map<std::string, FormatValue> &values)
{
    for (auto &[name, value] : values) {
        const auto parameter = std::ranges::find(parameters, name, &FormatParameter::name);
        if (parameter == parameters.end()) {
            std::vector<std::string> known;
            for (const FormatParameter &candidate : parameters)
                known.push_back(candidate.name);
            refuse(fmt::format("{} has no parameter '{}'{}", owner, escaped(name), suggestion(name, known)));
        }
        if (const auto problem = fit(*parameter, value))
            refuse(fmt::format("{}: {}", owner, *problem));
    }
}

FormatValue parseFormatValue(std::string_view text)
{
    if (text == "true" || text == "false")
        return text == "true";
    if (const auto integer = integerFrom(text))
        return *integer;
    std::vector<std::int64_t> extents;
    for (const std::string_view part : split(text, 'x'))
        if (const auto integer = integerFrom(part))
            extents.push_back(*integer);
        else
            break;
    if (extents.size() > 1 && extents.size() == static_cast<std::size_t>(std::count(text.begin(), text.end(), 'x')) + 1)
        return extents;
    double real = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), real);
    if (error == std::errc() && end == text.data() + text.size())
        return real;
    return std::string(text == "None" || text == "NA" || text == "null" ? "none" : text);
}

std::string valueText(const FormatValue &value)
{
    struct Printer {
        std::string operator()(bool v) const { return v ? "true" : "false"; }
        std::string operator()(std::int64_t v) const { return fmt::to_string(v); }
        std::string operator()(double v) const { return fmt::format("{}", v); }
        std::string operator()(const std::string &v) const { return v; }
        std::string operator()(const std::vector<std::int64_t> &v) const { return fmt::format("{}", fmt::join(v, "x")); }
    };
    return std::visit(Printer{}, value);
}

FormatSpec FormatSpec::parse(std::string_view text)
{
    const std::size_t colon = text.find(':');
    FormatSpec spec = named(text.substr(0, colon));
    if (colon != std::string_view::npos) {
        std::map<std::string, FormatValue> given;
        for (const std::string_view part : split(text.substr(colon + 1), ',')) {
            const std::size_t equals = part.find('=');
            if (equals == std::string_view::npos || equals == 0)
                refuse(fmt::format("number format '{}': expected name=value, found '{}'", escaped(text), escaped(part)));
            const std::string name(part.substr(0, equals));
            if (!given.emplace(name, parseFormatValue(part.substr(equals + 1))).second)
                refuse(fmt::format("number format '{}': {} is given twice", escaped(text), escaped(name)));
        }
        for (auto &[name, value] : given)
            spec.parameters[name] = std::move(value);
    }
    return resolved(spec);
}

std::string FormatSpec::toString() const
{
    std::string text = name;
    for (const auto &[parameter, value] : parameters)
        text += fmt::format("{}{}={}", text.size() == name.size() ? ':' : ',', parameter, valueText(value));
    return text;
}

FormatSpec FormatSpec::fromJson(const JsonReader &json)
{
    if (json.value().isString()) {
        try {
            return parse(json.string());
        } catch (const Error &error) {
            json.fail(error.what());
        }
    }
    FormatSpec spec;
    spec.name = json["name"].string();
    for (const auto &[key, value] : json.value().asObject())
        if (key != "name" && !isAbsent(value))
            spec.parameters[key] = valueFrom(json[key]);
    try {
        return resolved(spec);
    } catch (const Error &error) {
        json.fail(error.what());
    }
}

Json FormatSpec::toJson() const
{
    Json json = Json::object();
    json.set("name", name);
    for (const auto &[parameter, value] : parameters) {
        if (const auto *list = std::get_if<std::vector<std::int64_t>>(&value)) {
            Json array = Json::array();
            for (const std::int64_t extent : *list)
                array.append(extent);
            json.set(parameter, std::move(array));
        } else if (const auto *text = std::get_if<std::string>(&value)) {
            json.set(parameter, *text);
        } else if (const auto *flag = std::get_if<bool>(&value)) {
            json.set(parameter, *flag);
        } else if (const auto *integer = std::get_if<std::int64_t>(&value)) {
            json.set(parameter, *integer);
        } else {
            json.set(parameter, std::get<double>(value));
        }
    }
    return json;
}

const std::vector<FormatInfo> &formats()
{
    static const std::vector<FormatInfo> infos = [] {
        std::vector<FormatInfo> all;
        for (const FormatEntry &entry : formatEntries())
            all.push_back(entry.info);
        return all;
    }();
    return infos;
}

const FormatInfo *findFormat(std::string_view name)
{
    const auto &all = formats();
    const auto found = std::find_if(all.begin(), all.end(), [&](const FormatInfo &info) { return info.name == name; });
    return found == all.end() ? nullptr : &*found;
}

FormatSpec withDefaults(const FormatSpec &spec)
{
    FormatSpec complete = resolved(spec);
    for (const FormatParameter &parameter : findEntry(complete.name)->info.parameters)
        complete.parameters.emplace(parameter.name, parameter.fallback);
    return complete;
}

std::string shortName(const FormatSpec &spec)
{
    FormatSpec complete = withDefaults(spec);
    const FormatEntry *entry = findEntry(complete.name);
    for (const auto &[name, preset] : entry->info.presets)
        if (withDefaults(preset) == complete)
            return name;
    for (const FormatParameter &parameter : entry->info.parameters)
        if (complete.parameters.at(parameter.name) == parameter.fallback)
            complete.parameters.erase(parameter.name);
    return complete.toString();
}

std::unique_ptr<Quantizer> makeQuantizer(const FormatSpec &spec)
{
    const FormatSpec complete = withDefaults(spec);
    return findEntry(complete.name)->make(complete);
}

}  // namespace lqer
