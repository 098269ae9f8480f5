// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "core/quant/quantizer.h"

// The explicit list of number formats. A new format is one file here, one declaration below and one line in list.cpp.
namespace lqer {

struct FormatEntry {
    FormatInfo info;
    // spec is complete and each value is in its range; what only values together can break is checked here.
    std::unique_ptr<Quantizer> (*make)(const FormatSpec &spec);
};

FormatEntry mxintFormat();
FormatEntry blockFpFormat();
FormatEntry integerFormat();
FormatEntry normalFloatFormat();
FormatEntry fp4Format();
FormatEntry mxfp4Format();
FormatEntry mxfp6Format();
FormatEntry mxfp8Format();
FormatEntry ocpMxint8Format();
FormatEntry nvfp4Format();
FormatEntry minifloatFormat();
FormatEntry fixedFormat();
FormatEntry float16Format();
FormatEntry bfloat16Format();
FormatEntry passthroughFormat();

const std::vector<FormatEntry> &formatEntries();

// Short ways to write the parameters of a FormatInfo.
FormatParameter integerParameter(std::string name, std::int64_t fallback, double least, double most, std::string meaning);
FormatParameter optionalIntegerParameter(std::string name, double least, double most, std::string meaning);
FormatParameter optionalRealParameter(std::string name, std::string meaning);
FormatParameter booleanParameter(std::string name, bool fallback, std::string meaning);
FormatParameter choiceParameter(
    std::string name, std::vector<std::string> choices, std::string meaning); // the first is the default
FormatParameter extentsParameter(std::string name, std::vector<std::int64_t> fallback, std::string meaning);
FormatParameter blockAxisParameter();

// Values of a complete spec.
std::int64_t integerValue(const FormatSpec &spec, const std::string &name);
bool booleanValue(const FormatSpec &spec, const std::string &name);
const std::string &choiceValue(const FormatSpec &spec, const std::string &name);
const std::vector<std::int64_t> &extentsValue(const FormatSpec &spec, const std::string &name);
bool isNone(const FormatSpec &spec, const std::string &name);
double realValue(const FormatSpec &spec, const std::string &name);

}  // namespace lqer
