// SPDX-License-Identifier: Apache-2.0
#include "core/export/checkpoint_files.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/model/architectures/architecture.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr const char *shardSizeName = "shard_size";
constexpr std::uint64_t megabyte = 1'000'000;
constexpr std::size_t pieceElements = 1 << 16;  // of a tensor that are converted at a time
constexpr std::uint64_t headerPerTensor = 512;  // JSON of a tensor in the header and its line in the index: less than this
constexpr std::uint64_t configBytes = 1 << 20;  // config.json as it is written again, indented

// Everything of a checkpoint that is not weights or config.json and that engines read.
constexpr const char *copiedFiles[] = {
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
};

std::uint64_t storedBytes(const TensorInfo &info)
{
    return static_cast<std::uint64_t>(elementCount(info.shape)) * itemSize(info.dtype);
}

// Elements [first, first + values.size()) of a tensor, piece by piece, so that nothing of the tensor's size is needed beside it.
void fillFloats(const std::string &name, Tensor &tensor, std::size_t first, std::span<const float> values, bool exact)
{
    const DType dtype = tensor.dtype();
    const auto refuse = [&](std::size_t index, float value, const char *why, const char *advice) {
        throw Error(ErrorCode::Numeric, "", fmt::format("tensor '{}'", name), fmt::format("value {} at index {} {} {}{}", value, index, why, toString(dtype), advice));
    };
    std::vector<float> held(std::min(values.size(), pieceElements));
    for (std::size_t done = 0; done < values.size(); done += pieceElements) {
        const std::span<const float> piece = values.subspan(done, std::min(pieceElements, values.size() - done));
        const Tensor rounded = Tensor::fromValues(dtype, {static_cast<std::int64_t>(piece.size())}, piece);
        const std::span<float> back(held.data(), piece.size());
        rounded.copyTo(back);
        std::size_t bad = 0;
        if (countNonFinite(back, &bad) > 0)
            refuse(first + done + bad, piece[bad], "does not fit", "");
        if (exact)
            for (std::size_t i = 0; i < piece.size(); ++i)
                if (back[i] != piece[i])
                    refuse(first + done + i, piece[i], "is not exact in", ": choose f32 as element type");
        std::memcpy(tensor.bytes().data() + (first + done) * itemSize(dtype), rounded.bytes().data(), rounded.bytes().size());
    }
}

// A stored tensor in another float type.
Tensor converted(const std::string &name, const Tensor &stored, DType dtype)
{
    Tensor tensor(dtype, stored.shape());
    const auto count = static_cast<std::size_t>(stored.elements());
    std::vector<float> values;
    for (std::size_t first = 0; first < count; first += pieceElements) {
        const std::size_t piece = std::min(pieceElements, count - first);
        Tensor part(stored.dtype(), {static_cast<std::int64_t>(piece)});
        std::memcpy(part.bytes().data(), stored.bytes().data() + first * itemSize(stored.dtype()), part.bytes().size());
        values.resize(piece);
        part.copyTo(std::span(values));
        fillFloats(name, tensor, first, values, false);
    }
    return tensor;
}

std::uint64_t groupBytes(const TensorGroup &group)
{
    std::uint64_t bytes = 0;
    for (const TensorInfo &info : group.tensors)
        bytes += storedBytes(info);
    return bytes;
}

class EntryList {
public:
    explicit EntryList(const Transformer &model)
        : m_model(model), m_stored(model.layout()), m_named(findArchitecture(model.config().family)->layout(model.config()))
    {
    }

