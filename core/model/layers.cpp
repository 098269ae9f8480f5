// SPDX-License-Identifier: Apache-2.0
#include "core/model/layers.h"

#include <cmath>
#include <numbers>

#include "core/base/check.h"

namespace lqer {

namespace {

// sum of term(i) in double over four interleaved partial sums: one fixed order, whatever the alignment of the data.
template <typename Term>
double sumInDouble(Index count, Term term)
{
    double parts[4] = {0, 0, 0, 0};
    Index i = 0;
    for (; i + 4 <= count; i += 4)
        for (Index lane = 0; lane < 4; ++lane)
            parts[lane] += term(i + lane);
    for (; i < count; ++i)
        parts[0] += term(i);
    return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

}  // namespace

void rmsNorm(const ConstMatrixRef &x, const Vector &weight, double eps, MatrixRef y)
{
    LQER_ASSERT(weight.size() == x.cols() && y.rows() == x.rows() && y.cols() == x.cols());
    for (Index row = 0; row < x.rows(); ++row) {
        const float *in = x.row(row).data();
        const double squares =
            sumInDouble(x.cols(), [&](Index i) { return static_cast<double>(in[i]) * static_cast<double>(in[i]); });
        const auto scale = static_cast<float>(1 / std::sqrt(squares / static_cast<double>(x.cols()) + eps));
        float *out = &y(row, 0);
        for (Index i = 0; i < x.cols(); ++i)
            out[i] = weight[i] * (in[i] * scale);
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
    for (Index row = 0; row < x.rows(); ++row) {
        Eigen::Map<Eigen::ArrayXf> values(&x(row, 0), x.cols());
        switch (activation) {
        case Activation::Silu: values /= 1 + (-values).exp(); break;
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
}

void softmax(std::span<float> values)
{
    Eigen::Map<Eigen::ArrayXf> row(values.data(), static_cast<Index>(values.size()));
    row = (row - row.maxCoeff()).exp();
    const double sum = sumInDouble(row.size(), [&](Index i) { return static_cast<double>(row[i]); });
    row /= static_cast<float>(sum);
}

float logSoftmaxAt(std::span<const float> values, std::size_t index)
{
    const Eigen::Map<const Eigen::ArrayXf> row(values.data(), static_cast<Index>(values.size()));
    const float most = row.maxCoeff();
    const Eigen::ArrayXf shifted = (row - most).exp();
    const double sum = sumInDouble(row.size(), [&](Index i) { return static_cast<double>(shifted[i]); });
    return static_cast<float>(static_cast<double>(values[index]) - static_cast<double>(most) - std::log(sum));
}

}  // namespace lqer
