// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/adapt.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <random>
#include <set>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/eval/perplexity.h"
#include "core/export/adapter.h"
#include "core/export/checkpoint_files.h"
#include "core/export/exact_type.h"
#include "core/export/export_folder.h"
#include "core/io/atomic_folder.h"
#include "core/io/yaml.h"
#include "core/quant/quantizer.h"
#include "core/recon/adapter_init.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr const char *argumentsName = "adapt_and_save_args.yaml";
constexpr const char *resultsName = "adapt_and_save_results.yaml";
constexpr std::uint64_t largestShard = 5'000'000'000;

std::string leafOf(const std::string &module)
{
    return module.substr(module.rfind('.') + 1);
}

// Columns or rows of zeros up to the rank: what a layer with fewer singular values has beyond them.
void padToRank(AdapterInit &init, Index rank)
{
    const Index found = init.loraA.rows();
    if (found == rank)
        return;
    Matrix a = Matrix::Zero(rank, init.loraA.cols()), b = Matrix::Zero(init.loraB.rows(), rank);
    a.topRows(found) = init.loraA;
    b.leftCols(found) = init.loraB;
    init.loraA = std::move(a);
    init.loraB = std::move(b);
}

// Makes base weights and factors when the checkpoint's writer asks for a layer, a group of them at once, and hands the factors to the adapter's writer.
class LayerMaker {
public:
    LayerMaker(const LoadedModel &model, Project *project, std::string calibration, const AdaptOptions &options, std::vector<const LinearSite *> sites)
        : m_model(model), m_project(project), m_calibration(std::move(calibration)), m_options(options), m_sites(std::move(sites))
    {
        if (const auto format = adaptFormat(options))
            m_quantizer = makeQuantizer(*format);
    }

    std::vector<TensorInfo> adapterTensors() const
    {
        std::vector<TensorInfo> tensors;
        for (const LinearSite *site : m_sites) {
            tensors.push_back({.name = adapterTensor(*site, "A"), .dtype = DType::F32, .shape = {m_options.rank, site->in}});
            tensors.push_back({.name = adapterTensor(*site, "B"), .dtype = DType::F32, .shape = {site->out, m_options.rank}});
        }
        return tensors;
    }
    void writeTo(SafetensorsWriter &writer) { m_writer = &writer; }
    const std::map<std::string, std::vector<double>> &errors() const { return m_errors; }

    // Asked for in the order of `sites`. The group that is computed side by side is as large as threads and memory allow.
    Matrix base(const LinearSite &site, std::uint64_t freeMemory, const TaskContext &context)
    {
        if (m_made.empty())
            makeGroup(freeMemory, context);
        AdapterInit init = std::move(m_made.front());
        m_made.erase(m_made.begin());
        const double scaling = m_options.alpha / static_cast<double>(m_options.rank);
        m_writer->write(floatTensor(adapterTensor(site, "A"), DType::F32, init.loraA));
        m_writer->write(floatTensor(adapterTensor(site, "B"), DType::F32, Matrix(init.loraB / static_cast<float>(scaling))));
        if (!init.errors.empty())
            m_errors.emplace(site.name, init.errors);
        return std::move(init.base);
    }

private:
    void makeGroup(std::uint64_t freeMemory, const TaskContext &context)
    {
        std::size_t count = 0;
        std::uint64_t bytes = 0;
        const std::size_t most = context.pool ? context.pool->threads() : 1;
        while (m_next + count < m_sites.size() && count < most) {
            const LinearSite &site = *m_sites[m_next + count];
            const auto in = static_cast<std::uint64_t>(site.in), out = static_cast<std::uint64_t>(site.out);
            const ScalingKind kind = m_options.init == "qera" ? scalingFromString(m_options.scaling) : ScalingKind::Identity;
            bytes += sizeof(float) * in * out + adapterInitBytes(site.out, site.in, kind, std::min({m_options.rank, site.in, site.out}), most)
                     + (kind == ScalingKind::Exact ? sizeof(double) * in * in : 0);
            if (count > 0 && bytes > freeMemory)
                break;
            ++count;
        }
        m_made.assign(count, {});
        parallelFor(context, static_cast<std::ptrdiff_t>(count), 1, [&](std::ptrdiff_t begin, std::ptrdiff_t) {
            const auto i = static_cast<std::size_t>(begin);
            m_made[i] = make(*m_sites[m_next + i], context);
        });
        m_next += count;
    }

