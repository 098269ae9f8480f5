// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lqer {

// A sweep that comes with the program, as a sweep file.
struct SweepPreset {
    std::string name;     // "l2qer-mxint"
    std::string meaning;  // one line
    std::string json;
};

// The papers' sweep scripts (numerics.md F.1: lists with the values they ship with), QERA's shipped configurations (F.2), and the papers' table.
const std::vector<SweepPreset> &sweepPresets();
// Throws Error(Argument) naming the nearest known one.
const SweepPreset &findSweepPreset(std::string_view name);

}  // namespace lqer
