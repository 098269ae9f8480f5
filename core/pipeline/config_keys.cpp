// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/config_keys.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/text.h"

namespace lqer {

void checkKeys(const JsonReader &table, const ConfigKeys &keys, std::vector<std::string> *ignored)
{
    if (!table.value().isObject())
        table.fail("must be a table of keys");
    for (const auto &[key, value] : table.value().asObject()) {
        if (std::ranges::find(keys.known, key) != keys.known.end())
            continue;
        if (std::ranges::find(keys.ignored, key) != keys.ignored.end()) {
            if (ignored)
                ignored->push_back(table.path().empty() ? key : fmt::format("{}.{}", table.path(), key));
            continue;
        }
        std::vector<std::string> all = keys.known;
        all.insert(all.end(), keys.ignored.begin(), keys.ignored.end());
        const std::string near = nearest(key, all);
        table.fail(near.empty() ? fmt::format("unknown key '{}'; known are: {}", escaped(key), fmt::join(all, ", "))
                                : fmt::format("unknown key '{}'; did you mean '{}'?", escaped(key), near));
    }
}

bool flagFrom(const JsonReader &table, std::string_view key, bool fallback)
{
    if (!table.has(key))
        return fallback;
    const JsonReader value = table[key];
    return value.value().isInteger() ? value.integer(0, 1) == 1 : value.boolean();
}

std::vector<std::string> textsFrom(const JsonReader &table, std::string_view key)
{
    if (!table.has(key))
        return {};
    const JsonReader value = table[key];
    if (value.value().isString())
        return {value.string()};
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < value.size(); ++i)
        texts.push_back(value.at(i).string());
    return texts;
}

}  // namespace lqer
