// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "core/io/json.h"

namespace lqer {

// A value as Python's ast.literal_eval reads it: None, True, False, integers, floats, quoted strings, lists, tuples (an array
// here) and dicts (keys that are numbers become text). At most 32 containers in each other; no expressions, sets or bytes.
// Throws Error(Argument) with the character at which the text stops being a literal.
Json parsePythonLiteral(std::string_view text);

}  // namespace lqer