    AdapterInit make(const LinearSite &site, const TaskContext &context) const
    {
        Matrix weight = m_model.transformer().readWeight(site, context);
        const Index rank = std::min({m_options.rank, site.in, site.out});
        AdapterInit init;
        if (m_options.init == "loftq") {
            init = initLoftq(weight, *m_quantizer, rank, m_options.loftqIterations, context);
        } else if (m_options.init == "qera") {
            init = initQera(weight, *m_quantizer, rank, scalingOf(site, context), context);
        } else {
            init = m_options.init == "qlora" ? initQlora(weight, *m_quantizer) : AdapterInit{{}, {}, std::move(weight), {}};
            init.loraA = kaimingA(m_options.rank, site.in, m_options.seed, site.name);
            init.loraB = Matrix::Zero(site.out, m_options.rank);
        }
        padToRank(init, m_options.rank);
        return init;
    }

    Scaling scalingOf(const LinearSite &site, const TaskContext &context) const
    {
        const std::shared_ptr<const SiteStats> stats = m_project->siteStats(m_calibration, site.activationSite, context);
        if (!stats)
            throw Error(ErrorCode::NotFound, m_project->folder(), site.activationSite, "has no statistics");
        return {scalingFromString(m_options.scaling), stats, site.in};
    }

    const LoadedModel &m_model;
    Project *m_project;
    const std::string m_calibration;
    const AdaptOptions &m_options;
    const std::vector<const LinearSite *> m_sites;
    std::unique_ptr<Quantizer> m_quantizer;
    SafetensorsWriter *m_writer = nullptr;
    std::size_t m_next = 0;
    std::vector<AdapterInit> m_made;
    std::map<std::string, std::vector<double>> m_errors;
};

std::vector<const LinearSite *> targetSites(const Transformer &model, const std::vector<std::string> &targets)
{
    std::set<std::string> unused(targets.begin(), targets.end());
    const bool all = targets.empty() || (targets.size() == 1 && targets.front() == "all-linear");
    std::vector<const LinearSite *> sites;
    for (const LinearSite &site : model.linearSites()) {
        bool chosen = all;
        for (const std::string &target : targets)
            if (site.name == target || site.name.ends_with("." + target)) {
                unused.erase(target);
                chosen = true;
            }
        if (chosen)
            sites.push_back(&site);
    }
    if (!all && !unused.empty()) {
        std::set<std::string> known;
        for (const LinearSite &site : model.linearSites())
            known.insert(leafOf(site.name));
        throw Error(ErrorCode::Argument, fmt::format("no linear layer's name ends in '{}'; there are: {}", *unused.begin(), fmt::join(known, ", ")));
    }
    return sites;
}

// What the official code does otherwise, by mistake (numerics.md H 33 to 36), and what this program does where it would fail.
std::vector<std::string> warningsOf(const AdaptOptions &options, const std::vector<const LinearSite *> &sites)
{
    std::vector<std::string> official, warnings;
    const bool table = options.quantType != "mxint";
    if (options.init == "loftq" && table && options.quantBits == 4 && options.loftqIterations > 1)
        official.emplace_back("dequantizes with the first iteration's scales in all later ones");
    if (options.init == "loftq" && table && options.quantBits == 2)
        official.emplace_back("runs 2-bit mxint here whatever type is asked for");
    if (options.init == "loftq" && !(table && options.quantBits == 4))
        official.emplace_back("writes error_dict with 'base_model.model.' before every name");
    if (options.init == "qera" && table && options.quantBits == 4)
        official.emplace_back("states errors with A from before the scale is divided out");
    if (!official.empty())
        warnings.push_back(fmt::format("the official code {}; repaired here", fmt::join(official, ", and ")));
    const auto small = std::ranges::count_if(sites, [&](const LinearSite *site) { return std::min(site->in, site->out) < options.rank; });
    if (small > 0 && (options.init == "loftq" || options.init == "qera"))
        warnings.push_back(fmt::format("{} layers have fewer than {} singular values: their adapters end in components of zeros", small, options.rank));
    return warnings;
}

// The narrowest type that holds base weights and everything else as they are.
DType baseType(const Transformer &model, const AdaptOptions &options)
{
    DType type = floatType("checkpoint", model);
    for (const CheckpointEntry &entry : checkpointEntries(model))
        if (!entry.site && entry.isParameter) {
            const DType stored = model.checkpoint().find(entry.stored)->dtype;
            type = commonType(type, stored == DType::F64 ? DType::F32 : stored);
        }
    if (const auto format = adaptFormat(options))
        type = commonType(type, exactType(*format, DType::F32));
    return type;
}

