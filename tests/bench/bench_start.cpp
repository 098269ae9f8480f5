// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "core/base/text.h"
#include "core/engine/engine.h"
#include "core/engine/engine_state.h"
#include "core/engine/memory_estimate.h"
#include "core/io/checkpoint.h"
#include "core/io/json.h"
#include "core/linalg/bf16_weight.h"
#include "core/model/transformer.h"
#include "tests/bench/bench.h"
#include "tests/support/process_memory.h"
#include "tests/support/random_llama.h"

namespace lqer::bench {

namespace {

constexpr std::int64_t layers = 32, hidden = 4096, intermediate = 11008, vocabulary = 32000;
constexpr std::int64_t layersPerShard = 16;

// One shard of zeros: its header and a hole.
class SparseShard {
public:
    void add(const std::string &name, std::vector<std::int64_t> shape)
    {
        std::int64_t bytes = 2;
        Json extents = Json::array();
        for (const std::int64_t extent : shape) {
            bytes *= extent;
            extents.append(extent);
        }
        m_header.set(name, Json::object().set("dtype", "BF16").set("shape", std::move(extents)).set("data_offsets", Json::array().append(m_bytes).append(m_bytes + bytes)));
        m_names.push_back(name);
        m_bytes += bytes;
    }
    const std::vector<std::string> &names() const { return m_names; }
    void write(const std::string &path) const
    {
        std::string text = m_header.dump();
        text.resize((text.size() + 7) / 8 * 8, ' ');
        const std::uint64_t length = text.size();
        std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char *>(&length), sizeof length) << text;
        std::filesystem::resize_file(path, sizeof length + length + static_cast<std::uint64_t>(m_bytes));
    }

private:
    Json m_header = Json::object();
    std::vector<std::string> m_names;
    std::int64_t m_bytes = 0;
};

void writeSparseCheckpoint(const std::string &folder)
{
    std::filesystem::create_directories(folder);
    Json map = Json::object();
    const auto finish = [&](const SparseShard &shard, std::int64_t number) {
        const std::string file = fmt::format("model-{:05}-of-{:05}.safetensors", number + 1, layers / layersPerShard + 1);
        shard.write(folder + "/" + file);
        for (const std::string &name : shard.names())
            map.set(name, file);
    };
    SparseShard shard;
    for (std::int64_t layer = 0; layer < layers; ++layer) {
        const std::string block = fmt::format("model.layers.{}.", layer);
        for (const char *name : {"q", "k", "v", "o"})
            shard.add(fmt::format("{}self_attn.{}_proj.weight", block, name), {hidden, hidden});
        for (const char *name : {"gate", "up"})
            shard.add(fmt::format("{}mlp.{}_proj.weight", block, name), {intermediate, hidden});
        shard.add(block + "mlp.down_proj.weight", {hidden, intermediate});
        for (const char *name : {"input_layernorm", "post_attention_layernorm"})
            shard.add(block + name + ".weight", {hidden});
        if ((layer + 1) % layersPerShard == 0)
            finish(std::exchange(shard, {}), layer / layersPerShard);
    }
    SparseShard ends;
    ends.add("model.embed_tokens.weight", {vocabulary, hidden});
    ends.add("model.norm.weight", {hidden});
    ends.add("lm_head.weight", {vocabulary, hidden});
    finish(ends, layers / layersPerShard);
    std::ofstream(folder + "/model.safetensors.index.json") << Json::object().set("weight_map", std::move(map)).dump(1);
    std::ofstream(folder + "/config.json") << Json::object()
                                                  .set("architectures", Json::array().append("LlamaForCausalLM"))
                                                  .set("model_type", "llama")
                                                  .set("hidden_act", "silu")
                                                  .set("hidden_size", hidden)
                                                  .set("intermediate_size", intermediate)
                                                  .set("num_hidden_layers", layers)
                                                  .set("num_attention_heads", 32)
                                                  .set("num_key_value_heads", 32)
                                                  .set("vocab_size", vocabulary)
                                                  .set("max_position_embeddings", 4096)
                                                  .set("rms_norm_eps", 1e-5)
                                                  .set("tie_word_embeddings", false)
                                                  .set("torch_dtype", "bfloat16")
                                                  .dump(1);
}

// Complete spectra and what 256 directions capture for every layer; the factors are of rank 1 to spare the disk.
void fill(Project &project, const LoadedModel &model, const QuantizationRecipe &recipe)
{
    constexpr Index kept = 1;
    for (const LinearSite &site : model.transformer().linearSites()) {
        const LayerPlan plan = recipe.planFor(site);
        const Index order = std::min(site.in, site.out);
        ErrorDecomposition decomposition;
        decomposition.scaling = plan.scaling;
        decomposition.a = MatrixF64::Ones(site.in, kept);
        decomposition.b = MatrixF64::Ones(kept, site.out);
        decomposition.sigma = VectorF64::LinSpaced(order, 2.0, 1.0);
        decomposition.sigmaUnscaled = decomposition.sigma;
        decomposition.sigmaExact = decomposition.sigmaUnscaledExact = decomposition.sigma.size();
        decomposition.totalEnergy = decomposition.totalEnergyUnscaled = decomposition.sigma.squaredNorm();
        DecompositionRecord record;
        record.key = decompositionKey(model, site, plan.formats.weight, plan.scaling, "");
        record.in = site.in;
        record.out = site.out;
        record.maxRank = kept;
        record.weightEnergy = 100 * decomposition.totalEnergy;
        record.weightError = record.totalEnergy = decomposition.totalEnergy;
        record.sigma = decomposition.sigma;
        record.sigmaUnscaled = decomposition.sigmaUnscaled;
        record.sigmaExact = decomposition.sigmaExact;
        record.sigmaUnscaledExact = decomposition.sigmaUnscaledExact;
        record.weightCaptured = VectorF64::Constant(kept, 4.0);
        project.storeDecomposition(record, decomposition);
    }
    project.save();
}

// Takes the files of a folder out of the system's cache; where it will not, they stay warm.
void evict(const std::string &folder)
{
    for (const auto &entry : std::filesystem::directory_iterator(folder))
        if (const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC); file >= 0) {
            fdatasync(file);
            posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
            close(file);
        }
}

