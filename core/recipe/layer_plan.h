// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "core/recon/corrected_linear.h"

namespace lqer {

// What a recipe states about some layers. A field without a value says nothing and leaves the decision to what is weaker:
// per-layer override, else the last rule that matches and states the field, else the recipe's defaults, else LayerPlan's values.
struct LayerSettings {
    std::optional<bool> quantize;
    std::optional<FormatSpec> weight;
    std::optional<FormatSpec> activation;
    std::optional<FormatSpec> bias;
    std::optional<FormatSpec> a, b;     // stored factors
    std::optional<FormatSpec> xa, xab;  // x A and (x A) B; unstated anywhere: the activation's format (numerics.md D)
    std::optional<ScalingKind> scaling;
    std::optional<Index> rank;  // 0: no correction

    // Every field that `over` states replaces this one's.
    void overlay(const LayerSettings &over);
    bool isEmpty() const;
    friend bool operator==(const LayerSettings &, const LayerSettings &) = default;
};

// The operands of the two attention products (numerics.md D); key is quantized transposed, (headDim, tokens).
struct AttentionSettings {
    std::optional<FormatSpec> query, key, probabilities, value;

    void overlay(const AttentionSettings &over);
    bool isEmpty() const;
    friend bool operator==(const AttentionSettings &, const AttentionSettings &) = default;
};

// One linear layer, decided.
struct LayerPlan {
    bool quantize = true;  // false: the layer stays as it is in the checkpoint
    LinearFormats formats;
    ScalingKind scaling = ScalingKind::Identity;
    Index rank = 0;
    friend bool operator==(const LayerPlan &, const LayerPlan &) = default;
};

// One block's attention, decided. Passthrough changes nothing.
struct AttentionPlan {
    FormatSpec query, key, probabilities, value;
    bool changesAnything() const;
    friend bool operator==(const AttentionPlan &, const AttentionPlan &) = default;
};

// A whole model, decided: by module name of the linear layer, and by block.
struct ModelPlan {
    std::map<std::string, LayerPlan> layers;
    std::map<std::int64_t, AttentionPlan> attention;
    friend bool operator==(const ModelPlan &, const ModelPlan &) = default;
};

}  // namespace lqer
