// SPDX-License-Identifier: Apache-2.0
// OCP MXFP6: E2M3 or E3M2 elements. Storage: mx_codec.h.
#include "core/quant/formats/list.h"
#include "core/quant/formats/mx_codec.h"

namespace lqer {

FormatEntry mxfp6Format()
{
    FormatInfo info;
    info.name = "mxfp6";
    info.title = "MXFP6 (OCP, E2M3 or E3M2)";
    info.meaning = "OCP Microscaling: 6-bit floats, 32 of them share a power-of-two scale. Stores 6.25 bits.";
    info.parameters
        = {choiceParameter("element", {"e2m3", "e3m2"}, "Exponent and mantissa bits of an element."), blockAxisParameter()};
    info.presets = {{"mxfp6-e2m3", {"mxfp6", {{"element", std::string("e2m3")}}}},
                    {"mxfp6-e3m2", {"mxfp6", {{"element", std::string("e3m2")}}}}};
    return {std::move(info), [](const FormatSpec &spec) {
                return makeMx(
                    spec, MxFloatElement{choiceValue(spec, "element") == "e3m2" ? e3m2 : e2m3}, integerValue(spec, "block_axis"));
            }};
}

}  // namespace lqer
