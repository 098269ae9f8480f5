// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "core/quant/quantizer.h"

namespace lqer::test {

// Weights as they are: normal with a width of its own for each run of 37 elements, some outliers, some exact zeros of both
// signs. The seed fixes every bit.
inline std::vector<float> sampleWeights(std::size_t count, unsigned seed = 7)
{
    std::mt19937 random(seed);
    std::vector<float> values(count);
    float width = 0.02F;
    for (std::size_t i = 0; i < count; ++i) {
        if (i % 37 == 0)
            width = std::ldexp(0.02F, static_cast<int>(random() % 7) - 3);
        double sum = -6;  // twelve uniforms: close to normal, the same on every machine
        for (int k = 0; k < 12; ++k)
            sum += static_cast<double>(random()) / 4294967296.0;
        values[i] = static_cast<float>(sum) * width;
        if (random() % 101 == 0)
            values[i] *= 30.0F;
        if (random() % 53 == 0)
            values[i] = random() % 2 == 0 ? 0.0F : -0.0F;
    }
    return values;
}

inline std::vector<float> quantized(const Quantizer &quantizer, std::span<const float> x, const Shape &shape)
{
    std::vector<float> y(x.size());
    quantizer.quantize(x, shape, y);
    return y;
}

// Every format with its defaults, every preset, and the parameters that change the way of working.
inline std::vector<std::string> sampleFormats()
{
    std::vector<std::string> specs;
    for (const FormatInfo &format : formats()) {
        specs.push_back(format.name);
        for (const auto &preset : format.presets)
            specs.push_back(preset.first);
    }
    for (const char *more :
        {"mxint:width=5,block_size=7", "mxint:width=8,block_size=128", "block_fp:block_size=-1", "block_fp:block_size=1x-1",
            "block_fp:block_size=-1x-1", "block_fp:block_size=16x1", "block_fp:block_size=4x8,width=3",
            "block_fp:exponent_width=3,width=6", "block_fp:exponent_width=10", "integer:n_bits=1,is_affine=true",
            "block_fp:exponent_width=5,exponent_bias=20", "block_fp:skip_first_dim=true,width=8", "block_fp:arithmetic=float16",
            "block_fp:arithmetic=bfloat16,width=6", "integer:is_affine=true", "integer:is_affine=true,n_bits=2,group_size=16",
            "integer:scope=channel,is_affine=true,n_bits=8", "integer:scope=tensor,n_bits=3",
            "integer:is_affine=true,include_zero=true,n_bits=5,scale_dtype=bfloat16",
            "integer:fp_min=-0.5,fp_max=0.25,is_affine=true", "integer:fp_min=-0.3,fp_max=0.2,n_bits=6",
            "normalfloat:kernel=argmin", "normalfloat:table=uniform,num_bits=2", "normalfloat:num_bits=5,block_size=24",
            "normalfloat:num_bits=8,double_quant=true", "nvfp4:tensor_scale=unit", "fixed:width=5,frac_width=8,is_signed=false",
            "fixed:width=6,frac_width=-2", "minifloat:width=6,exponent_width=3,exponent_bias=9",
            "minifloat:width=8,exponent_width=7", "minifloat:width=2,exponent_width=1", "minifloat:variant=denorm",
            "minifloat:round_mode=truncate", "minifloat:round_mode=ceil", "minifloat:round_mode=floor"})
        specs.emplace_back(more);
    for (const char *name : {"mxint", "integer", "mxfp4", "mxfp6", "mxfp8", "mxint8", "nvfp4"})
        specs.push_back(std::string(name) + ":block_axis=-2");
    return specs;
}

}  // namespace lqer::test
