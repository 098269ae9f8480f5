// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/quant/quantizer.h"
#include "core/recipe/layer_plan.h"

namespace lqer::test {

inline FormatSpec complete(const FormatSpec &spec)
{
    return withDefaults(spec);
}

// Plans without what has no effect, and with every default written out.
inline ModelPlan effective(ModelPlan plan)
{
    for (auto &[name, layer] : plan.layers) {
        LinearFormats &formats = layer.formats;
        if (!layer.quantize)
            layer = LayerPlan{.quantize = false, .formats = {}, .scaling = {}, .rank = 0};
        if (layer.rank == 0) {
            layer.scaling = ScalingKind::Identity;
            formats.a = formats.b = formats.xa = formats.xab = FormatSpec();
        }
        for (FormatSpec *spec :
            {&formats.weight, &formats.activation, &formats.bias, &formats.a, &formats.b, &formats.xa, &formats.xab})
            *spec = complete(*spec);
    }
    for (auto &[block, attention] : plan.attention)
        for (FormatSpec *spec : {&attention.query, &attention.key, &attention.probabilities, &attention.value})
            *spec = complete(*spec);
    return plan;
}

}  // namespace lqer::test