void readFiles(const std::string &folder)
{
    std::vector<char> piece(8U << 20U);
    for (const auto &entry : std::filesystem::directory_iterator(folder)) {
        std::ifstream file(entry.path(), std::ios::binary);
        while (file.read(piece.data(), static_cast<std::streamsize>(piece.size()))) {
        }
    }
}

// The weights of one decoder layer of 7 B, on their way to products.
void benchReading(Report &report, const Options &options)
{
    const std::string folder = options.scratch + "/block7b";
    const test::RandomLlama shape{.layers = 1, .hidden = 4096, .intermediate = 11008, .heads = 32, .kvHeads = 32, .vocabulary = 1000, .positions = 128};
    if (!std::filesystem::exists(folder + "/config.json"))
        test::writeRandomLlama(folder, shape);
    const auto checkpoint = std::make_shared<const Checkpoint>(folder);
    const Transformer model(checkpoint);
    double gigabytes = 0;
    for (const LinearSite &site : model.linearSites())
        gigabytes += 2e-9 * static_cast<double>(site.in * site.out);
    const auto read = [&] {
        for (const LinearSite &site : model.linearSites())
            model.readWeight(site);
    };
    const auto readThenConvert = [&] {
        for (const LinearSite &site : model.linearSites()) {
            const Tensor stored = checkpoint->read(site.weightTensor);
            Matrix values(site.out, site.in);
            stored.copyTo(std::span(values.data(), static_cast<std::size_t>(values.size())));
        }
    };
    const Pair warm = alternate(3, read, readThenConvert);
    report.add({"a block of 7 B, bf16 to floats, file in the cache", "GB/s", gigabytes / warm.ours, "whole tensors, then converted", gigabytes / warm.baseline,
                0, fmt::format("of bf16, checked for NaN; {:.2f} GB", gigabytes)});
    evict(folder);
    const double cold = wallSeconds(read);
    evict(folder);
    report.add({"the same, file not in the cache", "GB/s", gigabytes / cold, "its bytes alone, in pieces of 8 MB", gigabytes / wallSeconds([&] { readFiles(folder); }),
                1, "by the clock"});
    const TokenWindows one = test::randomWindows(shape, 1, 1, 1);
    ForwardHooks none;
    for (const Precision precision : {Precision::Float32, Precision::BFloat16}) {
        if (precision == Precision::BFloat16 && !Bf16Weight::isSupported())
            continue;
        Transformer::ForwardOptions forward;
        forward.precision = precision;
        forward.blocks = 1;
        const auto load = [&] { model.forward(one.windows, none, forward, {}, {}); };
        const double seconds = best(2, load);
        const std::uint64_t before = residentMemory();
        test::resetPeak();
        load();
        report.add({fmt::format("loading it for products in {}, one token through it", toString(precision)), "GB/s", gigabytes / seconds, "", 0, 0,
                    fmt::format("peak {} above what was held", formatBytes(static_cast<double>(test::peakMemory() - before)))});
    }
}