    std::vector<CheckpointEntry> make()
    {
        add(m_stored.tokenEmbedding, m_named.tokenEmbedding);
        add(m_stored.positionEmbedding, m_named.positionEmbedding);
        add(m_stored.projectIn);
        for (std::size_t i = 0; i < m_stored.blocks.size(); ++i) {
            add(m_stored.blocks[i].attentionNorm, m_named.blocks[i].attentionNorm);
            add(m_stored.blocks[i].mlpNorm, m_named.blocks[i].mlpNorm);
            for (const LinearSite &site : m_stored.blocks[i].linears)
                add(site);
        }
        add(m_stored.finalNorm, m_named.finalNorm);
        add(m_stored.projectOut);
        // Where the embeddings are tied, the head is not stored a second time. An untied head that shares its bytes by an alias of the
        // file is: other programs do not know the alias.
        if (!m_model.config().tiedEmbeddings)
            add(m_stored.head, m_named.head);
        addRest();
        return std::move(m_entries);
    }

private:
    void add(const std::string &stored, const std::string &name)
    {
        if (stored.empty())
            return;
        m_taken.insert(stored);
        m_entries.push_back({.stored = stored, .name = name});
    }
    void add(const NormLayout &stored, const NormLayout &named)
    {
        add(stored.weight, named.weight);
        add(stored.bias, named.bias);
    }
    void add(const LinearSite &site)
    {
        m_taken.insert(site.weightTensor);
        m_taken.insert(site.biasTensor);
        m_entries.push_back({.site = m_model.findLinear(site.name), .name = site.name});
    }
    void add(const std::optional<LinearSite> &site)
    {
        if (site)
            add(*site);
    }
    void addRest()
    {
        const std::string trunk = storedTrunk();
        for (const std::string &stored : m_model.checkpoint().names()) {
            if (m_taken.contains(stored) || stored == m_named.head)
                continue;
            const bool inTrunk = stored.starts_with(trunk) && !stored.starts_with(m_named.trunk);
            m_entries.push_back({.stored = stored, .name = inTrunk ? m_named.trunk + stored.substr(trunk.size()) : stored, .isParameter = false});
        }
    }
    // What the checkpoint writes for the trunk: every name of a block tells.
    std::string storedTrunk() const
    {
        const std::string &stored = m_stored.blocks.front().linears.front().weightTensor;
        const std::string tail = m_named.blocks.front().linears.front().weightTensor.substr(m_named.trunk.size());
        LQER_ASSERT(stored.ends_with(tail));
        return stored.substr(0, stored.size() - tail.size());
    }

    const Transformer &m_model;
    const ModelLayout &m_stored;
    const ModelLayout m_named;
    std::set<std::string> m_taken;
    std::vector<CheckpointEntry> m_entries;
};

// Groups by file: as many as fit, in order.
std::vector<std::vector<const TensorGroup *>> shards(const std::vector<TensorGroup> &groups, std::uint64_t limit)
{
    std::vector<std::vector<const TensorGroup *>> shards(1);
    std::uint64_t filled = 0;
    for (const TensorGroup &group : groups) {
        const std::uint64_t bytes = groupBytes(group);
        if (!shards.back().empty() && filled + bytes > limit) {
            shards.emplace_back();
            filled = 0;
        }
        shards.back().push_back(&group);
        filled += bytes;
    }
    return shards;
}

void writeShard(ExportFolder &folder, const std::string &name, const std::vector<const TensorGroup *> &groups, const TaskContext &context)
{
    std::vector<TensorInfo> tensors;
    for (const TensorGroup *group : groups)
        tensors.insert(tensors.end(), group->tensors.begin(), group->tensors.end());
    SafetensorsWriter writer(folder.at(name), std::move(tensors), {{"format", "pt"}});
    for (const TensorGroup *group : groups) {
        context.checkStop();
        context.setDetail(group->tensors.front().name);
        for (const Tensor &tensor : group->make(context.silent()))
            writer.write(tensor);
        context.advance();
    }
    folder.commit(writer.finished());
}

}  // namespace

std::vector<CheckpointEntry> checkpointEntries(const Transformer &model)
{
    return EntryList(model).make();
}

std::string weightName(const LinearSite &site)
{
    return site.name + ".weight";
}

std::string biasName(const LinearSite &site)
{
    return site.name + ".bias";
}

DType floatType(const std::string &choice, const Transformer &model)
{
    if (choice == "bf16")
        return DType::BF16;
    if (choice == "f16")
        return DType::F16;
    if (choice == "f32")
        return DType::F32;
    LQER_ASSERT(choice == "checkpoint");
    const DType stored = model.checkpoint().find(model.linearSites().front().weightTensor)->dtype;
    return stored == DType::F64 ? DType::F32 : stored;
}

std::string torchName(DType dtype)
{
    LQER_ASSERT(dtype == DType::BF16 || dtype == DType::F16 || dtype == DType::F32);
    return dtype == DType::BF16 ? "bfloat16" : dtype == DType::F16 ? "float16" : "float32";
}

Tensor floatTensor(const std::string &name, DType dtype, Shape shape, std::span<const float> values, bool exact)
{
    Tensor tensor(dtype, std::move(shape));
    LQER_ASSERT(tensor.elements() == static_cast<std::int64_t>(values.size()));
    fillFloats(name, tensor, 0, values, exact);
    return tensor;
}

