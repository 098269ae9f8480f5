// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/io/json.h"

namespace lqer {

// Changes of a configuration from outside (command line, sweep) by the path of keys, as LQER's pipeline.py takes them:
// "--approximate:approximator:default:rank=32" (numerics.md F.1). A key that itself contains ':' is found as long as it exists.

// The value at the path, or nullptr.
const Json *findConfigValue(const Json &config, std::string_view path);

// Replaces the value at the path. With `create` the missing tables on the way are made; without, a path that leads nowhere throws
// Error(Argument) with the nearest key. A path through a value that is no table throws in both cases.
void setConfigValue(Json &config, std::string_view path, Json value, bool create);

// "--path=value" with one or two leading '-'; the value is everything behind the first '='.
struct ConfigOverride {
    std::string path;
    std::string text;
};
// Throws Error(Argument) on anything else.
ConfigOverride parseConfigOverride(std::string_view argument);

// Applies one override. A text that begins with ":ast:" is a Python literal and may make new keys; any other text is read as the
// type of the value that is there, and throws Error(Argument) if there is none or it does not fit. "NA" is null, and a null may
// become anything. Where this means what the official code only intends ("false" for a flag), one warning line goes to the log.
void applyConfigOverride(Json &config, const ConfigOverride &override);
// All of them, in order.
void applyConfigOverrides(Json &config, std::span<const std::string> arguments);

// LQER's configurations write None as the text "NA": null for it at any depth, and back.
Json nullsFromNa(const Json &config);
Json naFromNulls(const Json &config);

}  // namespace lqer
