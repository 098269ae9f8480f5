// SPDX-License-Identifier: Apache-2.0
#include "core/recon/adapter_init.h"

#include <algorithm>
#include <limits>
#include <span>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/linalg/decomposition.h"
#include "core/linalg/gemm.h"

namespace lqer {

namespace {

Matrix quantized(const ConstMatrixRef &weight, const Quantizer &quantizer)
{
    Matrix result = weight;
    const std::span<float> flat(result.data(), static_cast<std::size_t>(result.size()));
    quantizer.quantize(flat, {result.rows(), result.cols()}, flat);
    return result;
}

void checkRank(const ConstMatrixRef &weight, Index rank)
{
    if (rank < 0 || rank > std::min(weight.rows(), weight.cols()))
        throw Error(ErrorCode::Argument, fmt::format("adapter rank {} is not in 0 ... {}, the smaller side of a {}x{} weight",
                                                     rank, std::min(weight.rows(), weight.cols()), weight.rows(), weight.cols()));
}

}  // namespace

AdapterInit initLoftq(const ConstMatrixRef &weight, const Quantizer &quantizer, Index rank, int iterations)
{
    checkRank(weight, rank);
    if (iterations < 1)
        throw Error(ErrorCode::Argument, fmt::format("LoftQ needs at least one iteration, not {}", iterations));
    AdapterInit init;
    Matrix target = weight;
    for (int i = 0; i < iterations; ++i) {
        init.base = quantized(target, quantizer);
        const Svd svd = thinSvd((weight - init.base).cast<double>());
        const VectorF64 root = svd.sigma.head(rank).cwiseSqrt();
        init.loraB = (svd.u.leftCols(rank) * root.asDiagonal()).cast<float>();
        init.loraA = (root.asDiagonal() * svd.vt.topRows(rank)).cast<float>();
        init.errors.push_back(svd.sigma.tail(svd.sigma.size() - rank).norm());
        if (i + 1 == iterations)
            break;
        Matrix product(weight.rows(), weight.cols());
        multiply(init.loraB, init.loraA, product);
        target = weight - product;
    }
    return init;
}

AdapterInit initQera(const ConstMatrixRef &weight, const Quantizer &quantizer, Index rank, const ConstMatrixRef &scale)
{
    checkRank(weight, rank);
    const Index in = weight.cols();
    if (scale.rows() != in || (scale.cols() != 1 && scale.cols() != in))
        throw Error(ErrorCode::Shape,
                    fmt::format("weight is {}x{}, the scale {}x{}", weight.rows(), in, scale.rows(), scale.cols()));
    AdapterInit init;
    init.base = quantized(weight, quantizer);
    const MatrixF64 error = (weight - init.base).cast<double>();
    MatrixF64 scaled(weight.rows(), in);
    if (scale.cols() == 1)
        scaled = error * scale.col(0).cast<double>().asDiagonal();
    else
        multiply(error, MatrixF64(scale.cast<double>()), scaled);
    const Svd svd = thinSvd(scaled);

    const MatrixF64 u = svd.u.leftCols(rank);
    MatrixF64 a(rank, in);
    transposedMultiply(u, error, a);
    const double floor
        = svd.sigma.size() ? svd.sigma[0] * static_cast<double>(svd.sigma.size()) * std::numeric_limits<double>::epsilon() : 0;
    VectorF64 sigma = svd.sigma.head(rank);
    for (Index i = 0; i < rank; ++i) {
        a.row(i) *= sigma[i] > floor ? 1.0 / sigma[i] : 0.0;
        sigma[i] = sigma[i] > floor ? sigma[i] : 0.0;
    }
    const MatrixF64 b = u * sigma.asDiagonal();
    MatrixF64 product(weight.rows(), in);
    multiply(b, a, product);
    init.loraA = a.cast<float>();
    init.loraB = b.cast<float>();
    init.errors = {(error - product).norm()};
    return init;
}

AdapterInit initQlora(const ConstMatrixRef &weight, const Quantizer &quantizer)
{
    AdapterInit init;
    init.base = quantized(weight, quantizer);
    init.errors = {(weight - init.base).cast<double>().norm()};
    return init;
}

}  // namespace lqer
