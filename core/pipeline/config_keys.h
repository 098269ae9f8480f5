// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/json.h"

namespace lqer {

// What a table of a configuration may hold. Keys that say something about a cluster, a GPU or a service have no meaning here:
// they are accepted and named in one line.
struct ConfigKeys {
    std::vector<std::string> known;
    std::vector<std::string> ignored;
};

// Throws Error(Format) for a key that is neither known nor ignored, with the nearest that is. Paths of ignored keys that are
// there are appended to `ignored`.
void checkKeys(const JsonReader &table, const ConfigKeys &keys, std::vector<std::string> *ignored = nullptr);

// true, false, or the 0 and 1 that ":ast:" overrides give.
bool flagFrom(const JsonReader &table, std::string_view key, bool fallback);
// A text, or a list of texts; empty if the key is not there.
std::vector<std::string> textsFrom(const JsonReader &table, std::string_view key);

}  // namespace lqer
