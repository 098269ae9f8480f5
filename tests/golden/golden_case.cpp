// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/golden_case.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/io/npy.h"
#include "core/tensor/half.h"

namespace lqer::golden {

Case::Case(JsonReader entry, std::string folder)
    : m_entry(std::move(entry)), m_params(m_entry["params"]), m_folder(std::move(folder)), m_name(m_entry["name"].string()),
      m_function(m_entry["function"].string())
{
}

bool Case::optional() const
{
    return m_entry.boolean("optional", false) || (m_entry.has("tolerance") && m_entry["tolerance"].boolean("optional", false));
}

const Json &Case::derived() const
{
    static const Json none;
    return m_entry.has("derived") ? m_entry["derived"].value() : none;
}

const Json &Case::tolerance() const { return m_entry["tolerance"].value(); }

std::vector<std::string> Case::namesOf(std::string_view group) const
{
    std::vector<std::string> names;
    if (m_entry.has(group))
        for (const auto &[name, array] : m_entry[group].value().asObject())
            if (!array.isNull())
                names.push_back(name);
    return names;
}

const Json *Case::find(std::string_view group, std::string_view name) const
{
    const Json *arrays = m_entry.value().find(group);
    const Json *array = arrays && arrays->isObject() ? arrays->find(name) : nullptr;
    return array && !array->isNull() ? array : nullptr;
}

Tensor Case::load(std::string_view group, std::string_view name) const
{
    const JsonReader array = m_entry[group][name];
    const std::string &file = array["file"].string();
    if (file.find('/') != std::string::npos)
        array.fail(fmt::format("expected a plain file name, found '{}'", file));
    Tensor tensor = readNpy(m_folder + "/" + file);

    Shape shape;
    const JsonReader extents = array["shape"];
    for (std::size_t i = 0; i < extents.size(); ++i)
        shape.push_back(extents.at(i).integer(0, INT64_MAX));
    if (shape != tensor.shape())
        array.fail(fmt::format("shape is {}, {} has {}", toString(shape), file, toString(tensor.shape())));
    return tensor;
}

double toleranceValue(const Json &value, std::span<const double> expected, const Case &golden)
{
    if (value.isNumber())
        return value.asNumber();
    if (value.isString()) {
        // "<number>*max|<anything>|"
        const std::string &text = value.asString();
        double factor = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), factor);
        if (error == std::errc() && std::string_view(end, text.data() + text.size()).starts_with("*max|")) {
            double largest = 0;
            for (const double v : expected)
                largest = std::max(largest, std::abs(v));
            return factor * largest;
        }
    }
    throw Error(ErrorCode::Format, "index.json", fmt::format("case '{}'", golden.name()),
                fmt::format("tolerance {} is not a number or a multiple of the largest value", value.dump()));
}

double toleranceNumber(const Case &golden, std::string_view key, double fallback)
{
    const Json *value = golden.tolerance().find(key);
    return value ? toleranceValue(*value, {}, golden) : fallback;
}

Tolerance toleranceOf(const Case &golden, std::string_view output, std::span<const double> expected)
{
    const Json &stated = golden.tolerance();
    Tolerance tolerance;
    if (const Json *nan = stated.find("nan"))
        tolerance.nanEqual = nan->isString() && nan->asString() == "equal";
    if (const Json *own = stated.find(output); own && own->isArray() && own->asArray().size() == 2) {
        tolerance.relative = toleranceValue(own->asArray()[0], expected, golden);
        tolerance.absolute = toleranceValue(own->asArray()[1], expected, golden);
        return tolerance;
    }
    if (const Json *relative = stated.find("rtol"))
        tolerance.relative = toleranceValue(*relative, expected, golden);
    if (const Json *absolute = stated.find("atol"))
        tolerance.absolute = toleranceValue(*absolute, expected, golden);
    return tolerance;
}

std::vector<double> valuesOf(const Tensor &tensor)
{
    std::vector<double> values(static_cast<std::size_t>(tensor.elements()));
    tensor.copyTo(std::span(values));
    return values;
}

std::vector<double> valuesOf(const ConstMatrixRef &matrix) { return valuesOf(Tensor::fromMatrix(matrix)); }
std::vector<double> valuesOf(const ConstMatrixF64Ref &matrix) { return valuesOf(Tensor::fromMatrix(matrix)); }
std::vector<double> valuesOf(std::span<const float> values) { return {values.begin(), values.end()}; }

std::vector<double> roundedTo(DType dtype, std::span<const float> values)
{
    std::vector<double> rounded = valuesOf(values);
    for (double &v : rounded) {
        if (dtype == DType::F16)
            v = halfToFloat(floatToHalf(static_cast<float>(v)));
        else if (dtype == DType::BF16)
            v = bf16ToFloat(floatToBf16(static_cast<float>(v)));
    }
    return rounded;
}

