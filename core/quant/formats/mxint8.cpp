// SPDX-License-Identifier: Apache-2.0
// OCP MXINT8: 8-bit integers with six fraction bits. Storage: mx_codec.h. On normal numbers the values are those of mxint with
// width 8 and block 32.
#include "core/quant/formats/list.h"
#include "core/quant/formats/mx_codec.h"

namespace lqer {

FormatEntry ocpMxint8Format()
{
    FormatInfo info;
    info.name = "mxint8";
    info.title = "MXINT8 (OCP)";
    info.meaning = "OCP Microscaling: 8-bit integers, 32 of them share a power-of-two scale. Stores 8.25 bits.";
    info.parameters = {blockAxisParameter()};
    return {
        std::move(info), [](const FormatSpec &spec) { return makeMx(spec, MxInt8Element{}, integerValue(spec, "block_axis")); }};
}

}  // namespace lqer
