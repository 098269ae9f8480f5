// SPDX-License-Identifier: Apache-2.0
#include "core/io/toml.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer {

namespace {

[[noreturn]] void fail(const std::string &path, std::string_view message)
{
    throw Error(ErrorCode::Unsupported, {}, fmt::format("key '{}'", path), message);
}

bool isPlain(std::string_view text)
{
    return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

std::string quoted(std::string_view text)
{
    // Patterns are full of backslashes, which a literal text keeps readable.
    if (isPlain(text) && text.find('\'') == std::string_view::npos && text.find_first_of("\\\"") != std::string_view::npos)
        return fmt::format("'{}'", text);
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\')
            (out += '\\') += c;
        else if (c == '\n')
            out += "\\n";
        else if (c == '\t')
            out += "\\t";
        else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
        else
            out += c;
    }
    return out + '"';
}

std::string keyText(std::string_view key)
{
    const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    });
    return bare ? std::string(key) : quoted(key);
}

std::string joined(const std::string &path, std::string_view key)
{
    return path.empty() ? keyText(key) : fmt::format("{}.{}", path, keyText(key));
}

bool isTableArray(const Json &value)
{
    return value.isArray() && !value.asArray().empty()
        && std::all_of(value.asArray().begin(), value.asArray().end(), [](const Json &element) { return element.isObject(); });
}

std::string inlineText(const Json &value, const std::string &path)
{
    if (value.isNull())
        fail(path, "is null, which TOML cannot hold");
    if (value.isString())
        return quoted(value.asString());
    if (value.isArray()) {
        std::string out = "[";
        for (const Json &element : value.asArray())
            out += (out.size() > 1 ? ", " : "") + inlineText(element, path);
        return out + "]";
    }
    if (value.isObject()) {
        std::string out = "{";
        for (const auto &[key, member] : value.asObject())
            out += fmt::format("{}{} = {}", out.size() > 1 ? ", " : "", keyText(key), inlineText(member, joined(path, key)));
        return out + "}";
    }
    if (value.isNumber() && !std::isfinite(value.asNumber()))
        fail(path, "is no finite number");
    return value.dump();
}

void write(const Json &table, const std::string &path, std::string &out)
{
    for (const auto &[key, value] : table.asObject())
        if (!value.isObject() && !isTableArray(value))
            out += fmt::format("{} = {}\n", keyText(key), inlineText(value, joined(path, key)));
    for (const auto &[key, value] : table.asObject()) {
        const std::string name = joined(path, key);
        if (value.isObject()) {
            out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", name);
            write(value, name, out);
        } else if (isTableArray(value)) {
            for (const Json &element : value.asArray()) {
                out += fmt::format("{}[[{}]]\n", out.empty() ? "" : "\n", name);
                write(element, name, out);
            }
        }
    }
}

}  // namespace

std::string toToml(const Json &config)
{
    if (!config.isObject())
        throw Error(ErrorCode::Unsupported, "only a table of keys can be written as TOML");
    std::string out;
    write(config, {}, out);
    return out;
}

}  // namespace lqer