Tensor floatTensor(const std::string &name, DType dtype, const Matrix &values, bool exact)
{
    return floatTensor(name, dtype, {values.rows(), values.cols()}, {values.data(), static_cast<std::size_t>(values.size())}, exact);
}

TensorGroup originalTensor(const Checkpoint &checkpoint, const CheckpointEntry &entry, DType dtype)
{
    const TensorInfo &info = *checkpoint.find(entry.stored);
    const DType kept = entry.isParameter ? dtype : info.dtype;
    return {{{.name = entry.name, .dtype = kept, .shape = info.shape}},
            [&checkpoint, stored = entry.stored, name = entry.name, kept](const TaskContext &) {
                std::vector<Tensor> made;
                made.push_back(checkpoint.read(stored));
                if (made.front().dtype() != kept)
                    made.front() = converted(name, made.front(), kept);
                return made;
            }};
}

std::uint64_t checkpointBytes(const std::vector<TensorGroup> &groups)
{
    std::uint64_t bytes = 0;
    for (const TensorGroup &group : groups)
        bytes += groupBytes(group) + headerPerTensor * group.tensors.size();
    return bytes;
}

void writeCheckpoint(ExportFolder &folder, const std::string &prefix, const std::vector<TensorGroup> &groups, std::uint64_t shardBytes,
                     const TaskContext &context)
{
    context.beginStage("writing the weights", groups.size());
    const auto files = shards(groups, shardBytes);
    if (files.size() == 1) {
        writeShard(folder, prefix + "model.safetensors", files.front(), context);
        return;
    }
    Json::Object places;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < files.size(); ++i) {
        const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, files.size());
        writeShard(folder, prefix + name, files[i], context);
        for (const TensorGroup *group : files[i]) {
            for (const TensorInfo &info : group->tensors)
                places.emplace_back(info.name, name);
            total += groupBytes(*group);
        }
    }
    folder.writeJson(prefix + "model.safetensors.index.json",
                     Json::object().set("metadata", Json::object().set("total_size", total)).set("weight_map", Json(std::move(places))));
}

void writeModelFiles(const Checkpoint &checkpoint, ExportFolder &folder, const std::string &prefix, DType dtype,
                     const std::vector<std::pair<std::string, Json>> &changes)
{
    Json config = checkpoint.config();
    config.set(config.find("dtype") ? "dtype" : "torch_dtype", torchName(dtype));
    for (const auto &[key, value] : changes)
        config.set(key, value);
    folder.writeJson(prefix + "config.json", config);
    std::error_code ignored;
    for (const char *name : copiedFiles) {
        const fs::path from = fs::path(checkpoint.folder()) / name;
        if (fs::exists(from, ignored))
            folder.copy(from.string(), prefix + name);
    }
}

std::uint64_t modelFilesBytes(const ExportSource &source)
{
    std::uint64_t bytes = configBytes;
    std::error_code error;
    for (const char *name : copiedFiles)
        if (const auto size = fs::file_size(fs::path(source.checkpoint().folder()) / name, error); !error)
            bytes += size;
    return bytes;
}

void verifyCheckpoint(const std::string &folder)
{
    const Transformer opened(std::make_shared<const Checkpoint>(folder));
}

void verifyTensors(const std::string &folder, const std::vector<TensorGroup> &groups)
{
    const Checkpoint opened(folder);
    std::size_t expected = 0;
    for (const TensorGroup &group : groups) {
        for (const TensorInfo &info : group.tensors) {
            const TensorInfo *found = opened.find(info.name);
            if (!found || found->dtype != info.dtype || found->shape != info.shape)
                throw Error(ErrorCode::Format, folder, fmt::format("tensor '{}'", info.name), "does not read back as it was written");
            ++expected;
        }
    }
    if (opened.names().size() != expected)
        throw Error(ErrorCode::Format, folder, "", fmt::format("holds {} tensors, {} were written", opened.names().size(), expected));
}

ExportOption shardSizeOption()
{
    return integerParameter(shardSizeName, 5000, 1, 1e6, "Largest size of a file of weights, in MB; above it the checkpoint is cut into shards.");
}

std::uint64_t shardBytes(const ExportOptions &options)
{
    return static_cast<std::uint64_t>(optionInteger(options, shardSizeName)) * megabyte;
}

}  // namespace lqer
