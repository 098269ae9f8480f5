// SPDX-License-Identifier: Apache-2.0
#include "core/model/layers.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "core/base/check.h"
#include "core/base/processor.h"

namespace lqer {

namespace {

constexpr Index lanes = 16;

double sumOfLanes(double (&parts)[lanes])
{
    for (Index width = lanes / 2; width > 0; width /= 2)
        for (Index lane = 0; lane < width; ++lane)
            parts[lane] += parts[lane + width];
    return parts[0];
}

// sum of term(i) in double over interleaved partial sums: one fixed order, whatever the alignment of the data or the processor.
template <typename Term>
double sumInDouble(Index count, Term term)
{
    double parts[lanes] = {};
    Index i = 0;
    for (; i + lanes <= count; i += lanes)
        for (Index lane = 0; lane < lanes; ++lane)
            parts[lane] += term(i + lane);
    for (; i < count; ++i)
        parts[0] += term(i);
    return sumOfLanes(parts);
}

// Not smaller than any element that is a number.
float largest(const float *values, Index count)
{
    constexpr Index wide = 4 * lanes;  // chains that do not wait for each other
    float most[wide];
    std::fill_n(most, wide, values[0]);
    Index i = 0;
    for (; i + wide <= count; i += wide)
        for (Index lane = 0; lane < wide; ++lane)
            most[lane] = values[i + lane] > most[lane] ? values[i + lane] : most[lane];
    for (; i < count; ++i)
        most[0] = values[i] > most[0] ? values[i] : most[0];
    return *std::max_element(most, most + wide);
}

// exp to about 2 units in the last place, in operations that all processors round alike; between 2^-126 and 2^127. NaN stays NaN.
float exponential(float x)
{
    const float below = x > 88.0F ? 88.0F : x;
    const float v = below < -87.3F ? -87.3F : below;
    constexpr float magic = 0x1.8p23F;  // leaves no fraction bits
    const float n = (v * static_cast<float>(std::numbers::log2e) + magic) - magic;
    // ln 2 in two parts, the first with few bits: n times it is exact.
    const float r = (v - n * 0.693359375F) + n * 2.12194440e-4F;
    float p = 1.9875691500e-4F;  // Cephes, expf
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    const float y = (p * r) * r + r + 1;
    const auto exponent = static_cast<std::int32_t>(n == n ? n : 0.0F) + 127;
    return y * std::bit_cast<float>(exponent << 23);
}

void activateRow(Activation activation, Eigen::Map<Eigen::ArrayXf> values)
{
    switch (activation) {
    case Activation::Silu:
        forProcessor([v = values.data(), count = values.size()] {
            for (Index i = 0; i < count; ++i)
                v[i] /= 1 + exponential(-v[i]);
        });
        break;
    case Activation::Relu: values = values.max(0.0F); break;
    case Activation::Gelu:
        values = values.unaryExpr(
            [](float v) { return 0.5F * v * (1 + std::erf(v * static_cast<float>(1 / std::numbers::sqrt2))); });
        break;
    case Activation::GeluTanh: {
        // 0.5 v (1 + tanh(sqrt(2/pi) (v + 0.044715 v^3)))
        const auto slope = static_cast<float>(std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
        values = 0.5F * values * (1 + (slope * (values + 0.044715F * values.cube())).tanh());
        break;
    }
    }
}

}  // namespace

void rmsNorm(const ConstMatrixRef &x, const Vector &weight, double eps, MatrixRef y)
{
    LQER_ASSERT(weight.size() == x.cols() && y.rows() == x.rows() && y.cols() == x.cols());
    const Index features = x.cols();
    const float *factor = weight.data();
    for (Index row = 0; row < x.rows(); ++row) {
        const float *in = x.row(row).data();
        float *out = &y(row, 0);
        forProcessor([=] {
            const double squares =
                sumInDouble(features, [=](Index i) { return static_cast<double>(in[i]) * static_cast<double>(in[i]); });
            const auto scale = static_cast<float>(1 / std::sqrt(squares / static_cast<double>(features) + eps));
            for (Index i = 0; i < features; ++i)
                out[i] = factor[i] * (in[i] * scale);
        });
    }
}

void layerNorm(const ConstMatrixRef &x, const Vector &weight, const Vector &bias, double eps, MatrixRef y)
{
    LQER_ASSERT(y.rows() == x.rows() && y.cols() == x.cols());
    const auto features = static_cast<double>(x.cols());
    for (Index row = 0; row < x.rows(); ++row) {
        const float *in = x.row(row).data();
        const double mean = sumInDouble(x.cols(), [&](Index i) { return static_cast<double>(in[i]); }) / features;
        const double squares = sumInDouble(x.cols(), [&](Index i) {
            const double centred = static_cast<double>(in[i]) - mean;
            return centred * centred;
        });
        const double scale = 1 / std::sqrt(squares / features + eps);
        float *out = &y(row, 0);
        for (Index i = 0; i < x.cols(); ++i)
            out[i] = static_cast<float>((static_cast<double>(in[i]) - mean) * scale);
        if (weight.size() > 0)
            for (Index i = 0; i < x.cols(); ++i)
                out[i] *= weight[i];
        if (bias.size() > 0)
            for (Index i = 0; i < x.cols(); ++i)
                out[i] += bias[i];
    }
}

void activate(Activation activation, MatrixRef x)
{
    for (Index row = 0; row < x.rows(); ++row)
        activateRow(activation, {&x(row, 0), x.cols()});
}

void activateGate(Activation activation, MatrixRef gate, const ConstMatrixRef &up)
{
    LQER_ASSERT(gate.rows() == up.rows() && gate.cols() == up.cols());
    for (Index row = 0; row < gate.rows(); ++row) {
        activateRow(activation, {&gate(row, 0), gate.cols()});
        forProcessor([v = &gate(row, 0), factor = up.row(row).data(), count = gate.cols()] {
            for (Index i = 0; i < count; ++i)
                v[i] *= factor[i];
        });
    }
}

void add(MatrixRef y, const ConstMatrixRef &x)
{
    LQER_ASSERT(y.rows() == x.rows() && y.cols() == x.cols());
    for (Index row = 0; row < y.rows(); ++row)
        forProcessor([v = &y(row, 0), term = x.row(row).data(), count = y.cols()] {
            for (Index i = 0; i < count; ++i)
                v[i] += term[i];
        });
}

void addToRows(MatrixRef y, const Vector &bias)
{
    LQER_ASSERT(y.cols() == bias.size());
    for (Index row = 0; row < y.rows(); ++row)
        forProcessor([v = &y(row, 0), term = bias.data(), count = y.cols()] {
            for (Index i = 0; i < count; ++i)
                v[i] += term[i];
        });
}

float exponentials(std::span<float> values, float divisor)
{
    float total = 0;
    forProcessor([&total, v = values.data(), count = static_cast<Index>(values.size()), divisor] {
        const float most = largest(v, count);
        const float scale = 1 / divisor;
        double sums[lanes] = {};
        Index i = 0;
        for (; i + lanes <= count; i += lanes)
            for (Index lane = 0; lane < lanes; ++lane) {
                const float e = exponential((v[i + lane] - most) * scale);
                v[i + lane] = e;
                sums[lane] += static_cast<double>(e);
            }
        for (; i < count; ++i) {
            v[i] = exponential((v[i] - most) * scale);
            sums[0] += static_cast<double>(v[i]);
        }
        total = static_cast<float>(sumOfLanes(sums));
    });
    return total;
}

void softmax(std::span<float> values, float divisor)
{
    const float factor = 1 / exponentials(values, divisor);
    forProcessor([v = values.data(), count = static_cast<Index>(values.size()), factor] {
        for (Index i = 0; i < count; ++i)
            v[i] *= factor;
    });
}

float logSoftmaxAt(std::span<const float> values, std::size_t index)
{
    double result = 0;
    forProcessor([&result, v = values.data(), count = static_cast<Index>(values.size()), index] {
        const float most = largest(v, count);
        const double sum = sumInDouble(count, [=](Index i) { return static_cast<double>(exponential(v[i] - most)); });
        result = static_cast<double>(v[index]) - static_cast<double>(most) - std::log(sum);
    });
    return static_cast<float>(result);
}

}  // namespace lqer
