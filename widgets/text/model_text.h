// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>

#include "core/engine/loaded_model.h"

namespace lqer {

// What a checkpoint is: two lines for a panel ("LlamaForCausalLM, 2.02 M parameters ..."), and everything for a tooltip.
QString summaryText(const ModelSummary &summary);
QString detailsText(const ModelSummary &summary);

}  // namespace lqer
