// SPDX-License-Identifier: Apache-2.0
#include "core/quant/formats/list.h"

#include <utility>

#include "core/base/check.h"

namespace lqer {

const std::vector<FormatEntry> &formatEntries()
{
    static const std::vector<FormatEntry> entries = {
        mxintFormat(), blockFpFormat(),    integerFormat(), normalFloatFormat(), fp4Format(),
        mxfp4Format(), nvfp4Format(),      mxfp6Format(),   mxfp8Format(),       ocpMxint8Format(),
        fixedFormat(), minifloatFormat(),  float16Format(), bfloat16Format(),    passthroughFormat(),
    };
    return entries;
}

FormatParameter integerParameter(std::string name, std::int64_t fallback, double least, double most, std::string meaning)
{
    return {std::move(name), fallback, least, most, {}, std::move(meaning), FormatParameterKind::Integer, false};
}

FormatParameter optionalIntegerParameter(std::string name, double least, double most, std::string meaning)
{
    return {std::move(name), std::string("none"), least, most, {}, std::move(meaning), FormatParameterKind::Integer, true};
}

FormatParameter optionalRealParameter(std::string name, std::string meaning)
{
    return {std::move(name), std::string("none"), -1e38, 1e38, {}, std::move(meaning), FormatParameterKind::Real, true};
}

FormatParameter booleanParameter(std::string name, bool fallback, std::string meaning)
{
    return {std::move(name), fallback, 0, 0, {}, std::move(meaning), FormatParameterKind::Boolean, false};
}

FormatParameter choiceParameter(std::string name, std::vector<std::string> choices, std::string meaning)
{
    LQER_ASSERT(!choices.empty());
    FormatValue fallback = choices.front();
    return {
        std::move(name), std::move(fallback), 0, 0, std::move(choices), std::move(meaning), FormatParameterKind::Choice, false};
}

FormatParameter extentsParameter(std::string name, std::vector<std::int64_t> fallback, std::string meaning)
{
    return {std::move(name), std::move(fallback), -1, 1 << 20, {}, std::move(meaning), FormatParameterKind::Extents, false};
}

FormatParameter blockAxisParameter()
{
    return integerParameter("block_axis", -1, -3, 2, "Axis that blocks run along; -1 is the last: the inputs of a weight.");
}

std::int64_t integerValue(const FormatSpec &spec, const std::string &name)
{
    return std::get<std::int64_t>(spec.parameters.at(name));
}
bool booleanValue(const FormatSpec &spec, const std::string &name) { return std::get<bool>(spec.parameters.at(name)); }
const std::string &choiceValue(const FormatSpec &spec, const std::string &name)
{
    return std::get<std::string>(spec.parameters.at(name));
}
double realValue(const FormatSpec &spec, const std::string &name) { return std::get<double>(spec.parameters.at(name)); }

const std::vector<std::int64_t> &extentsValue(const FormatSpec &spec, const std::string &name)
{
    return std::get<std::vector<std::int64_t>>(spec.parameters.at(name));
}

bool isNone(const FormatSpec &spec, const std::string &name)
{
    return std::holds_alternative<std::string>(spec.parameters.at(name));
}

}  // namespace lqer
