// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/quant/quantizer.h"

namespace lqer::cli {

// What a parameter of a number format or an option of a target may be, for help: "true, false", "2 to 8".
std::string valuesText(const FormatParameter &parameter);

}  // namespace lqer::cli