// base + scaling * lora_B lora_A in place of every adapted layer.
class AdaptedForward final : public ForwardHooks {
public:
    AdaptedForward(const std::string &folder, double scaling) : m_adapter(folder + "/adapter/" + adapterWeightsName), m_scaling(static_cast<float>(scaling)) {}
    std::unique_ptr<LinearOperator> makeLinear(const LinearSite &site, const Matrix &weight, const Vector &bias) override
    {
        const TensorInfo *a = m_adapter.find(adapterTensor(site, "A")), *b = m_adapter.find(adapterTensor(site, "B"));
        if (!a || !b)
            return nullptr;
        LowRankCorrection correction{m_adapter.read(*a).toMatrix().transpose(), m_adapter.read(*b).toMatrix().transpose() * m_scaling, {}, {}};
        return std::make_unique<CorrectedLinear>(weight, bias, std::move(correction), LinearFormats{});
    }

private:
    SafetensorsFile m_adapter;
    float m_scaling;
};

void writeFolder(ExportFolder &folder, const Engine &engine, const LoadedModel &model, const AdaptOptions &options, const std::vector<const LinearSite *> &sites,
                 LayerMaker &maker, const TaskContext &context)
{
    const Transformer &transformer = model.transformer();
    const DType dtype = baseType(transformer, options);
    const std::set<const LinearSite *> adapted(sites.begin(), sites.end());
    const std::uint64_t memory = engine.memoryLimit() / 2;
    std::vector<TensorGroup> groups;
    for (const CheckpointEntry &entry : checkpointEntries(transformer)) {
        if (!entry.site) {
            groups.push_back(originalTensor(transformer.checkpoint(), entry, dtype));
            continue;
        }
        const LinearSite &site = *entry.site;
        TensorGroup group;
        group.tensors.push_back({.name = weightName(site), .dtype = dtype, .shape = site.storedTransposed ? Shape{site.in, site.out} : Shape{site.out, site.in}});
        if (site.hasBias)
            group.tensors.push_back({.name = biasName(site), .dtype = dtype, .shape = {site.out}});
        group.make = [&, dtype, memory, isAdapted = adapted.contains(&site)](const TaskContext &) {
            Matrix weight = isAdapted ? maker.base(site, memory, context.silent()) : transformer.readWeight(site);
            if (site.storedTransposed)
                weight = Matrix(weight.transpose());
            std::vector<Tensor> made;
            made.push_back(floatTensor(weightName(site), dtype, weight, true));
            if (site.hasBias) {
                const Vector bias = transformer.readBias(site);
                made.push_back(floatTensor(biasName(site), dtype, {site.out}, {bias.data(), static_cast<std::size_t>(bias.size())}, true));
            }
            return made;
        };
        groups.push_back(std::move(group));
    }
    SafetensorsWriter adapter(folder.at(std::string("adapter/") + adapterWeightsName), maker.adapterTensors(), {{"format", "pt"}});
    maker.writeTo(adapter);
    writeModelFiles(transformer.checkpoint(), folder, "base_model/", dtype);
    writeCheckpoint(folder, "base_model/", groups, largestShard, context);
    folder.commit(adapter.finished());
    folder.writeJson(std::string("adapter/") + adapterConfigName,
                     adapterConfig({.base = "../base_model", .rank = options.rank, .alpha = options.alpha, .dropout = options.dropout,
                                    .transposed = std::ranges::any_of(sites, &LinearSite::storedTransposed),
                                    .targets = adapterTargets(transformer.linearSites(), [&](const LinearSite &site) { return adapted.contains(&site); })}));
}

Json resultsJson(const AdaptResult &result)
{
    Json errors = Json::object();
    for (const auto &[layer, values] : result.errors) {
        Json list = Json::array();
        for (const double error : values)
            list.append(error);
        errors.set(layer, std::move(list));
    }
    Json json = Json::object();
    json.set("error_dict", result.errors.empty() ? Json() : std::move(errors)).set("initialization_time", result.seconds);
    if (!result.postInit)
        return json.set("post_init_ppl", Json());
    const PerplexityReport &measured = *result.postInit;
    const std::int64_t samples = measured.batch > 0 ? (measured.windows + measured.batch - 1) / measured.batch * measured.batch : measured.windows;
    return json.set("post_init_ppl", Json::object().set("batch_size", measured.batch).set("loss", measured.meanNll).set("num_samples", samples)
                                         .set("perplexity", measured.perplexity).set("seq_len", measured.windowOptions.length));
}

}  // namespace

