// SPDX-License-Identifier: Apache-2.0
#include "app/cli/parameter_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace lqer::cli {

std::string valuesText(const FormatParameter &parameter)
{
    switch (parameter.kind) {
    case FormatParameterKind::Boolean: return "true, false";
    case FormatParameterKind::Choice: return fmt::format("{}", fmt::join(parameter.choices, ", "));
    case FormatParameterKind::Extents: return fmt::format("extents like 1x16, each {} to {}", parameter.least, parameter.most);
    case FormatParameterKind::Integer:
    case FormatParameterKind::Real: break;
    }
    return fmt::format("{} to {}{}", parameter.least, parameter.most, parameter.optional ? ", or none" : "");
}

}  // namespace lqer::cli
