// SPDX-License-Identifier: Apache-2.0
#include "core/recon/spectrum_extent.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer {

std::string_view toString(SpectrumExtent extent)
{
    switch (extent) {
    case SpectrumExtent::Leading: return "leading";
    case SpectrumExtent::Estimated: return "estimated";
    case SpectrumExtent::Whole: break;
    }
    return "whole";
}

SpectrumExtent spectrumExtentFromString(std::string_view name)
{
    for (const SpectrumExtent extent : {SpectrumExtent::Leading, SpectrumExtent::Estimated, SpectrumExtent::Whole})
        if (toString(extent) == name)
            return extent;
    throw Error(ErrorCode::Argument, fmt::format("unknown spectrum '{}', known are: whole, estimated, leading", escaped(name)));
}

SpectrumExtent spectrumExtent(const VectorF64 &sigma, Index exact, Index order)
{
    return sigma.size() < order ? SpectrumExtent::Leading : exact < order ? SpectrumExtent::Estimated : SpectrumExtent::Whole;
}

}  // namespace lqer