void compareValues(Verdict &verdict, std::string_view what, std::span<const double> expected, std::span<const double> found,
                   const Tolerance &tolerance)
{
    if (expected.size() != found.size()) {
        verdict.fail(fmt::format("{}: expected {} values, found {}", what, expected.size(), found.size()));
        return;
    }
    std::size_t wrong = 0, stepped = 0, worst = 0;
    double worstExcess = -1;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double e = expected[i], f = found[i];
        if (e == f || (tolerance.nanEqual && std::isnan(e) && std::isnan(f)))
            continue;
        const double difference = std::abs(f - e);
        const double allowed = tolerance.absolute + tolerance.relative * std::abs(e);
        if (difference <= allowed)
            continue;
        if (tolerance.step && difference <= tolerance.step(i) * (1 + 1e-4) + allowed) {
            ++stepped;
            continue;
        }
        ++wrong;
        const double excess = std::isfinite(difference) ? difference - allowed : HUGE_VAL;
        if (excess > worstExcess) {
            worstExcess = excess;
            worst = i;
        }
    }
    if (wrong > 0)
        verdict.fail(
            fmt::format("{}: {} of {} values differ, most at flat index {}: expected {:.9g}, found {:.9g} (rtol {:g}, atol {:g})",
                what, wrong, expected.size(), worst, expected[worst], found[worst], tolerance.relative, tolerance.absolute));
    const double forgiven = std::max(1.0, tolerance.stepShare * static_cast<double>(expected.size()));
    if (static_cast<double>(stepped) > forgiven)
        verdict.fail(fmt::format("{}: {} of {} values are one quantization step off, at most {:g} may be", what, stepped,
                                 expected.size(), std::floor(forgiven)));
}

void compareOutput(const Case &golden, Verdict &verdict, std::string_view output, std::span<const double> found)
{
    const std::vector<double> expected = valuesOf(golden.output(output));
    compareValues(verdict, output, expected, found, toleranceOf(golden, output, expected));
}

void compareOutput(const Case &golden, Verdict &verdict, std::string_view output, std::span<const double> found,
                   const Tolerance &tolerance)
{
    compareValues(verdict, output, valuesOf(golden.output(output)), found, tolerance);
}

void compareNumber(Verdict &verdict, std::string_view what, double expected, double found, double relative, double absolute)
{
    if (!(std::abs(found - expected) <= absolute + relative * std::abs(expected)))
        verdict.fail(
            fmt::format("{}: expected {:.9g}, found {:.9g} (rtol {:g}, atol {:g})", what, expected, found, relative, absolute));
}

void compareToLargest(Verdict &verdict, std::string_view what, const ConstMatrixF64Ref &expected, const ConstMatrixF64Ref &found,
                      double relative)
{
    if (expected.rows() != found.rows() || expected.cols() != found.cols()) {
        verdict.fail(
            fmt::format("{}: expected {}x{}, found {}x{}", what, expected.rows(), expected.cols(), found.rows(), found.cols()));
        return;
    }
    if (expected.size() == 0)
        return;
    const double largest = expected.cwiseAbs().maxCoeff();
    Index row = 0, column = 0;
    const double difference = (found - expected).cwiseAbs().maxCoeff(&row, &column);
    if (!found.allFinite() || !(difference <= relative * largest))
        verdict.fail(fmt::format(
            "{}: largest difference {:g} at ({}, {}): expected {:.9g}, found {:.9g}; allowed {:g} of the largest {:g}", what,
            difference, row, column, expected(row, column), found(row, column), relative, largest));
}

void alignSigns(const ConstMatrixF64Ref &reference, MatrixF64 &a, MatrixF64 &b)
{
    LQER_ASSERT(reference.rows() == a.rows() && a.cols() == b.rows());
    for (Index j = 0; j < std::min(reference.cols(), a.cols()); ++j) {
        if (reference.col(j).dot(a.col(j)) < 0) {
            a.col(j) = -a.col(j);
            b.row(j) = -b.row(j);
        }
    }
}

FormatSpec formatOf(const JsonReader &table)
{
    // "int_group_harness": the official per-tensor integer function applied to each group of a row (numerics.md A.4).
    if (table["name"].string() == "int_group_harness")
        return {"integer",
                {{"n_bits", table["n_bits"].integer(1, 64)},
                 {"is_affine", table["is_affine"].boolean()},
                 {"scope", std::string("group")},
                 {"group_size", table["group_size"].integer(1, INT64_MAX)}}};
    return FormatSpec::fromJson(table);
}

std::vector<CaseRunner> runners()
{
    std::vector<CaseRunner> all = quantizerCases();
    const auto add = [&all](std::vector<CaseRunner> more) { std::move(more.begin(), more.end(), std::back_inserter(all)); };
#ifdef LQER_GOLDEN_RECONSTRUCTION
    add(reconstructionCases());
#endif
#ifdef LQER_GOLDEN_EVALUATION
    add(evaluationCases());
#endif
    static_cast<void>(add);
    return all;
}

}  // namespace lqer::golden