// What QERA-exact is predicted to need at its peak; tst_engine_memory and lqer_bench_memory hold predictions to what is used.
void reportMemory(Report &report, const Engine &engine, const LoadedModel &model)
{
    QuantizationRecipe recipe;
    recipe.defaults.weight = FormatSpec::parse("mxint4");
    recipe.defaults.activation = FormatSpec::parse("mxint8");
    recipe.defaults.scaling = ScalingKind::Exact;
    recipe.defaults.rank = 64;
    const TokenWindows windows = test::randomWindows({.vocabulary = vocabulary}, 128, 2048, 1);
    const std::pair<const char *, MemoryEstimate> stages[] = {{"calibrate with R, 128 windows of 2048", engine.estimateCalibration(model, windows, {})},
                                                              {"decompose, exact", engine.estimateDecomposition(model, recipe, {})},
                                                              {"evaluate W4A8, 128 windows of 2048", engine.estimateEvaluation(model, &recipe, windows, {})}};
    for (const auto &[stage, estimate] : stages) {
        std::string parts;
        for (const auto &[name, size] : estimate.parts)
            parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", name, formatBytes(static_cast<double>(size)));
        report.add({fmt::format("memory predicted for 7 B: {}", stage), "GB", 1e-9 * static_cast<double>(estimate.bytes), "", 0, 0, parts});
    }
}

}  // namespace

void benchStart(Report &report, const Options &options)
{
    benchReading(report, options);
    const std::string folder = options.scratch + "/sparse7b", projectFolder = options.scratch + "/sparse7b.lqer";
    if (!std::filesystem::exists(folder + "/config.json"))
        writeSparseCheckpoint(folder);
    std::filesystem::remove_all(projectFolder);
    const Engine engine;
    QuantizationRecipe recipe;
    recipe.defaults.weight = FormatSpec::parse("mxint4");
    recipe.defaults.scaling = ScalingKind::Identity;
    recipe.defaults.rank = 1;
    std::size_t rows = 0;
    const double opening = wallSeconds([&] {
        const auto model = engine.load(folder, engine.context());
        const auto project = engine.createProject(projectFolder, *model);
        rows = engine.layerTable(*model, *project, recipe)->rows.size();
    });
    report.add({fmt::format("a checkpoint of 13.5 GB in 3 shards to a table of {} layers", rows), "s", opening, "", 0, 0, "by the clock"});
    {
        const auto model = engine.load(folder, engine.context());
        fill(*engine.openProject(projectFolder), *model, recipe);
        reportMemory(report, engine, *model);
    }
    std::size_t ready = 0;
    double projectSeconds = 0, modelSeconds = 0;
    const double reopening = wallSeconds([&] {
        std::shared_ptr<Project> project;
        std::shared_ptr<const LoadedModel> model;
        projectSeconds = wallSeconds([&] { project = engine.openProject(projectFolder); });
        modelSeconds = wallSeconds([&] { model = engine.loadFor(*project, engine.context()); });
        ready = engine.layerTable(*model, *project, recipe)->ready;
    });
    report.add({fmt::format("its project with {} decompositions and spectra to the table", ready), "s", reopening, "", 0, 0,
                fmt::format("by the clock; goal 0.5 s; of it project {:.2f}, checkpoint {:.2f}", projectSeconds, modelSeconds)});
}

}  // namespace lqer::bench
