// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/io/json.h"

namespace lqer {

// One YAML document as PyYAML's safe_load reads it (YAML 1.1's words: yes and no are booleans, ~ is null; 1e-3 is a text, 1.0e-3
// a number; 1:30 is 90), held to stricter rules: no duplicate keys, no second document, keys are scalars (kept by their text), no
// infinities, no NaN, no tags but those of the values Json has. Dates stay texts. Aliases and merge keys ("<<") are copies. At
// most 1 MiB, 64 levels and 100,000 values, copies counted. `file` is for messages. Throws Error(Format) with file and line.
Json parseYaml(std::string_view text, std::string_view file);
Json readYamlFile(const std::string &path);

// Block style in the order of the value. PyYAML and parseYaml() read the same value back.
std::string toYaml(const Json &value);

}  // namespace lqer
