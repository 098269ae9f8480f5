// SPDX-License-Identifier: Apache-2.0
// OCP MXFP8: E4M3 or E5M2 elements. Storage: mx_codec.h.
#include "core/quant/formats/list.h"
#include "core/quant/formats/mx_codec.h"

namespace lqer {

FormatEntry mxfp8Format()
{
    FormatInfo info;
    info.name = "mxfp8";
    info.title = "MXFP8 (OCP, E4M3 or E5M2)";
    info.meaning = "OCP Microscaling: 8-bit floats, 32 of them share a power-of-two scale. Stores 8.25 bits.";
    info.parameters
        = {choiceParameter("element", {"e4m3", "e5m2"}, "Exponent and mantissa bits of an element."), blockAxisParameter()};
    info.presets = {{"mxfp8-e4m3", {"mxfp8", {{"element", std::string("e4m3")}}}},
                    {"mxfp8-e5m2", {"mxfp8", {{"element", std::string("e5m2")}}}}};
    return {std::move(info), [](const FormatSpec &spec) {
                return makeMx(
                    spec, MxFloatElement{choiceValue(spec, "element") == "e5m2" ? e5m2 : e4m3}, integerValue(spec, "block_axis"));
            }};
}

}  // namespace lqer
