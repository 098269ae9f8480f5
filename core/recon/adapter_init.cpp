// SPDX-License-Identifier: Apache-2.0
#include "core/recon/adapter_init.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "core/base/error.h"
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

DecompositionOptions optionsFor(Index rank)
{
    return {.maxRank = rank, .spectrum = SpectrumExtent::Leading, .totalEnergy = false, .precision = Precision::Float32};
}

// The leading part of W - base, and what is left of it.
ErrorDecomposition leadingError(const ConstMatrixRef &weight, const Matrix &base, Index rank, const Scaling &scaling,
                                const TaskContext &context)
{
    if (rank < 1 || rank > std::min(weight.rows(), weight.cols()))
        throw Error(ErrorCode::Argument, fmt::format("adapter rank {} is not in 1 ... {}, the smaller side of a {}x{} weight",
                                                     rank, std::min(weight.rows(), weight.cols()), weight.rows(), weight.cols()));
    return decompose(Matrix(weight - base), scaling, optionsFor(rank), context);
}

// ||W - base - loraB loraA||_F, and W - loraB loraA.
double remainingError(const ConstMatrixRef &weight, const AdapterInit &init, Matrix &target, const TaskContext &context)
{
    target = weight;
    subtractProduct(init.loraB, init.loraA, target, context);
    return (target - init.base).cast<double>().norm();
}

}  // namespace

AdapterInit initLoftq(const ConstMatrixRef &weight, const Quantizer &quantizer, Index rank, int iterations,
                      const TaskContext &context)
{
    if (iterations < 1)
        throw Error(ErrorCode::Argument, fmt::format("LoftQ needs at least one iteration, not {}", iterations));
    const Scaling identity(ScalingKind::Identity, nullptr, weight.cols());
    AdapterInit init;
    Matrix target = weight;
    for (int i = 0; i < iterations; ++i) {
        context.checkStop();
        init.base = quantized(target, quantizer);
        // W - Q ~ B^T A^T with sigma in B.
        const ErrorDecomposition leading = leadingError(weight, init.base, rank, identity, context);
        const VectorF64 root = leading.sigma.head(rank).cwiseSqrt();
        const VectorF64 inverse = (root.array() > 0).select(root.cwiseInverse(), 0.0);
        init.loraB = (leading.b.transpose() * inverse.asDiagonal()).cast<float>();
        init.loraA = (root.asDiagonal() * leading.a.transpose()).cast<float>();
        init.errors.push_back(remainingError(weight, init, target, context));
    }
    return init;
}

AdapterInit initQera(const ConstMatrixRef &weight, const Quantizer &quantizer, Index rank, const Scaling &scaling,
                     const TaskContext &context)
{
    AdapterInit init;
    init.base = quantized(weight, quantizer);
    const ErrorDecomposition leading = leadingError(weight, init.base, rank, scaling, context);
    init.loraB = leading.b.transpose().cast<float>();
    init.loraA = leading.a.transpose().cast<float>();
    Matrix target;
    init.errors = {remainingError(weight, init, target, context)};
    return init;
}

std::uint64_t adapterInitBytes(Index out, Index in, ScalingKind scaling, Index rank, std::size_t threads)
{
    // Base, target, W - base, and what its norm takes.
    return 3 * sizeof(float) * static_cast<std::uint64_t>(in) * static_cast<std::uint64_t>(out)
           + decompositionBytes(out, in, scaling, optionsFor(rank), threads);
}

AdapterInit initQlora(const ConstMatrixRef &weight, const Quantizer &quantizer)
{
    AdapterInit init;
    init.base = quantized(weight, quantizer);
    init.errors = {(weight - init.base).cast<double>().norm()};
    return init;
}

}  // namespace lqer
