// SPDX-License-Identifier: Apache-2.0
#include "tests/project/sample_project.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/hash.h"

namespace lqer::test {

namespace {

namespace fs = std::filesystem;

double uniform(std::mt19937 &random)
{
    return static_cast<double>(random()) / 4294967296.0;
}

VectorF64 randomVector(Index size, std::mt19937 &random)
{
    VectorF64 vector(size);
    for (double &value : vector)
        value = uniform(random) + 0.01;
    return vector;
}

template <typename Values>
std::string hashOf(const Values &values)
{
    return hashHex(std::as_bytes(std::span(values.data(), static_cast<std::size_t>(values.size()))));
}

}  // namespace

CheckpointIdentity sampleCheckpoint()
{
    return {"/models/sample", "../sample", "00112233445566778899aabbccddeeff", "LlamaForCausalLM"};
}

CalibrationStats sampleProvenance()
{
    CalibrationStats stats;
    stats.model = sampleCheckpoint().fingerprint;
    stats.data = "sample.txt";
    stats.dataHash = "ffeeddccbbaa99887766554433221100";
    stats.windows = 4;
    stats.windowLength = 32;
    return stats;
}

SiteStats sampleSite(Index features, std::uint32_t seed)
{
    std::mt19937 random(seed);
    SiteStats stats;
    stats.tokens = 128;
    stats.maxMeanAbs = randomVector(features, random);
    stats.sumSquares = randomVector(features, random);
    stats.maxAbs = randomVector(features, random);
    MatrixF64 half(features, features);
    for (Index i = 0; i < half.size(); ++i)
        half.data()[i] = uniform(random);
    stats.autocorrelation = half + half.transpose();
    return stats;
}

SampleDecomposition sampleDecomposition(int layer, Index maxRank)
{
    std::mt19937 random(static_cast<std::uint32_t>(layer) + 100);
    SampleDecomposition sample;
    ErrorDecomposition &decomposition = sample.decomposition;
    const Index in = 20;
    const Index out = 12;
    decomposition.scaling = ScalingKind::Diagonal;
    decomposition.a = MatrixF64(in, maxRank);
    decomposition.b = MatrixF64(maxRank, out);
    for (MatrixF64 *factor : {&decomposition.a, &decomposition.b})
        for (Index i = 0; i < factor->size(); ++i)
            factor->data()[i] = static_cast<float>(uniform(random));  // factors are kept as float32
    decomposition.sigma = randomVector(out, random);
    std::sort(decomposition.sigma.begin(), decomposition.sigma.end(), std::greater<>());
    decomposition.sigmaUnscaled = randomVector(out, random);
    decomposition.sigmaExact = decomposition.sigmaUnscaledExact = out;
    decomposition.totalEnergy = decomposition.sigma.squaredNorm();
    decomposition.totalEnergyUnscaled = 5;
    DecompositionRecord &record = sample.record;
    record.key.layer = fmt::format("model.layers.{}.mlp.up_proj", layer);
    record.key.weight = "weight of " + record.key.layer;
    record.key.format = FormatSpec::parse("mxint:width=4,block_size=16");
    record.key.scaling = ScalingKind::Diagonal;
    record.key.calibration = sampleProvenance().key();
    record.in = in;
    record.out = out;
    record.maxRank = maxRank;
    record.outputKnown = true;
    record.weightEnergy = 100;
    record.weightError = decomposition.totalEnergyUnscaled;
    record.outputEnergy = 50;
    record.outputError = 2;
    record.totalEnergy = decomposition.totalEnergy;
    record.sigma = decomposition.sigma;
    record.sigmaUnscaled = decomposition.sigmaUnscaled;
    record.sigmaExact = record.sigmaUnscaledExact = out;
    record.weightCaptured = VectorF64::Constant(maxRank, 0.25);
    record.outputCaptured = VectorF64::Constant(maxRank, 0.125);
    return sample;
}

std::string describe(Project &project)
{
    std::string text;
    const CheckpointIdentity checkpoint = project.checkpoint();
    text += fmt::format("{} {} {} {}\n", checkpoint.folder, checkpoint.relative, checkpoint.fingerprint, checkpoint.architecture);
    for (const std::string &key : project.calibrationKeys()) {
        const auto stats = project.calibration(key);
        text += fmt::format("statistics {} {} {} complete {}\n", key, stats->data, stats->windows, project.isCalibrationComplete(key));
        for (const auto &[name, ignored] : stats->sites) {
            const auto site = project.siteStats(key, name);
            text += fmt::format("  {} {} {} {} {} {}\n", name, site->tokens, hashOf(site->maxMeanAbs), hashOf(site->sumSquares),
                                hashOf(site->maxAbs), hashOf(site->autocorrelation));
        }
    }
    for (const auto &record : project.decompositions()) {
        const auto factors = project.loadDecomposition(record->key);
        text += fmt::format("decomposition {} {} {}x{} r{} {} {} {} {} {} {} {} {} {} {}\n", record->key.layer, record->key.text(),
                            record->in, record->out, record->maxRank, record->weightError, record->outputError, record->totalEnergy,
                            hashOf(record->sigma), hashOf(record->sigmaUnscaled), hashOf(record->weightCaptured),
                            hashOf(record->outputCaptured), hashOf(factors->a), hashOf(factors->b), factors->totalEnergyUnscaled);
    }
    for (const QuantizationRecipe &recipe : project.recipes())
        text += recipe.toJson().dump() + "\n";
    for (const StoredReport &report : project.reports())
        text += report.id + report.report->dump() + "\n";
    return text + project.settings().dump() + "\n";
}

std::vector<std::byte> readBytes(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

void writeBytes(const std::string &path, const std::vector<std::byte> &bytes)
{
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char *>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

std::vector<std::string> filesBelow(const std::string &folder)
{
    std::vector<std::string> names;
    for (const auto &entry : fs::recursive_directory_iterator(folder))
        if (!entry.is_directory())
            names.push_back(fs::relative(entry.path(), folder).string());
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace lqer::test
