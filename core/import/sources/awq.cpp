// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/import/sources/list.h"

namespace lqer {

namespace {

constexpr int bits = 4;
constexpr Index perWord = 8;
// Output 8 w + column of a word w lies in its nibble `place[column]`: nibbles 0 ... 7 hold columns 0, 2, 4, 6, 1, 3, 5, 7.
constexpr std::array<unsigned, 8> place = {0, 4, 1, 5, 2, 6, 3, 7};

std::int32_t nibble(const std::uint32_t *words, Index column)
{
    return static_cast<std::int32_t>(words[column / perWord] >> (bits * place[static_cast<std::size_t>(column % perWord)]) & 0xFU);
}

// qweight int32 (in, out / 8), qzeros int32 (groups, out / 8), both packed along the outputs; scales (groups, out). W = scale (q - zero).
// Source: exports.md C3; AutoAWQ, WQLinear_GEMM.from_linear().
class AwqCheckpoint final : public PackedCheckpoint {
public:
    AwqCheckpoint(const std::string &folder, Index groupSize, const Transformer &model)
        : PackedCheckpoint(folder, fmt::format("AWQ, {} bits, {}", bits, groupsText(groupSize))),
          m_groupSize(groupSize)
    {
        for (const LinearSite &site : model.linearSites()) {
            if (!quantizes(site))
                continue;
            const PackedLayer layer = layerOf(site);
            if (layer.out % perWord != 0)
                throw Error(ErrorCode::Shape, folder, fmt::format("tensor '{}.qweight'", layer.module),
                            fmt::format("{} outputs do not fill whole 32-bit words", layer.out));
            require(layer.module, "qweight", {layer.in, layer.out / perWord}, {DType::I32});
            require(layer.module, "qzeros", {layer.groups(), layer.out / perWord}, {DType::I32});
            require(layer.module, "scales", {layer.groups(), layer.out}, {DType::F16, DType::BF16, DType::F32});
        }
    }

    Matrix weight(const LinearSite &site) const override
    {
        const PackedLayer layer = layerOf(site);
        const std::vector<std::uint32_t> words = readWords(layer.module, "qweight");
        const std::vector<std::uint32_t> zeros = readWords(layer.module, "qzeros");
        const MatrixF64 scales = readMatrix(layer.module, "scales");
        const Index rowWords = layer.out / perWord;
        Matrix weight(layer.out, layer.in);
        for (Index in = 0; in < layer.in; ++in) {
            const Index group = in / layer.groupSize;
            for (Index out = 0; out < layer.out; ++out)
                weight(out, in) = static_cast<float>(scales(group, out))
                    * static_cast<float>(nibble(words.data() + in * rowWords, out) - nibble(zeros.data() + group * rowWords, out));
        }
        requireFinite(layer.module, "scales", weight);
        return weight;
    }

private:
    const std::vector<std::string> &parts() const override
    {
        static const std::vector<std::string> names = {"qweight", "qzeros", "scales"};
        return names;
    }
    PackedLayer layerOf(const LinearSite &site) const
    {
        return {moduleOf(site), site.in, site.out, bits, m_groupSize > 0 ? m_groupSize : site.in};
    }

    Index m_groupSize;
};

std::unique_ptr<QuantizedBase> openAwq(const std::string &folder, const JsonReader &config, const Transformer &model)
{
    if (const std::int64_t found = config["bits"].integer(1, 16); found != bits)
        config["bits"].fail(fmt::format("is {}; AWQ packs 4 bits", found));
    const Index groupSize = readGroupSize(config);
    if (config.has("version"))
        if (const std::string &version = config["version"].string(); version != "gemm" && version != "GEMM")
            throw Error(ErrorCode::Unsupported, folder, "key 'quantization_config.version'",
                        fmt::format("is '{}'; AWQ's layout 'gemm' is read", escaped(version)));
    return std::make_unique<AwqCheckpoint>(folder, groupSize, model);
}

}  // namespace

PackingMethod awqMethod()
{
    return {"awq", openAwq};
}

}  // namespace lqer
