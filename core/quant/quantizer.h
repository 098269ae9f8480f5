// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/quant/block_layout.h"
#include "core/quant/format_spec.h"
#include "core/tensor/shape.h"

namespace lqer {

// A weight in its stored form: what an exporter writes. decode(encode(x)) is bit-equal to quantize(x).
struct QuantizedWeight {
    FormatSpec format;
    Shape shape;
    // Element codes of Quantizer::codeBits() bits in flat (row-major) order, packed little-endian: element 0 in the lowest bits
    // (bit_packing.h). Nothing is stored for the padding of ragged blocks.
    std::vector<std::uint8_t> codes;
    std::vector<std::uint8_t> scales;   // per block, row-major over the grid of blocks; layout documented by the format's file
    std::vector<std::uint8_t> offsets;  // zero points, second-level scales or exceptions, where the format has them

    std::uint64_t bytes() const { return codes.size() + scales.size() + offsets.size(); }
};

// decode() as arrays, for a program that has none of our code. With c an element's code and b its block (Quantizer::layout()), in float32
// and with every operation rounded:
//   value = (levels[c] - zeros[b]) * scales[b]
// where a step that has no array is left out. What the arrays cannot say (exceptions, a result that is rounded to a half type where that
// changes it, the sign of a zero) comes out otherwise, so whoever writes them compares with decode().
struct DecodingTable {
    std::vector<float> levels;  // 2^codeBits, by code; empty: codes are float32 values themselves
    std::vector<float> scales;  // per block, row-major over the grid
    std::vector<float> zeros;   // per block
};

// One number format with its parameters fixed. Immutable, thread-safe. Arrays are row-major float32 of one to three dimensions;
// the first dimension of three is a batch that no block crosses. The numbers follow numerics.md A to the last bit; zero stays
// zero (the sign of zero is not kept by every format).
class Quantizer {
public:
    virtual ~Quantizer() = default;

    // Complete: every parameter of the format with its value.
    virtual const FormatSpec &spec() const = 0;
    // Quantize and dequantize: y has x's shape. x and y may be the same memory. Throws Error(Numeric) with the flat index on NaN
    // or infinity where the format has no code for it, and on finite values whose result overflows; the caller names the tensor.
    virtual void quantize(std::span<const float> x, const Shape &shape, std::span<float> y) const = 0;
    // Stored bits per element including scales, for a tensor of this shape (ragged last blocks counted).
    virtual double bitsPerElement(const Shape &shape) const = 0;
    // Bits per element when the shared exponent of a block is counted with `exponentBits` bits, as the papers' headline does
    // (numerics.md A.2); same as bitsPerElement for formats without one.
    virtual double bitsPerElement(const Shape &shape, int exponentBits) const = 0;
    virtual QuantizedWeight encode(std::span<const float> x, const Shape &shape) const = 0;
    // Throws Error(Shape) if the stored arrays do not have the sizes that shape and format imply.
    virtual void decode(const QuantizedWeight &weight, std::span<float> y) const = 0;

    // Which elements of an array share a scale.
    virtual BlockLayout layout(const Shape &shape) const = 0;
    // Throws Error(Shape) as decode() does.
    virtual DecodingTable decodingTable(const QuantizedWeight &weight) const = 0;

    // Bits of one element code.
    virtual int codeBits() const = 0;
    // Significant binary digits that every result has at most, scale included; 24 where that is not known. Tiny values that a format
    // passes through as they are (|x| <= 1e-8) are not counted.
    virtual int significantBits() const { return 24; }
    // Bands of this many slices along the first dimension (the last band may be shorter) can be quantized one by one, in any
    // order and on any thread, with the same bits as the whole array. shape[0] where every scale depends on all rows.
    virtual std::int64_t rowGranularity(const Shape &shape) const = 0;
};

// Throws Error(Argument): unknown format or parameter (with the nearest known), value out of range.
std::unique_ptr<Quantizer> makeQuantizer(const FormatSpec &spec);

enum class FormatParameterKind { Boolean, Integer, Real, Choice, Extents };

struct FormatParameter {
    std::string name;
    FormatValue fallback;
    double least = 0;      // for numbers, and each extent of a list
    double most = 0;
    std::vector<std::string> choices;  // for strings
    std::string meaning;   // one sentence for a tooltip
    FormatParameterKind kind = FormatParameterKind::Integer;
    bool optional = false;  // a number that may also be the string "none"
};

// Values held against their parameters: unknown names and values out of range throw Error(Argument), which begins with `owner`
// and names the nearest known. What else is described by parameters than formats (targets of an export) uses these two as well.
void checkParameters(std::string_view owner, std::span<const FormatParameter> parameters, std::map<std::string, FormatValue> &values);
// A value by its looks: "true", "16", "1x16", "0.5" or a word.
FormatValue parseFormatValue(std::string_view text);
// As parseFormatValue reads it.
std::string valueText(const FormatValue &value);

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

// The spec with aliases resolved, values checked and every parameter present: the form to compare, to hash and to store.
// Throws Error(Argument) as makeQuantizer does.
FormatSpec withDefaults(const FormatSpec &spec);
// For tables and labels: the preset's name if the spec is one, else the text form without parameters that are at their default.
std::string shortName(const FormatSpec &spec);

}  // namespace lqer
