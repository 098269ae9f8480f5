// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/import/sources/list.h"

namespace lqer {

namespace {

// qweight int32 (in * bits / 32, out), packed along the inputs; qzeros int32 (groups, out * bits / 32), packed along the outputs;
// scales (groups, out); g_idx int32 (in), optional. W = scale (q - zero). Source: exports.md C3; AutoGPTQ and GPTQModel, qlinear pack().
class GptqCheckpoint final : public PackedCheckpoint {
public:
    GptqCheckpoint(const std::string &folder, int bits, Index groupSize, bool zerosLessOne, const Transformer &model)
        : PackedCheckpoint(folder, fmt::format("GPTQ, {} bits, {}", bits, groupsText(groupSize))),
          m_bits(bits), m_groupSize(groupSize), m_zerosLessOne(zerosLessOne)
    {
        for (const LinearSite &site : model.linearSites()) {
            if (!quantizes(site))
                continue;
            const PackedLayer layer = layerOf(site);
            if (layer.in * bits % 32 != 0 || layer.out * bits % 32 != 0)
                throw Error(ErrorCode::Shape, folder, fmt::format("tensor '{}.qweight'", layer.module),
                            fmt::format("{} bits of {}x{} do not fill whole 32-bit words", bits, layer.out, layer.in));
            require(layer.module, "qweight", {layer.in * bits / 32, layer.out}, {DType::I32});
            require(layer.module, "qzeros", {layer.groups(), layer.out * bits / 32}, {DType::I32});
            require(layer.module, "scales", {layer.groups(), layer.out}, {DType::F16, DType::BF16, DType::F32});
        }
    }

    Matrix weight(const LinearSite &site) const override
    {
        const PackedLayer layer = layerOf(site);
        const std::vector<std::uint32_t> words = readWords(layer.module, "qweight");
        const std::vector<std::uint32_t> zeroWords = readWords(layer.module, "qzeros");
        const MatrixF64 scales = readMatrix(layer.module, "scales");
        const std::vector<Index> groups = readGroups(layer, "g_idx");
        const std::uint32_t mask = (1U << m_bits) - 1;
        Eigen::Matrix<std::int32_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> zeros(layer.groups(), layer.out);
        for (Index group = 0; group < layer.groups(); ++group) {
            const std::uint32_t *row = zeroWords.data() + group * (layer.out * m_bits / 32);
            for (Index out = 0; out < layer.out; ++out)
                zeros(group, out) = static_cast<std::int32_t>((packedNumber(row, 1, out, m_bits) + (m_zerosLessOne ? 1U : 0U)) & mask);
        }
        Matrix weight(layer.out, layer.in);
        for (Index in = 0; in < layer.in; ++in) {
            const Index group = groups[static_cast<std::size_t>(in)];
            for (Index out = 0; out < layer.out; ++out) {
                const auto code = static_cast<std::int32_t>(packedNumber(words.data() + out, layer.out, in, m_bits));
                weight(out, in) = static_cast<float>(scales(group, out)) * static_cast<float>(code - zeros(group, out));
            }
        }
        requireFinite(layer.module, "scales", weight);
        return weight;
    }

private:
    const std::vector<std::string> &parts() const override
    {
        static const std::vector<std::string> names = {"qweight", "qzeros", "scales", "g_idx"};
        return names;
    }
    PackedLayer layerOf(const LinearSite &site) const
    {
        return {moduleOf(site), site.in, site.out, m_bits, m_groupSize > 0 ? m_groupSize : site.in};
    }

    int m_bits;
    Index m_groupSize;
    bool m_zerosLessOne;
};

std::unique_ptr<QuantizedBase> openGptq(const std::string &folder, const JsonReader &config, const Transformer &model)
{
    const auto bits = static_cast<int>(config["bits"].integer(2, 8));
    if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
        config["bits"].fail(fmt::format("is {}; GPTQ packs 2, 3, 4 or 8 bits", bits));
    const Index groupSize = readGroupSize(config);
    // Version 1 stores each zero point less one.
    std::string version = "gptq";
    if (config.has("checkpoint_format"))
        version = config["checkpoint_format"].string();
    if (version != "gptq" && version != "gptq_v2")
        throw Error(ErrorCode::Unsupported, folder, "key 'quantization_config.checkpoint_format'",
                    fmt::format("is '{}'; gptq and gptq_v2 are read", escaped(version)));
    return std::make_unique<GptqCheckpoint>(folder, bits, groupSize, version == "gptq", model);
}

}  // namespace

PackingMethod gptqMethod()
{
    return {"gptq", openGptq};
}

}  // namespace lqer
