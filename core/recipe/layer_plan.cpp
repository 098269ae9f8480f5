// SPDX-License-Identifier: Apache-2.0
#include "core/recipe/layer_plan.h"

#include <algorithm>

#include "core/recipe/settings_fields.h"

namespace lqer {

namespace {

template <typename T>
void replace(std::optional<T> &field, const std::optional<T> &over)
{
    if (over)
        field = over;
}

}  // namespace

void LayerSettings::overlay(const LayerSettings &over)
{
    for (const FormatField &field : formatFields)
        replace(this->*field.stated, over.*field.stated);
    replace(quantize, over.quantize);
    replace(scaling, over.scaling);
    replace(rank, over.rank);
}

bool LayerSettings::isEmpty() const
{
    return *this == LayerSettings();
}

void AttentionSettings::overlay(const AttentionSettings &over)
{
    for (const AttentionField &field : attentionFields)
        replace(this->*field.stated, over.*field.stated);
}

bool AttentionSettings::isEmpty() const
{
    return *this == AttentionSettings();
}

bool AttentionPlan::changesAnything() const
{
    return std::ranges::any_of(attentionFields,
                               [&](const AttentionField &field) { return !(this->*field.planned).isPassthrough(); });
}

}  // namespace lqer
