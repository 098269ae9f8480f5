// SPDX-License-Identifier: Apache-2.0
// Number formats: numerics.md A. Every case also checks that the stored form decodes to the same bits.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "core/quant/bit_packing.h"
#include "core/quant/formats/integer.h"
#include "core/quant/formats/normal_float.h"
#include "core/quant/quantizer.h"
#include "tests/golden/golden_case.h"

namespace lqer::golden {

namespace {

struct Input {
    Shape shape;
    std::vector<float> values;
    DType dtype;
};

Input inputOf(const Case &golden, std::string_view name = "x")
{
    const Tensor tensor = golden.input(name);
    Input input{tensor.shape(), std::vector<float>(static_cast<std::size_t>(tensor.elements())), tensor.dtype()};
    tensor.copyTo(std::span(input.values));
    return input;
}

// The spec of a table whose name the function implies: the case's params are its parameters.
FormatSpec specOf(const Case &golden, const std::string &name)
{
    Json table = Json::object();
    table.set("name", name);
    for (const auto &[key, value] : golden.params().value().asObject())
        table.set(key, value);
    return FormatSpec::fromJson(JsonReader(table, "index.json", golden.name()));
}

// Quantizes, checks encode/decode against it bit by bit, and returns what was quantized.
std::vector<float> quantized(const Quantizer &quantizer, const Input &input, Verdict &verdict)
{
    std::vector<float> y(input.values.size());
    quantizer.quantize(input.values, input.shape, y);
    std::vector<float> decoded(y.size());
    quantizer.decode(quantizer.encode(input.values, input.shape), decoded);
    for (std::size_t i = 0; i < y.size(); ++i) {
        if (std::bit_cast<std::uint32_t>(y[i]) != std::bit_cast<std::uint32_t>(decoded[i])) {
            verdict.fail(fmt::format("stored form: at flat index {} quantize gives {:.9g}, decode {:.9g}", i, y[i], decoded[i]));
            break;
        }
    }
    return y;
}

void compareY(const Case &golden, Verdict &verdict, std::span<const float> y,
              std::function<double(std::size_t)> step = {})
{
    const Tensor expected = golden.output("y");
    const std::vector<double> values = valuesOf(expected);
    Tolerance tolerance = toleranceOf(golden, "y", values);
    tolerance.step = std::move(step);
    compareValues(verdict, "y", values, roundedTo(expected.dtype(), y), tolerance);
}

void runSpec(const Case &golden, Verdict &verdict, const FormatSpec &spec)
{
    compareY(golden, verdict, quantized(*makeQuantizer(spec), inputOf(golden), verdict));
}

void runMxint(const Case &golden, Verdict &verdict) { runSpec(golden, verdict, specOf(golden, "mxint")); }
void runMinifloat(const Case &golden, Verdict &verdict) { runSpec(golden, verdict, specOf(golden, "minifloat")); }
void runMinifloatDenorm(const Case &golden, Verdict &verdict) { runSpec(golden, verdict, specOf(golden, "minifloat_denorm")); }
void runFixed(const Case &golden, Verdict &verdict) { runSpec(golden, verdict, specOf(golden, "fixed")); }

// The official block_fp computes in the element type of its input (numerics.md A.2, A.8).
void runBlockFp(const Case &golden, Verdict &verdict)
{
    const Input input = inputOf(golden);
    FormatSpec spec = specOf(golden, "block_fp");
    if (input.dtype == DType::F16)
        spec.parameters["arithmetic"] = std::string("float16");
    else if (input.dtype == DType::BF16)
        spec.parameters["arithmetic"] = std::string("bfloat16");
    compareY(golden, verdict, quantized(*makeQuantizer(spec), input, verdict));
}

void runInteger(const Case &golden, Verdict &verdict)
{
    const JsonReader &params = golden.params();
    const IntegerRange range = integerRange(params["fp_min"].number(), params["fp_max"].number(),
                                            static_cast<int>(params["n_bits"].integer(1, 64)), params["is_affine"].boolean());
    if (golden.derived().isObject()) {
        const JsonReader derived(golden.derived(), "index.json", golden.name());
        compareNumber(verdict, "scale", derived["scale"].number(), range.scale, 1e-15);
        compareNumber(verdict, "zero_point", derived["zero_point"].number(), range.zeroPoint, 0);
        compareNumber(verdict, "int_min", derived["int_min"].number(), range.least, 0);
        compareNumber(verdict, "int_max", derived["int_max"].number(), range.most, 0);
    }
    FormatSpec spec = specOf(golden, "integer");
    spec.parameters["scope"] = std::string("tensor");
    compareY(
        golden, verdict, quantized(*makeQuantizer(spec), inputOf(golden), verdict), [&](std::size_t) { return range.scale; });
}

// The official per-tensor function applied to each group of a row, with the group's own range.
void runIntegerGroup(const Case &golden, Verdict &verdict)
{
    const JsonReader &params = golden.params();
    const std::int64_t bits = params["n_bits"].integer(1, 64), group = params["group_size"].integer(1, INT64_MAX);
    const bool affine = params["is_affine"].boolean();
    const FormatSpec spec{
        "integer", {{"n_bits", bits}, {"is_affine", affine}, {"scope", std::string("group")}, {"group_size", group}}};
    const Input input = inputOf(golden);
    const std::int64_t columns = input.shape.back();

    const auto step = [&](std::size_t i) {
        const auto column = static_cast<std::int64_t>(i) % columns;
        const auto first = input.values.begin() + (static_cast<std::int64_t>(i) - column % group);
        const auto [low, high] = std::minmax_element(first, first + std::min(group, columns - (column - column % group)));
        const double extent = std::max(std::abs(*low), std::abs(*high));
        return integerRange(affine ? *low : -extent, affine ? *high : extent, static_cast<int>(bits), affine).scale;
    };
    compareY(golden, verdict, quantized(*makeQuantizer(spec), input, verdict), step);
}

void runNormalTable(const Case &golden, Verdict &verdict)
{
    const std::vector<float> table = normalFloatTable(static_cast<int>(golden.params()["num_bits"].integer(1, 16)),
                                                      golden.params().number("offset", normalFloatOffset));
    compareOutput(golden, verdict, "table", valuesOf(table));
}

// y, and where the case has them codes and absmax, of a format with one float scale per block of the flattened array.
void runLookup(const Case &golden, Verdict &verdict, const FormatSpec &spec, bool codesAreExact)
{
    const auto quantizer = makeQuantizer(spec);
    const Input input = inputOf(golden);
    compareY(golden, verdict, quantized(*quantizer, input, verdict));

    const QuantizedWeight stored = quantizer->encode(input.values, input.shape);
    if (golden.hasOutput("codes")) {
        std::vector<double> codes(input.values.size());
        for (std::size_t i = 0; i < codes.size(); ++i)
            codes[i] = unpackCode(stored.codes, quantizer->codeBits(), i);
        Tolerance tolerance;
        if (!codesAreExact)
            tolerance.step = [](std::size_t) { return 1.0; };
        compareOutput(golden, verdict, "codes", codes, tolerance);
    }
    if (golden.hasOutput("absmax")) {
        std::vector<float> scales(stored.scales.size() / sizeof(float));
        std::memcpy(scales.data(), stored.scales.data(), scales.size() * sizeof(float));
        compareOutput(golden, verdict, "absmax", valuesOf(scales));
    }
}

void runNormalFloat(const Case &golden, Verdict &verdict)
{
    FormatSpec spec = specOf(golden, "normalfloat");
    spec.parameters["kernel"] = std::string("argmin");
    runLookup(golden, verdict, spec, false);
}

void runBnbNormalFloat(const Case &golden, Verdict &verdict)
{
    FormatSpec spec = specOf(golden, "normalfloat");
    spec.parameters["num_bits"] = std::int64_t(4);
    spec.parameters["kernel"] = std::string("bnb");
    runLookup(golden, verdict, spec, true);
}

void runBnbFp4(const Case &golden, Verdict &verdict) { runLookup(golden, verdict, specOf(golden, "fp4"), true); }

}  // namespace

std::vector<CaseRunner> quantizerCases()
{
    return {
        {"qera.mxint_quantizer", runMxint},
        {"block_fp_quantizer", runBlockFp},
        {"lqer.integer_quantizer", runFixed},
        {"qera.int_quantizer", runInteger},
        {"qera.int_quantizer per group", runIntegerGroup},
        {"minifloat_ieee_quantizer", runMinifloat},
        {"lqer.minifloat_denorm_quantizer", runMinifloatDenorm},
        {"NFQuantizer.create_normal_map", runNormalTable},
        {"NFQuantizer.quantize_tensor", runNormalFloat},
        {"qera.normalfloat_quantizer", runNormalFloat},
        {"bitsandbytes nf4", runBnbNormalFloat},
        {"bitsandbytes fp4", runBnbFp4},
    };
}

}  // namespace lqer::golden
