// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/quant/format_spec.h"
#include "core/tensor/shape.h"

namespace lqer {

// A weight in its stored form: what an exporter writes. decode(encode(x)) is bit-equal to quantize(x).
struct QuantizedWeight {
    FormatSpec format;
    Shape shape;
    std::vector<std::uint8_t> codes;    // element codes, packed little-endian bit order, element 0 in the lowest bits
    std::vector<std::uint8_t> scales;   // per block, layout documented by the format
    std::vector<std::uint8_t> offsets;  // zero points or second-level scales, where the format has them

    std::uint64_t bytes() const { return codes.size() + scales.size() + offsets.size(); }
};

// One number format with its parameters fixed. Immutable, thread-safe. Arrays are row-major float32 of one to three dimensions.
// The numbers follow numerics.md A to the last bit; zero stays zero (the sign of zero is not kept by every format).
class Quantizer {
public:
    virtual ~Quantizer() = default;

    virtual const FormatSpec &spec() const = 0;
    // Quantize and dequantize: y has x's shape. x and y may be the same memory. Throws Error(Numeric) on NaN or infinity where
    // the format has no code for it; the caller adds the tensor's name.
    virtual void quantize(std::span<const float> x, const Shape &shape, std::span<float> y) const = 0;
    // Stored bits per element including scales, for a tensor of this shape (ragged last blocks counted).
    virtual double bitsPerElement(const Shape &shape) const = 0;
    // Bits per element when the shared exponent of a block is counted with `exponentBits` bits, as the papers' headline does
    // (numerics.md A.2); same as bitsPerElement for formats without one.
    virtual double bitsPerElement(const Shape &shape, int exponentBits) const = 0;
    virtual QuantizedWeight encode(std::span<const float> x, const Shape &shape) const = 0;
    virtual void decode(const QuantizedWeight &weight, std::span<float> y) const = 0;
};

// Throws Error(Argument): unknown format or parameter (with the nearest known), value out of range.
std::unique_ptr<Quantizer> makeQuantizer(const FormatSpec &spec);

struct FormatParameter {
    std::string name;
    FormatValue fallback;
    double least = 0;      // for numbers
    double most = 0;
    std::vector<std::string> choices;  // for strings
    std::string meaning;   // one sentence for a tooltip
};

struct FormatInfo {
    std::string name;       // "mxint"
    std::string title;      // "MXINT (shared power-of-two scale)"
    std::string meaning;    // a sentence or two: where it comes from, what it stores
    std::vector<FormatParameter> parameters;
    std::vector<std::pair<std::string, FormatSpec>> presets;  // "mxint4" -> width 4, block 32
};

// Every format there is, in the order a person wants to see them. The one list: picker, forms, --help and tests follow it.
const std::vector<FormatInfo> &formats();
const FormatInfo *findFormat(std::string_view name);

}  // namespace lqer
