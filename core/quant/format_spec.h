// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/io/json.h"

namespace lqer {

using FormatValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>>;

// A number format by name and parameters, as a recipe, a project or a command line states it. A value; equality is textual:
// compare withDefaults() (quantizer.h) of both where it does not matter whether a default was written out.
struct FormatSpec {
    std::string name = "passthrough";
    std::map<std::string, FormatValue> parameters;

    // "mxint:width=4,block_size=32"; lists as "block_size=1x16"; short presets that formats() lists ("mxint4", "nf4", ...),
    // which may be followed by more parameters ("mxint4:block_size=16"). Parses what toString() prints.
    // Throws Error(Argument) naming the nearest known format or parameter.
    static FormatSpec parse(std::string_view text);
    std::string toString() const;
    // {"name": "mxint", "width": 4, "block_size": 32}; the papers' quantizer tables read the same way: null and "NA" are
    // defaults, "bypass" is passthrough, LQER's "integer" with a "frac_width" is fixed. Throws Error(Format) with the place.
    static FormatSpec fromJson(const JsonReader &json);
    Json toJson() const;

    bool isPassthrough() const { return name == "passthrough"; }
    friend bool operator==(const FormatSpec &, const FormatSpec &) = default;
};

}  // namespace lqer
