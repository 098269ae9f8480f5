// SPDX-License-Identifier: Apache-2.0
// OCP MXFP4: E2M1 elements (0, 0.5, 1, 1.5, 2, 3, 4, 6). Storage: mx_codec.h.
#include "core/quant/formats/list.h"
#include "core/quant/formats/mx_codec.h"

namespace lqer {

FormatEntry mxfp4Format()
{
    FormatInfo info;
    info.name = "mxfp4";
    info.title = "MXFP4 (OCP, E2M1)";
    info.meaning = "OCP Microscaling: 4-bit floats, 32 of them share a power-of-two scale. Stores 4.25 bits.";
    info.parameters = {blockAxisParameter()};
    return {std::move(info), [](const FormatSpec &spec) {
                return makeMx(spec, MxFloatElement{e2m1}, integerValue(spec, "block_axis"));
            }};
}

}  // namespace lqer
