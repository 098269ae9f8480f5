// SPDX-License-Identifier: Apache-2.0
#include "core/model/model_weights.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/large_pages.h"

namespace lqer {

namespace {

std::string inTensor(const std::string &name) { return fmt::format("tensor '{}'", name); }

constexpr std::int64_t pieceElements = 1 << 17;  // that are read at a time: stored and as float they stay in the cache

bool isReadable(DType dtype)
{
    return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16 || dtype == DType::F64;
}

}  // namespace

ModelWeights::ModelWeights(std::shared_ptr<const Checkpoint> checkpoint, const ModelConfig &config, ModelLayout layout)
    : m_checkpoint(std::move(checkpoint)), m_layout(std::move(layout))
{
    m_fit = fmt::format("hidden size {}, intermediate size {}, {} heads of {}, {} key/value heads, vocabulary {}, {} positions",
                        config.hidden, config.intermediate, config.heads, config.headDim, config.kvHeads, config.vocabulary,
                        config.maxPositions);
    bindTrunk();
    bindHead(config);
    checkBlockCount();
    if (!m_layout.positionEmbedding.empty())
        bind(m_layout.positionEmbedding, {config.maxPositions + config.positionOffset, config.hidden});
    if (m_layout.projectIn)
        bind(*m_layout.projectIn);
    for (BlockTensors &block : m_layout.blocks) {
        bind(block.attentionNorm, config);
        bind(block.mlpNorm, config);
        for (LinearSite &site : block.linears)
            bind(site);
    }
    bind(m_layout.finalNorm, config);
    if (m_layout.projectOut)
        bind(*m_layout.projectOut);
}

// Some checkpoints were saved from the bare trunk ("h.0..." instead of "transformer.h.0...").
void ModelWeights::bindTrunk()
{
    const std::vector<std::string> names = m_checkpoint->names();
    const std::string tail = m_layout.blockPrefix.substr(m_layout.trunk.size());
    for (const std::string &trunk : m_layout.storedTrunks) {
        const std::string prefix = trunk + tail;
        if (std::any_of(names.begin(), names.end(), [&](const std::string &name) { return name.starts_with(prefix); })) {
            m_storedTrunk = trunk;
            return;
        }
    }
    throw Error(ErrorCode::NotFound, m_checkpoint->folder(), "",
                fmt::format("config.json does not belong to these weights: there is no tensor {}*", m_layout.blockPrefix));
}

// The stored tensor that carries `name`, or "".
std::string ModelWeights::storedName(const std::string &name) const
{
    const std::string stored = name.starts_with(m_layout.trunk) ? m_storedTrunk + name.substr(m_layout.trunk.size()) : name;
    return m_checkpoint->find(stored) ? stored : m_checkpoint->aliasOf(stored);
}

// The output head is the token embedding where they are tied; then either name may be the stored one.
void ModelWeights::bindHead(const ModelConfig &config)
{
    const Shape shape = {config.vocabulary, config.embeddingDim};
    const std::string embedding = storedName(m_layout.tokenEmbedding);
    const std::string head = storedName(m_layout.head);
    if (config.tiedEmbeddings && embedding.empty() && !head.empty())
        m_layout.tokenEmbedding = m_layout.head;
    if (!config.tiedEmbeddings && head.empty() && !embedding.empty())
        throw Error(ErrorCode::NotFound, m_checkpoint->folder(), inTensor(m_layout.head),
                    "is missing, and config.json says tie_word_embeddings false");
    if (const TensorInfo *info = m_checkpoint->find(embedding); info && info->shape != shape)
        throw Error(ErrorCode::Shape, m_checkpoint->fileOf(embedding), inTensor(embedding),
                    fmt::format("config.json does not belong to these weights: shape {} instead of {} ({})",
                                toString(info->shape), toString(shape), m_fit));
    bind(m_layout.tokenEmbedding, shape);
    if (config.tiedEmbeddings) {
        if (!head.empty() && head != m_layout.tokenEmbedding) {
            const Tensor one = m_checkpoint->read(m_layout.tokenEmbedding);
            const Tensor other = m_checkpoint->read(head);
            if (one.dtype() != other.dtype() || !std::ranges::equal(one.bytes(), other.bytes()))
                m_warnings.push_back(
                    fmt::format("config.json ties the embeddings, but {} differs from {}: the latter is used for both", head,
                                m_layout.tokenEmbedding));
        }
        m_layout.head = m_layout.tokenEmbedding;
    } else if (head == m_layout.tokenEmbedding) {
        m_layout.head = head;  // the file itself says they are one
    } else {
        bind(m_layout.head, shape);
    }
}

// Both ways round: config.json may name more blocks than there are, or fewer.
void ModelWeights::checkBlockCount() const
{
    const std::string prefix = m_storedTrunk + m_layout.blockPrefix.substr(m_layout.trunk.size());
    std::set<std::int64_t> found;
    for (const std::string &name : m_checkpoint->names()) {
        if (!name.starts_with(prefix))
            continue;
        std::int64_t number = -1;
        const char *begin = name.data() + prefix.size();
        const auto [end, status] = std::from_chars(begin, name.data() + name.size(), number);
        if (status == std::errc() && end != name.data() + name.size() && *end == '.' && number >= 0)
            found.insert(number);
    }
    const auto layers = static_cast<std::int64_t>(m_layout.blocks.size());
    for (std::int64_t layer = 0; layer < layers; ++layer)
        if (!found.contains(layer))
            throw Error(ErrorCode::NotFound, m_checkpoint->folder(), "",
                        fmt::format("layer {} has no weights: {}{}.* (config.json says {} layers, the weights hold {})", layer,
                                    prefix, layer, layers, found.size()));
    if (static_cast<std::int64_t>(found.size()) > layers)
        throw Error(ErrorCode::Shape, m_checkpoint->configPath(), "",
                    fmt::format("config.json says {} layers, but the weights hold {}", layers, found.size()));
}

void ModelWeights::bind(std::string &name, const Shape &expected)
{
    const std::string stored = storedName(name);
    if (stored.empty())
        throw Error(ErrorCode::NotFound, m_checkpoint->folder(), inTensor(name), "is missing");
    const TensorInfo *info = m_checkpoint->find(stored);
    LQER_ASSERT(info);
    if (info->shape != expected)
        throw Error(ErrorCode::Shape, m_checkpoint->fileOf(stored), inTensor(stored),
                    fmt::format("shape {} does not fit config.json, which asks for {} ({})", toString(info->shape),
                                toString(expected), m_fit));
    if (!isReadable(info->dtype))
        throw Error(ErrorCode::Unsupported, m_checkpoint->fileOf(stored), inTensor(stored),
                    fmt::format("element type {} is not supported for weights (supported: F32, F16, BF16, F64)",
                                toString(info->dtype)));
    name = stored;
    m_parameters += elementCount(expected);
}

void ModelWeights::bind(LinearSite &site)
{
    bind(site.weightTensor, site.storedTransposed ? Shape{site.in, site.out} : Shape{site.out, site.in});
    if (site.hasBias)
        bind(site.biasTensor, {site.out});
}

void ModelWeights::bind(NormLayout &norm, const ModelConfig &config)
{
    for (std::string *name : {&norm.weight, &norm.bias})
        if (!name->empty())
            bind(*name, {config.hidden});
}

void ModelWeights::failNonFinite(const std::string &name, const Shape &shape, std::size_t index, float value,
                                 std::size_t count) const
{
    std::vector<std::int64_t> place(shape.size());
    auto rest = static_cast<std::int64_t>(index);
    for (std::size_t axis = shape.size(); axis-- > 0; rest /= shape[axis])
        place[axis] = rest % shape[axis];
    throw Error(ErrorCode::Numeric, m_checkpoint->fileOf(name), inTensor(name),
                fmt::format("{} at index [{}]{}", std::isnan(value) ? "NaN" : "infinity", fmt::join(place, ", "),
                            count > 1 ? fmt::format(", the first of {} values that are not finite", count) : ""));
}

// All of a tensor, as float.
void ModelWeights::readValues(const std::string &name, std::span<float> values, const TaskContext &context) const
{
    struct NonFinite {
        std::size_t count = 0, first = 0;
    };
    const TensorInfo &info = *m_checkpoint->find(name);
    const auto elements = static_cast<Index>(values.size());
    std::vector<NonFinite> found(static_cast<std::size_t>((elements + pieceElements - 1) / pieceElements));
    parallelFor(context, elements, pieceElements, [&](Index begin, Index end) {
        Tensor piece(info.dtype, {end - begin});
        m_checkpoint->readPart(name, static_cast<std::uint64_t>(begin) * itemSize(info.dtype), piece.bytes());
        const std::span<float> part = values.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
        piece.copyTo(part);
        NonFinite &here = found[static_cast<std::size_t>(begin / pieceElements)];
        here.count = countNonFinite(part, &here.first);
        here.first += static_cast<std::size_t>(begin);
    });
    const auto first = std::find_if(found.begin(), found.end(), [](const NonFinite &piece) { return piece.count > 0; });
    if (first != found.end())
        failNonFinite(name, info.shape, first->first, values[first->first],
                      std::accumulate(first, found.end(), std::size_t(0), [](std::size_t sum, const NonFinite &piece) { return sum + piece.count; }));
}

Matrix ModelWeights::matrix(const std::string &name, const TaskContext &context) const
{
    const Shape &shape = m_checkpoint->find(name)->shape;
    LQER_ASSERT(shape.size() == 2);
    Matrix values = onLargePages(Matrix(shape[0], shape[1]));
    readValues(name, {values.data(), static_cast<std::size_t>(values.size())}, context);
    return values;
}

Vector ModelWeights::vector(const std::string &name) const
{
    if (name.empty())
        return {};
    Vector values(elementCount(m_checkpoint->find(name)->shape));
    readValues(name, {values.data(), static_cast<std::size_t>(values.size())}, {});
    return values;
}

std::vector<std::string> ModelWeights::wholeTensors() const
{
    std::vector<std::string> names;
    const auto add = [&](const std::string &name) {
        if (!name.empty())
            names.push_back(name);
    };
    const auto addLinear = [&](const LinearSite &site) {
        add(site.weightTensor);
        add(site.hasBias ? site.biasTensor : "");
    };
    const auto addNorm = [&](const NormLayout &norm) {
        add(norm.weight);
        add(norm.bias);
    };
    if (m_layout.projectIn)
        addLinear(*m_layout.projectIn);
    for (const BlockTensors &block : m_layout.blocks) {
        addNorm(block.attentionNorm);
        addNorm(block.mlpNorm);
        for (const LinearSite &site : block.linears)
            addLinear(site);
    }
    addNorm(m_layout.finalNorm);
    if (m_layout.projectOut)
        addLinear(*m_layout.projectOut);
    add(m_layout.head);
    return names;
}

void ModelWeights::checkValues(const TaskContext &context) const
{
    const std::vector<std::string> names = wholeTensors();
    context.beginStage("checking weights", names.size());
    parallelFor(context, static_cast<Index>(names.size()), 1, [&](Index i, Index) {
        const std::string &name = names[static_cast<std::size_t>(i)];
        const TensorInfo &info = *m_checkpoint->find(name);
        const std::int64_t elements = elementCount(info.shape);
        std::vector<float> values;
        for (std::int64_t begin = 0; begin < elements; begin += pieceElements) {
            context.checkStop();
            Tensor piece(info.dtype, {std::min(pieceElements, elements - begin)});
            m_checkpoint->readPart(name, static_cast<std::uint64_t>(begin) * itemSize(info.dtype), piece.bytes());
            values.resize(static_cast<std::size_t>(piece.elements()));
            piece.copyTo(std::span(values));
            if (countNonFinite(values) > 0)
                vector(name);  // says where, and how many
        }
        context.advance();
    });
}

Matrix ModelWeights::weight(const LinearSite &site, const TaskContext &context) const
{
    Matrix stored = matrix(site.weightTensor, context);
    if (!site.storedTransposed)
        return stored;
    return stored.transpose();
}

Vector ModelWeights::bias(const LinearSite &site) const { return vector(site.biasTensor); }

Tensor ModelWeights::table(const std::string &name, const TaskContext &context) const
{
    const TensorInfo &info = *m_checkpoint->find(name);
    Tensor table(info.dtype, info.shape);
    parallelFor(context, table.elements(), pieceElements, [&](Index begin, Index end) {
        const std::size_t offset = static_cast<std::size_t>(begin) * itemSize(info.dtype);
        m_checkpoint->readPart(name, offset, table.bytes().subspan(offset, static_cast<std::size_t>(end - begin) * itemSize(info.dtype)));
    });
    return table;
}

Matrix ModelWeights::tableRows(const std::string &name, const Tensor &table, const std::vector<std::int64_t> &rows) const
{
    const std::int64_t width = table.shape()[1];
    const std::size_t rowBytes = static_cast<std::size_t>(width) * itemSize(table.dtype());
    Tensor gathered(table.dtype(), {static_cast<std::int64_t>(rows.size()), width});
    for (std::size_t i = 0; i < rows.size(); ++i) {
        LQER_ASSERT(rows[i] >= 0 && rows[i] < table.shape()[0]);
        const auto row = static_cast<std::size_t>(rows[i]);
        std::memcpy(gathered.bytes().data() + i * rowBytes, table.bytes().data() + row * rowBytes, rowBytes);
    }
    Matrix values(static_cast<Index>(rows.size()), width);
    const std::span<float> flat(values.data(), static_cast<std::size_t>(values.size()));
    gathered.copyTo(flat);
    std::size_t first = 0;
    if (const std::size_t count = countNonFinite(flat, &first)) {
        const auto row = static_cast<std::size_t>(rows[first / static_cast<std::size_t>(width)]);
        const std::size_t place = row * static_cast<std::size_t>(width) + first % static_cast<std::size_t>(width);
        failNonFinite(name, table.shape(), place, flat[first], count);
    }
    return values;
}

}  // namespace lqer
