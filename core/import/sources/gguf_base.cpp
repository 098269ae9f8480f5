// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/export/gguf_model.h"
#include "core/import/sources/list.h"
#include "core/io/gguf.h"
#include "core/quant/ggml_blocks.h"

namespace lqer {

namespace {

bool isFloating(GgmlType type)
{
    return type == GgmlType::F32 || type == GgmlType::F16 || type == GgmlType::BF16 || type == GgmlType::F64;
}

// A GGUF model: weights as (out, in) in blocks along the inputs, rows of q and k reordered for llama.cpp's rotation.
class GgufBase final : public QuantizedBase {
public:
    GgufBase(const std::string &path, const Transformer &model) : m_file(path), m_path(path)
    {
        const std::string wanted = ggufArchitecture(model.config());
        if (const std::string &found = m_file.text("general.architecture"); found != wanted)
            throw Error(ErrorCode::Conflict, path, "key 'general.architecture'",
                        fmt::format("is '{}', the model's is '{}': this is no quantization of the given model", escaped(found), wanted));
        std::map<GgmlType, std::size_t> types;
        for (const GgufEntry &entry : ggufEntries(model)) {
            if (entry.kind != GgufEntry::Kind::Weight)
                continue;
            const GgufTensor *tensor = m_file.findTensor(entry.name);
            const std::string named = fmt::format("tensor '{}'", entry.name);
            if (!tensor)
                throw Error(ErrorCode::NotFound, path, named, "is missing: this is no quantization of the given model");
            if (const Shape shape{entry.site->out, entry.site->in}; tensor->shape != shape)
                throw Error(ErrorCode::Shape, path, named,
                            fmt::format("has shape {}, '{}' needs {}", toString(tensor->shape), entry.site->name, toString(shape)));
            if (!canDecodeGgml(tensor->type) && !isFloating(tensor->type))
                throw Error(ErrorCode::Unsupported, path, named, fmt::format("is stored as {}, which is not read", toString(tensor->type)));
            m_layers.emplace(entry.site->name, Layer{tensor, entry.pairedHeads});
            ++types[tensor->type];
        }
        for (const auto &[type, count] : types)
            m_description += fmt::format("{}{} {}", m_description.empty() ? "GGUF, " : " + ", count, toString(type));
        m_fingerprint = fileFingerprint(m_file.file(), m_file.tensors().empty() ? 0 : m_file.tensors().front().offset);
    }

    const std::string &path() const override { return m_path; }
    const std::string &description() const override { return m_description; }
    const std::string &fingerprint() const override { return m_fingerprint; }
    bool quantizes(const LinearSite &site) const override { return !isFloating(layer(site).tensor->type); }
    std::uint64_t weightBytes(const LinearSite &site) const override { return layer(site).tensor->bytes; }

    Matrix weight(const LinearSite &site) const override
    {
        const Layer &stored = layer(site);
        const std::vector<std::byte> bytes = m_file.readBytes(*stored.tensor);
        const std::size_t rowBytes = bytes.size() / static_cast<std::size_t>(site.out);  // rows are whole blocks
        const std::vector<Index> order = stored.pairedHeads > 0 ? pairedRows(site.out, stored.pairedHeads) : std::vector<Index>();
        Matrix weight(site.out, site.in);
        for (Index i = 0; i < site.out; ++i) {
            const Index row = order.empty() ? i : order[static_cast<std::size_t>(i)];
            try {
                decodeGgml(stored.tensor->type, std::span(bytes).subspan(static_cast<std::size_t>(i) * rowBytes, rowBytes),
                           {weight.data() + row * site.in, static_cast<std::size_t>(site.in)});
            } catch (const Error &error) {
                throw Error(error.code(), m_path, fmt::format("tensor '{}', row {}", stored.tensor->name, i), error.what());
            }
        }
        return weight;
    }

private:
    struct Layer {
        const GgufTensor *tensor;
        std::int64_t pairedHeads;
    };
    const Layer &layer(const LinearSite &site) const { return m_layers.at(site.name); }

    GgufFile m_file;
    std::string m_path;
    std::map<std::string, Layer> m_layers;  // by LinearSite::name
    std::string m_description;
    std::string m_fingerprint;
};

}  // namespace

bool isGgufFile(const std::string &path)
{
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error))
        return false;
    const InputFile file(path);
    std::array<std::byte, 4> magic{};
    if (file.size() < magic.size())
        return false;
    file.read(0, magic);
    return std::memcmp(magic.data(), "GGUF", magic.size()) == 0;
}

std::unique_ptr<QuantizedBase> openGgufBase(const std::string &path, const Transformer &model)
{
    return std::make_unique<GgufBase>(path, model);
}

}  // namespace lqer
