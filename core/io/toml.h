// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "core/io/json.h"

namespace lqer {

// TOML 1.0 without dates, infinities and NaN: tables, dotted and quoted keys, arrays of tables, inline tables, all kinds of
// strings. Read strictly and from untrusted files (reliability.md 3.4): at most 256 KiB, 32 tables and arrays in each other, 16
// dots in a key. Tables become objects in the order of the file. Throws Error(Format): "<file>, line 3: key 'a' is defined twice
// (first in line 1)".
Json parseToml(std::string_view text, std::string_view file);
Json readTomlFile(const std::string &path);

// What parseToml() reads back as the same value, tables in order behind the plain values of their parent. Throws
// Error(Unsupported) naming the key of a null, which TOML has no word for, or if `config` is no object.
std::string toToml(const Json &config);

}  // namespace lqer
