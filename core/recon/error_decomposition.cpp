// SPDX-License-Identifier: Apache-2.0
#include "core/recon/error_decomposition.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/large_pages.h"
#include "core/base/processor.h"
#include "core/linalg/bf16_weight.h"
#include "core/linalg/decomposition.h"
#include "core/linalg/gemm.h"
#include "core/linalg/quadratic_form.h"
#include "core/linalg/spectrum.h"
#include "core/recon/error_gram.h"
#include "core/recon/spectrum_estimate.h"
#include "core/tensor/tensor.h"

namespace lqer {

namespace {

// Rows or columns of the error that are held in double at a time, so that a second copy of it is never made.
constexpr Index band = 512;
// Largest Gram matrix that is formed for the sake of a spectrum alone: 2 GiB.
constexpr Index largestSpectrum = 16384;

// An iteration pays while the wanted part is small.
bool iterates(Index order, Index k, const DecompositionOptions &options)
{
    return order > options.exactBelow && 4 * k <= order;
}

Index componentsOf(Index order, const DecompositionOptions &options)
{
    return options.maxRank == 0 ? order : std::min(options.maxRank, order);
}

Index krylovBlock(Index k)
{
    return k > 128 ? 64 : 32;
}

// Top eigenvectors of E^T M E and what goes with them. `error` is E^T, (out, in), in this file.
struct Leading {
    MatrixF64 vectors;   // V (out, k), orthonormal; zero columns where sigma is lost in rounding
    MatrixF64 captured;  // E V (in, k)
    VectorF64 sigma;     // all min(in, out) of them, or k
    double energy = 0;   // trace(E^T M E)
};

// G = E^T M E, (out, out), band by band.
MatrixF64 outputGram(const ConstMatrixRef &error, const Scaling &scaling, const TaskContext &context)
{
    const Index out = error.rows();
    MatrixF64 g(out, out);
    for (Index begin = 0; begin < out; begin += band) {
        const Index rows = std::min(band, out - begin);
        MatrixF64 columns = error.middleRows(begin, rows).cast<double>().transpose();
        MatrixF64 shaped(columns.rows(), rows);
        scaling.apply(columns, shaped, context);
        parallelFor(context, out - begin, band, [&](Index first, Index last) {
            const MatrixF64 below = error.middleRows(begin + first, last - first).cast<double>();
            multiply(below, shaped, g.block(begin + first, begin, last - first, rows), context);
        });
    }
    fillUpper(g, context);
    return g;
}

// K = L^T E E^T L, (r, r), for M = L L^T, or with L = diag(F) where `factor` is empty.
MatrixF64 inputGram(const ConstMatrixRef &error, const MatrixF64 &factor, const VectorF64 &scale, const TaskContext &context)
{
    const Index order = factor.size() ? factor.cols() : error.cols();
    MatrixF64 k = MatrixF64::Zero(order, order);
    MatrixF64 part(order, order);
    for (Index begin = 0; begin < error.rows(); begin += band) {
        const Index rows = std::min(band, error.rows() - begin);
        MatrixF64 shaped = error.middleRows(begin, rows).cast<double>();
        if (factor.size()) {
            MatrixF64 product(rows, order);
            multiply(shaped, factor, product, context);
            shaped = std::move(product);
        } else {
            shaped *= scale.asDiagonal();
        }
        gram(shaped, part, context);
        k += part;
    }
    return k;
}

// How many leading sigma stand above the rounding of a Gram matrix of this order.
Index resolved(const VectorF64 &values, Index most, Index order)
{
    const double floor = values.size() ? values[0] * static_cast<double>(order) * std::numeric_limits<double>::epsilon() : 0.0;
    Index count = 0;
    while (count < most && values[count] > floor)
        ++count;
    return count;
}

// E^T X = error X for X (in, k): (out, k) in double.
MatrixF64 errorTimes(const ConstMatrixRef &error, const ConstMatrixF64Ref &x, const TaskContext &context)
{
    MatrixF64 y(error.rows(), x.cols());
    parallelFor(context, error.rows(), band, [&](Index begin, Index end) {
        multiply(MatrixF64(error.middleRows(begin, end - begin).cast<double>()), x, y.middleRows(begin, end - begin), context);
    });
    return y;
}

// E V for V (out, k): (in, k) in double.
MatrixF64 transposedErrorTimes(const ConstMatrixRef &error, const ConstMatrixF64Ref &v, const TaskContext &context)
{
    MatrixF64 y(error.cols(), v.cols());
    parallelFor(context, error.cols(), band, [&](Index begin, Index end) {
        transposedMultiply(MatrixF64(error.middleCols(begin, end - begin).cast<double>()), v, y.middleRows(begin, end - begin),
                           context);
    });
    return y;
}

VectorF64 rootsOf(const VectorF64 &values)
{
    return values.cwiseMax(0.0).cwiseSqrt();
}

Leading leadingExactly(const ConstMatrixRef &error, const Scaling &scaling, Index k, const TaskContext &context)
{
    const Index in = error.cols();
    const Index out = error.rows();
    Leading leading;
    if (out <= in) {
        MatrixF64 g = outputGram(error, scaling, context);
        leading.energy = g.trace();
        context.checkStop();
        SymmetricLeading eigen = symmetricLeading(std::move(g), k, context);
        const Index kept = resolved(eigen.values, k, out);
        leading.vectors = std::move(eigen.vectors);
        leading.vectors.rightCols(k - kept).setZero();
        leading.sigma = rootsOf(eigen.values);
        leading.captured = transposedErrorTimes(error, leading.vectors, context);
        return leading;
    }
    // The eigenvalues of E^T L L^T E are those of K = L^T E E^T L, and K u = sigma^2 u gives v = E^T L u / sigma.
    const bool exact = scaling.kind() == ScalingKind::Exact;
    MatrixF64 factor;
    VectorF64 scale;
    if (exact)
        factor = semidefiniteFactor(MatrixF64(scaling.sum() / scaling.tokens()), context);
    else
        scale = scaling.diagonal().cwiseSqrt();
    leading.vectors = MatrixF64::Zero(out, k);
    leading.captured = MatrixF64::Zero(in, k);
    leading.sigma = VectorF64::Zero(in);
    if (exact && factor.cols() == 0)
        return leading;  // R is zero
    MatrixF64 gramMatrix = inputGram(error, factor, scale, context);
    leading.energy = gramMatrix.trace();
    context.checkStop();
    const Index order = gramMatrix.rows();
    const SymmetricLeading eigen = symmetricLeading(std::move(gramMatrix), std::min(k, order), context);
    leading.sigma.head(order) = rootsOf(eigen.values);
    const Index kept = resolved(eigen.values, std::min(k, order), order);
    MatrixF64 u = eigen.vectors.leftCols(kept);
    if (exact) {
        MatrixF64 product(in, kept);
        multiply(factor, u, product, context);
        u = std::move(product);
    } else {
        u = scale.asDiagonal() * u;
    }
    MatrixF64 v = errorTimes(error, u, context);
    v *= leading.sigma.head(kept).cwiseInverse().asDiagonal();
    orthonormalizeColumns(v);  // the small ones lose orthogonality to the large ones like (sigma_1 / sigma)^2
    leading.vectors.leftCols(kept) = v;
    leading.captured = transposedErrorTimes(error, leading.vectors, context);
    return leading;
}

// afterwards: what else is to be multiplied by while E is packed.
Leading leadingByIteration(const ConstMatrixRef &error, const FloatScaling &scaling, Index k, Precision precision,
                           const std::function<void(const ErrorGram &)> &afterwards, const TaskContext &context)
{
    LeadingSubspaceOptions options;
    options.block = krylovBlock(k);
    options.tolerance = 2e-4;
    const LeadingSubspace subspace = [&] {
        const ErrorGram gram(error, scaling, precision, context);
        LeadingSubspace found = leadingSubspace(
            error.rows(), k, [&](const ConstMatrixRef &x, MatrixRef y) { gram.times(x, y, context); }, options, context);
        if (afterwards)
            afterwards(gram);
        return found;
    }();

    // Rayleigh-Ritz: rotates V so that V^T G V is diagonal, its entries what each component captures. The products with E and M
    // are in float, as E itself is, whatever the iteration multiplied with; sums over them in double.
    Matrix rows(k, error.cols());
    multiply(Matrix(subspace.vectors.cast<float>()), error, rows, context);
    const Matrix captured = rows.transpose();
    const MatrixF64 ev = captured.cast<double>();
    MatrixF64 projected(k, k);
    transposedMultiply(ev, MatrixF64(scaling.halfTimes(captured, context).cast<double>()), projected, context);
    const SymmetricLeading ritz = symmetricLeading(MatrixF64(0.5 * scaling.unit() * (projected + projected.transpose())), k, context);

    Leading leading;
    leading.sigma = rootsOf(ritz.values);
    leading.vectors.resize(error.rows(), k);
    transposedMultiply(subspace.vectors, ritz.vectors, leading.vectors, context);
    leading.captured.resize(error.cols(), k);
    multiply(ev, ritz.vectors, leading.captured, context);
    const Index kept = resolved(ritz.values, k, error.rows());
    leading.vectors.rightCols(k - kept).setZero();
    leading.captured.rightCols(k - kept).setZero();
    return leading;
}

[[noreturn]] void throwNotFinite(const ConstMatrixRef &error)
{
    for (Index row = 0; row < error.rows(); ++row) {
        std::size_t column = 0;
        if (countNonFinite({error.data() + row * error.outerStride(), static_cast<std::size_t>(error.cols())}, &column) > 0)
            throw Error(ErrorCode::Numeric,
                        fmt::format("quantization error of a {}x{} weight is {} at output {}, input {}", error.rows(),
                                    error.cols(), error(row, static_cast<Index>(column)), row, column));
    }
    failedCheck("a value that is not finite", __FILE__, __LINE__);
}

// ||E||_F^2 and ||D^1/2 E||_F^2.
struct Energies {
    double plain = 0, weighted = 0;
};

// Throws Error(Numeric) on NaN and infinity.
Energies energiesOf(const ConstMatrixRef &error, const VectorF64 &diagonal, const TaskContext &context)
{
    constexpr Index rowsAtOnce = 64, together = 4;
    std::vector<Energies> parts(static_cast<std::size_t>((error.rows() + rowsAtOnce - 1) / rowsAtOnce));
    parallelFor(context, error.rows(), rowsAtOnce, [&](Index begin, Index end) {
        VectorF64 squares = VectorF64::Zero(error.cols());  // of each column, which stay in the cache
        forProcessor([&error, begin, end, sums = squares.data(), columns = error.cols(), stride = error.outerStride()] {
            const auto square = [](float value) { return static_cast<double>(value) * value; };
            Index row = begin;
            for (; row + together <= end; row += together) {
                const float *a = error.data() + row * stride, *b = a + stride, *c = b + stride, *d = c + stride;
                for (Index i = 0; i < columns; ++i)
                    sums[i] += (square(a[i]) + square(b[i])) + (square(c[i]) + square(d[i]));
            }
            for (; row < end; ++row)
                for (Index i = 0; i < columns; ++i)
                    sums[i] += square(error.data()[row * stride + i]);
        });
        parts[static_cast<std::size_t>(begin / rowsAtOnce)] = {squares.sum(), squares.dot(diagonal)};
    });
    Energies sum;
    for (const Energies &part : parts) {
        sum.plain += part.plain;
        sum.weighted += part.weighted;
    }
    if (!std::isfinite(sum.plain))  // squares of finite floats and their sums stay finite in double
        throwNotFinite(error);
    return sum;
}

// Where F is a factor of R, which costs the cube of `in`: G is formed instead where it is much smaller.
bool formsGram(Index out, Index in, ScalingKind scaling)
{
    return scaling == ScalingKind::Exact && 2 * out < in;
}

// All singular values of F E, from F E in float; where formsGram(), from G = E^T R E in float, of which values below 3e-4 of the largest are
// rounding.
VectorF64 allSingularValues(const ConstMatrixRef &error, const FloatScaling &scaling, const TaskContext &context)
{
    const Index in = error.cols();
    const Index out = error.rows();
    VectorF64 sigma = VectorF64::Zero(std::min(in, out));
    if (formsGram(out, in, scaling.exactly().kind())) {
        MatrixF64 g(out, out);
        for (Index begin = 0; begin < out; begin += band) {
            const Index columns = std::min(band, out - begin);
            const Matrix shaped = scaling.times(error.middleRows(begin, columns).transpose(), context);
            Matrix part(out - begin, columns);
            multiply(error.bottomRows(out - begin), shaped, part, context);
            g.block(begin, begin, out - begin, columns) = part.cast<double>();
        }
        context.checkStop();
        fillUpper(g, context);
        sigma = rootsOf(symmetricEigenvalues(std::move(g), context).reverse());
    } else if (scaling.isDiagonal()) {
        const Vector root = scaling.diagonal().cwiseSqrt();
        Matrix shaped = onLargePages(Matrix(out, in));
        parallelFor(context, out, band, [&](Index begin, Index end) {
            shaped.middleRows(begin, end - begin) = error.middleRows(begin, end - begin) * root.asDiagonal();
        });
        sigma = lqer::allSingularValues(std::move(shaped), context);
    } else {
        const Matrix factor
            = semidefiniteFactor(MatrixF64(scaling.exactly().sum() / (scaling.exactly().tokens() * scaling.unit())), context).cast<float>();
        if (factor.cols() == 0)
            return sigma;
        Matrix shaped = onLargePages(Matrix(out, factor.cols()));
        multiply(error, factor, shaped, context);
        const VectorF64 found = lqer::allSingularValues(std::move(shaped), context);
        sigma.head(found.size()) = found;
    }
    return std::sqrt(scaling.unit()) * sigma;
}

Matrix quantized(const ConstMatrixF64Ref &values, const Quantizer &format)
{
    Matrix result = values.cast<float>();
    const std::span<float> flat(result.data(), static_cast<std::size_t>(result.size()));
    format.quantize(flat, {result.rows(), result.cols()}, flat);
    return result;
}

}  // namespace

ErrorDecomposition decompose(const ConstMatrixRef &error, const Scaling &scaling, const DecompositionOptions &options,
                             const TaskContext &context)
{
    LQER_ASSERT(error.rows() > 0 && error.cols() > 0 && options.maxRank >= 0);
    if (scaling.features() != error.cols())
        throw Error(ErrorCode::Shape,
                    fmt::format("weight is {}x{}, the scaling covers {} inputs", error.rows(), error.cols(), scaling.features()));
    const TaskContext silent = context.silent();
    const Energies energies = energiesOf(error, scaling.diagonal(), silent);
    const Index order = std::min(error.rows(), error.cols());
    const Index k = componentsOf(order, options);
    const bool iterate = iterates(order, k, options);
    const SpectrumExtent extent = attainableSpectrum(error.rows(), error.cols(), options);
    const bool complete = extent == SpectrumExtent::Whole, estimated = extent == SpectrumExtent::Estimated;
    ErrorDecomposition result;
    if (options.sigmaUnscaled.size() == order && (estimated || (complete && options.sigmaUnscaledExact == order))) {
        result.sigmaUnscaled = options.sigmaUnscaled;
        result.sigmaUnscaledExact = options.sigmaUnscaledExact;
    }
    const bool plainWanted = extent != SpectrumExtent::Leading && scaling.kind() != ScalingKind::Identity && result.sigmaUnscaled.size() == 0;
    Leading leading;
    const Precision precision = Bf16Weight::isSupported() ? options.precision : Precision::Float32;
    if (iterate) {
        const bool keepsR = precision == Precision::Float32 || (complete && formsGram(error.rows(), error.cols(), scaling.kind()));
        const FloatScaling floatScaling(scaling, keepsR, silent);
        double energy = energies.weighted;
        if (!floatScaling.isDiagonal())
            energy = options.totalEnergy || estimated ? quadraticForm(error, scaling.sum(), precision, silent) / scaling.tokens() : 0;
        VectorF64 estimates;
        leading = leadingByIteration(
            error, floatScaling, k, precision,
            [&](const ErrorGram &gram) {
                if (!estimated)
                    return;
                estimates = estimatedShapedSpectrum(gram, energy, silent);
                if (plainWanted && scaling.kind() == ScalingKind::Exact)
                    result.sigmaUnscaled = estimatedPlainSpectrum(gram, energies.plain, silent);
            },
            silent);
        leading.energy = energy;
        if (estimated)
            leading.sigma = withEstimates(leading.sigma, std::move(estimates), energy);
        if (complete) {
            // The leading ones stay what the factors capture; none behind them is larger.
            VectorF64 all = allSingularValues(error, floatScaling, silent);
            all.head(k) = leading.sigma;
            if (k > 0)
                all.tail(order - k) = all.tail(order - k).cwiseMin(leading.sigma[k - 1]);
            leading.sigma = std::move(all);
        }
    } else {
        leading = leadingExactly(error, scaling, k, silent);
    }

    result.scaling = scaling.kind();
    result.sigma = std::move(leading.sigma);
    result.sigmaExact = complete ? order : k;
    result.totalEnergy = leading.energy;
    result.totalEnergyUnscaled = energies.plain;
    if (scaling.kind() == ScalingKind::Identity) {
        result.sigmaUnscaled = result.sigma;
        result.sigmaUnscaledExact = result.sigmaExact;
    } else if (plainWanted && result.sigmaUnscaled.size() == 0) {
        const Scaling identity(ScalingKind::Identity, nullptr, error.cols());
        if (!iterate) {
            result.sigmaUnscaled = leadingExactly(error, identity, 0, silent).sigma;
        } else {
            const FloatScaling unscaled(identity, false, silent);
            result.sigmaUnscaled = complete ? allSingularValues(error, unscaled, silent)
                                            : estimatedPlainSpectrum(ErrorGram(error, unscaled, precision, silent), energies.plain, silent);
        }
        result.sigmaUnscaledExact = complete ? order : 0;
    }

    result.a = std::move(leading.captured);
    result.b = leading.vectors.transpose();
    VectorF64 largest = VectorF64::Zero(k);  // of each column of A, with its sign
    forProcessor([a = result.a.data(), rows = result.a.rows(), most = largest.data(), k] {
        for (Index row = 0; row < rows; ++row)
            for (Index i = 0; i < k; ++i)
                most[i] = std::abs(a[row * k + i]) > std::abs(most[i]) ? a[row * k + i] : most[i];
    });
    VectorF64 toA = VectorF64::Zero(k);
    for (Index i = 0; i < k; ++i) {
        const double sign = largest[i] < 0 ? -1.0 : 1.0;
        const bool kept = !result.b.row(i).isZero(0.0);
        toA[i] = kept ? sign / result.sigma[i] : 0.0;
        result.b.row(i) *= kept ? sign * result.sigma[i] : 0.0;
    }
    result.a *= toA.asDiagonal();
    return result;
}

SpectrumExtent attainableSpectrum(Index out, Index in, const DecompositionOptions &options)
{
    const Index order = std::min(out, in);
    if (!iterates(order, componentsOf(order, options), options))
        return SpectrumExtent::Whole;
    return order > largestSpectrum ? std::min(options.spectrum, SpectrumExtent::Estimated) : options.spectrum;
}

std::uint64_t decompositionBytes(Index out, Index in, ScalingKind scaling, const DecompositionOptions &options, std::size_t threads)
{
    constexpr Index float32 = sizeof(float), float64 = sizeof(double);
    const Index order = std::min(out, in);
    const Index k = componentsOf(order, options);
    const bool exact = scaling == ScalingKind::Exact;
    const auto bandsAtOnce = [&](Index bands) { return std::min<Index>((bands + band - 1) / band, static_cast<Index>(threads)); };
    const Index columnBands = bandsAtOnce(in) * std::min(band, in) * out * float64;
    const Index vectors = (in + out) * k * float64;  // V and E V
    const Index factors = (in + 2 * out) * k * float64;

    Index leading = 0;
    if (iterates(order, k, options)) {
        constexpr Index blocksBeyond = 12;  // that the iteration takes beyond k until it has converged, measured: 4 to 10
        const Index block = krylovBlock(k);
        const Index basis = std::min(out, k + blocksBeyond * block);
        const Index iteration = basis * out * float32 + 2 * basis * basis * float64 + block * (2 * in * float32 + 6 * out * float32);
        const Index rayleighRitz = (4 * in + 3 * out) * k * float64;
        const Precision precision = Bf16Weight::isSupported() ? options.precision : Precision::Float32;
        const auto packed = static_cast<Index>(ErrorGram::bytes(out, in, scaling, precision));
        const SpectrumExtent extent = attainableSpectrum(out, in, options);
        const bool complete = extent == SpectrumExtent::Whole;
        const Index r = exact && (precision == Precision::Float32 || (complete && formsGram(out, in, scaling))) ? in * in * float32 : 0;
        leading = r + std::max(packed + iteration, rayleighRitz);
        if (extent == SpectrumExtent::Estimated)  // beside V, and once more beside V and E V for E itself
            leading = std::max(leading, r + packed + static_cast<Index>(spectrumEstimateBytes(out, in)) + (exact ? out * k * float64 : vectors));
        if (complete) {
            const Index square = in * in * float64;
            const Index bands = (2 + static_cast<Index>(threads)) * 2 * band * std::max(in, out) * float32;
            const Index spectrum = in * out * float32 + static_cast<Index>(allSingularValuesBytes(out, in));
            Index most = spectrum;
            if (exact)  // R and its factor, the factor in double and float, then with F E
                most = formsGram(out, in, scaling) ? order * order * float64 + bands : std::max(2 * square, in * in * float32 + spectrum);
            leading = std::max(leading, vectors + r + most);
        }
    } else {
        const Index square = order * order * float64;
        const Index rowBands = (bandsAtOnce(out) + 2) * std::min(band, out) * in * float64;
        // LAPACK's divide and conquer takes two squares where most vectors are wanted (symmetricLeading).
        const Index eigenvectors = 2 * k * order * float64 + (2 * k > order ? 2 * square : 0);
        if (out <= in) {
            leading = square + std::max(rowBands, eigenvectors);
        } else {
            const Index factor = exact ? square : 0;
            leading = std::max({2 * factor, factor + 2 * square + rowBands, factor + square + eigenvectors,
                                factor + vectors + out * k * float64 + rowBands + columnBands});
        }
        // The spectrum before shaping comes after, with the vectors kept.
        if (scaling != ScalingKind::Identity && options.sigmaUnscaled.size() != order)
            leading = std::max(leading, vectors + square * (out <= in ? 1 : 2) + rowBands);
    }
    return static_cast<std::uint64_t>(std::max(leading, factors));
}

LowRankCorrection ErrorDecomposition::truncate(Index rank, const Quantizer &aFormat, const Quantizer &bFormat) const
{
    if (rank < 0 || rank > std::min(in(), out()))
        throw Error(ErrorCode::Argument,
                    fmt::format("rank {} is not in 0 ... {}, the smaller side of a layer with {} inputs and {} outputs", rank,
                                std::min(in(), out()), in(), out()));
    if (rank > maxRank())
        throw Error(ErrorCode::Argument, fmt::format("rank {} is above the {} components that were computed", rank, maxRank()));
    return {quantized(a.leftCols(rank), aFormat), quantized(b.topRows(rank), bFormat), aFormat.spec(), bFormat.spec()};
}

double ErrorDecomposition::residualEnergy(Index rank) const
{
    LQER_ASSERT(rank >= 0 && rank <= sigma.size());
    return std::max(0.0, totalEnergy - sigma.head(rank).squaredNorm());
}

}  // namespace lqer
