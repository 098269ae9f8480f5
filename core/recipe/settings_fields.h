// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "core/recipe/layer_plan.h"

namespace lqer {

// The format fields of settings with their JSON keys, so that overlaying, reading, writing and checking go over one list.
struct FormatField {
    const char *key;
    std::optional<FormatSpec> LayerSettings::*stated;
    FormatSpec LinearFormats::*planned;
};

inline constexpr std::array<FormatField, 7> formatFields{{
    {"weight", &LayerSettings::weight, &LinearFormats::weight},
    {"activation", &LayerSettings::activation, &LinearFormats::activation},
    {"bias", &LayerSettings::bias, &LinearFormats::bias},
    {"a", &LayerSettings::a, &LinearFormats::a},
    {"b", &LayerSettings::b, &LinearFormats::b},
    {"xa", &LayerSettings::xa, &LinearFormats::xa},
    {"xab", &LayerSettings::xab, &LinearFormats::xab},
}};

struct AttentionField {
    const char *key;
    std::optional<FormatSpec> AttentionSettings::*stated;
    FormatSpec AttentionPlan::*planned;
};

inline constexpr std::array<AttentionField, 4> attentionFields{{
    {"query", &AttentionSettings::query, &AttentionPlan::query},
    {"key", &AttentionSettings::key, &AttentionPlan::key},
    {"probabilities", &AttentionSettings::probabilities, &AttentionPlan::probabilities},
    {"value", &AttentionSettings::value, &AttentionPlan::value},
}};

}  // namespace lqer
