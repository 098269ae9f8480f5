// SPDX-License-Identifier: Apache-2.0
#include "core/project/project_shards.h"

#include <span>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/io/file.h"

namespace lqer {

namespace {

std::string folderOf(const std::string &project, std::string_view folder)
{
    return fmt::format("{}/{}", project, folder);
}

// A symmetric matrix as the rows of its upper triangle, diagonal first: half the bytes and not a bit less.
Tensor packUpper(const MatrixF64 &matrix)
{
    const Index n = matrix.rows();
    Tensor packed(DType::F64, {n * (n + 1) / 2});
    auto *out = reinterpret_cast<double *>(packed.bytes().data());
    for (Index row = 0; row < n; ++row)
        out = std::copy(matrix.data() + row * n + row, matrix.data() + (row + 1) * n, out);
    return packed;
}

MatrixF64 unpackUpper(const Tensor &packed, Index n, const TaskContext &context)
{
    constexpr Index tile = 64;
    MatrixF64 matrix(n, n);
    const auto *in = reinterpret_cast<const double *>(packed.bytes().data());
    parallelFor(context, n, tile, [&](Index begin, Index end) {
        for (Index row = begin; row < end; ++row) {
            const double *from = in + row * n - row * (row - 1) / 2;
            std::copy(from, from + n - row, &matrix(row, row));
            for (Index column = row + 1; column < end; ++column)
                matrix(column, row) = matrix(row, column);
        }
        for (Index column = end; column < n; column += tile) {
            const Index columns = std::min(tile, n - column);
            matrix.block(column, begin, columns, end - begin) = matrix.block(begin, column, end - begin, columns).transpose();
        }
    });
    return matrix;
}

const Tensor &arrayOf(const Shard &shard, const std::string &path, const std::string &name, DType dtype, const Shape &shape)
{
    const auto found = shard.arrays.find(name);
    if (found == shard.arrays.end())
        throw Error(ErrorCode::Format, path, fmt::format("tensor '{}'", name), "is missing");
    if (found->second.dtype() != dtype || found->second.shape() != shape)
        throw Error(ErrorCode::Format, path, fmt::format("tensor '{}'", name),
                    fmt::format("is {} {}, expected {} {}", toString(found->second.dtype()), toString(found->second.shape()),
                                toString(dtype), toString(shape)));
    return found->second;
}

}  // namespace

ShardRecord writeSiteShard(const std::string &project, const CalibrationStats &provenance, const std::string &site, const SiteStats &stats)
{
    const std::string key = provenance.key();
    Hdf5Group record = siteToHdf5(stats, stats.hasAutocorrelation());
    record.values["key"] = key;
    record.values["site"] = site;
    record.groups["calibration"] = provenanceToHdf5(provenance);
    ShardArrays arrays;
    if (stats.hasAutocorrelation())
        arrays.emplace_back(autocorrelationArray, packUpper(stats.autocorrelation));
    return writeShard(folderOf(project, statisticsFolder), shardStem(site, key) + ".safetensors", statisticsKind, record, std::move(arrays));
}

SiteShard readSiteShard(const std::string &project, const std::string &file, bool withArrays, const TaskContext &context)
{
    const std::string path = folderOf(project, statisticsFolder) + "/" + file;
    const Shard shard = readShard(path, statisticsKind, withArrays, context);
    const Hdf5Reader reader(shard.record, path);
    SiteShard site;
    site.key = reader.text("key");
    site.site = reader.text("site");
    site.provenance = provenanceFromHdf5(reader.group("calibration"));
    site.stored = siteFromHdf5(reader);
    site.stored.shard = {file, InputFile(path).size(), shard.hash};
    if (withArrays && site.stored.autocorrelation) {
        const Index n = site.stored.stats.features();
        site.autocorrelation = unpackUpper(arrayOf(shard, path, autocorrelationArray, DType::F64, {n * (n + 1) / 2}), n, context);
    }
    return site;
}

ShardRecord writeFactorShard(const std::string &project, const DecompositionRecord &record, const ErrorDecomposition &decomposition)
{
    LQER_ASSERT(decomposition.maxRank() == record.maxRank && decomposition.b.rows() == record.maxRank);
    LQER_ASSERT(decomposition.a.rows() == record.in && decomposition.b.cols() == record.out);
    ShardArrays arrays;
    arrays.emplace_back("A", Tensor::fromMatrix(ConstMatrixRef(Matrix(decomposition.a.cast<float>()))));
    arrays.emplace_back("B", Tensor::fromMatrix(ConstMatrixRef(Matrix(decomposition.b.cast<float>()))));
    // The rank is part of the name, and whether there are estimates, so that a shard with more never overwrites the one the saved project lists.
    const std::string name = fmt::format("{}.r{}{}.safetensors", shardStem(record.key.layer, record.key.text()), record.maxRank,
                                         record.spectrum() == SpectrumExtent::Estimated ? ".estimated" : "");
    return writeShard(folderOf(project, factorsFolder), name, factorsKind, toHdf5(record), std::move(arrays));
}

FactorShard readFactorShard(const std::string &project, const std::string &file, bool withArrays)
{
    const std::string path = folderOf(project, factorsFolder) + "/" + file;
    const Shard shard = readShard(path, factorsKind, withArrays);
    const Hdf5Reader reader(shard.record, path);
    FactorShard factors;
    factors.key = reader.text("key");
    factors.record = decompositionFromHdf5(reader);
    factors.shard = {file, InputFile(path).size(), shard.hash};
    const DecompositionRecord &record = factors.record;
    ErrorDecomposition &decomposition = factors.decomposition;
    decomposition.scaling = record.key.scaling;
    decomposition.sigma = record.sigma;
    decomposition.sigmaUnscaled = record.sigmaUnscaled;
    decomposition.sigmaExact = record.sigmaExact;
    decomposition.sigmaUnscaledExact = record.sigmaUnscaledExact;
    decomposition.totalEnergy = record.totalEnergy;
    decomposition.totalEnergyUnscaled = record.weightError;
    if (withArrays) {
        decomposition.a = arrayOf(shard, path, "A", DType::F32, {record.in, record.maxRank}).toMatrixF64();
        decomposition.b = arrayOf(shard, path, "B", DType::F32, {record.maxRank, record.out}).toMatrixF64();
    }
    return factors;
}

}  // namespace lqer