void checkAdaptOptions(const AdaptOptions &options)
{
    const auto oneOf = [](const char *name, const std::string &value, std::initializer_list<const char *> known) {
        if (std::ranges::find(known, value) == known.end())
            throw Error(ErrorCode::Argument, fmt::format("{} '{}' is not one of {}", name, value, fmt::join(known, ", ")));
    };
    oneOf("initialisation", options.init, {"loftq", "qera", "qlora", "lora"});
    oneOf("scaling", options.scaling, {"diag", "rxx"});
    oneOf("quantization type", options.quantType, {"nf", "fp", "mxint"});
    if (options.quantBits < 2 || options.quantBits > 4 || (options.quantBits == 3 && options.quantType != "mxint"))
        throw Error(ErrorCode::Argument, fmt::format("{} bits: nf and fp have 2 or 4, mxint has 2, 3 or 4", options.quantBits));
    if (options.rank < 1)
        throw Error(ErrorCode::Argument, fmt::format("adapter rank {} is below 1", options.rank));
    if (!(options.alpha > 0) || !std::isfinite(options.alpha))
        throw Error(ErrorCode::Argument, fmt::format("alpha {} is not above 0", options.alpha));
    if (!(options.dropout >= 0 && options.dropout < 1))
        throw Error(ErrorCode::Argument, fmt::format("dropout {} is not in 0 ... 1", options.dropout));
    if (options.loftqIterations < 1)
        throw Error(ErrorCode::Argument, fmt::format("LoftQ needs at least one iteration, not {}", options.loftqIterations));
    if (const auto format = adaptFormat(options))
        makeQuantizer(*format);
}

std::optional<FormatSpec> adaptFormat(const AdaptOptions &options)
{
    if (options.init == "lora")
        return {};
    if (options.quantType == "mxint")
        return FormatSpec{"mxint", {{"width", std::int64_t(options.quantBits)}, {"block_size", std::int64_t(options.mxintBlockSize)}}};
    if (options.quantBits == 4)
        return FormatSpec::parse(options.quantType == "nf" ? "nf4-dq" : "fp4-dq");
    return FormatSpec{"normalfloat",
                      {{"num_bits", std::int64_t(2)}, {"block_size", std::int64_t(64)}, {"kernel", std::string("argmin")},
                       {"table", std::string(options.quantType == "nf" ? "normal" : "uniform")}}};
}

bool adaptNeedsStatistics(const AdaptOptions &options)
{
    return options.init == "qera";
}

Matrix kaimingA(Index rank, Index in, std::uint64_t seed, const std::string &layer)
{
    Hasher hasher;
    hasher.add(fmt::format("{} {}", seed, layer));
    std::mt19937_64 random(std::stoull(hasher.hex().substr(0, 16), nullptr, 16));
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    return Matrix::NullaryExpr(rank, in, [&] { return static_cast<float>(bound * (std::ldexp(static_cast<double>(random() >> 40), -23) - 1)); });
}

AdaptResult adaptModel(const Engine &engine, const LoadedModel &model, Project *project, const TokenWindows *windows, const AdaptOptions &options,
                       const Json &arguments, const std::string &folder, const TaskContext &context)
{
    checkAdaptOptions(options);
    const auto begin = std::chrono::steady_clock::now();
    std::error_code ignored;
    const bool replaced = options.overwrite && (fs::exists(fs::path(folder) / argumentsName, ignored) || fs::is_empty(folder, ignored));
    AtomicFolder place(folder, replaced ? AtomicFolder::Existing::Replace : AtomicFolder::Existing::Refuse);
    const std::vector<const LinearSite *> sites = targetSites(model.transformer(), options.targets);
    std::string calibration;
    if (adaptNeedsStatistics(options)) {
        if (!project || !windows)
            throw Error(ErrorCode::Argument, "the qera initialisation needs calibration data");
        calibration = engine.calibrate(model, *project, *windows, {.batch = options.calibrationBatch, .autocorrelation = options.scaling == "rxx"}, context)
                          ->stats->key();
    }
    AdaptResult result;
    result.warnings = warningsOf(options, sites);
    LayerMaker maker(model, project, calibration, options, sites);
    ExportFolder written(place.folder());
    writeFolder(written, engine, model, options, sites, maker, context);
    result.errors = maker.errors();
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    verifyCheckpoint(place.folder() + "/base_model");
    if (options.peek && windows && options.init != "lora") {
        const Transformer base(std::make_shared<const Checkpoint>(place.folder() + "/base_model"));
        AdaptedForward hooks(place.folder(), options.alpha / static_cast<double>(options.rank));
        PerplexityOptions measuring;
        measuring.weighting = LossWeighting::Batch;
        measuring.batch = options.calibrationBatch;
        result.postInit = evaluatePerplexity(base, *windows, hooks, measuring, context);
    }
    if (options.init != "lora")
        written.writeText(resultsName, toYaml(resultsJson(result)));
    written.writeText(argumentsName, toYaml(arguments));
    place.commit();
    return result;
}

}  // namespace lqer
