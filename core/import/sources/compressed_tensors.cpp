// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/import/sources/list.h"

namespace lqer {

namespace {

constexpr const char *packedFormat = "pack-quantized";

Index wordsFor(Index numbers, int bits)
{
    return (numbers * bits + 31) / 32;
}

// weight_packed int32 (out, in * bits / 32) along the inputs, codes raised by 2^(bits - 1); weight_scale (out, groups), (out, 1) or one;
// weight_zero_point int32 (out * bits / 32, groups) along the outputs, raised likewise, if asymmetric; weight_shape; weight_g_idx if
// inputs are not in the order of their groups. W = scale (q - zero). Source: exports.md C3; compressed-tensors, pack_quantized.py.
class CompressedTensorsCheckpoint final : public PackedCheckpoint {
public:
    CompressedTensorsCheckpoint(const std::string &folder, const Transformer &model) : PackedCheckpoint(folder, "compressed-tensors, pack-quantized")
    {
        for (const LinearSite &site : model.linearSites()) {
            if (!quantizes(site))
                continue;
            const PackedLayer layer = layerOf(site);
            const Shape scales = shapeOf(layer.module, "weight_scale");
            require(layer.module, "weight_packed", {layer.out, wordsFor(layer.in, layer.bits)}, {DType::I32});
            const bool isOne = scales == Shape{1} || scales == Shape{1, 1};
            require(layer.module, "weight_scale", isOne ? scales : Shape{layer.out, layer.groups()},
                    {DType::F16, DType::BF16, DType::F32});
            if (checkpoint().find(layer.module + ".weight_zero_point"))
                require(layer.module, "weight_zero_point", {wordsFor(layer.out, layer.bits), layer.groups()}, {DType::I32});
            checkStatedShape(layer);
        }
    }

    Matrix weight(const LinearSite &site) const override
    {
        const PackedLayer layer = layerOf(site);
        const std::vector<std::uint32_t> words = readWords(layer.module, "weight_packed");
        const Index rowWords = wordsFor(layer.in, layer.bits);
        MatrixF64 scales = readMatrix(layer.module, "weight_scale");
        if (scales.size() == 1)
            scales = MatrixF64::Constant(layer.out, 1, scales(0, 0));
        const bool symmetric = !checkpoint().find(layer.module + ".weight_zero_point");
        const std::vector<std::uint32_t> zeros = symmetric ? std::vector<std::uint32_t>() : readWords(layer.module, "weight_zero_point");
        const std::vector<Index> groups = readGroups(layer, "weight_g_idx");
        const std::int32_t raised = 1 << (layer.bits - 1);
        Matrix weight(layer.out, layer.in);
        for (Index out = 0; out < layer.out; ++out)
            for (Index in = 0; in < layer.in; ++in) {
                const Index group = groups[static_cast<std::size_t>(in)];
                const auto code = static_cast<std::int32_t>(packedNumber(words.data() + out * rowWords, 1, in, layer.bits));
                const std::int32_t zero
                    = symmetric ? raised : static_cast<std::int32_t>(packedNumber(zeros.data() + group, layer.groups(), out, layer.bits));
                weight(out, in) = static_cast<float>(scales(out, group)) * static_cast<float>(code - zero);
            }
        requireFinite(layer.module, "weight_scale", weight);
        return weight;
    }

private:
    const std::vector<std::string> &parts() const override
    {
        static const std::vector<std::string> names = {"weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx"};
        return names;
    }
    Shape shapeOf(const std::string &module, const std::string &suffix) const
    {
        const std::string name = module + "." + suffix;
        const TensorInfo *info = checkpoint().find(name);
        if (!info)
            throw Error(ErrorCode::NotFound, path(), fmt::format("tensor '{}'", name), "is missing");
        return info->shape;
    }
    // Bits and group size are read off the shapes, so that layers may differ.
    PackedLayer layerOf(const LinearSite &site) const
    {
        PackedLayer layer{moduleOf(site), site.in, site.out, 0, site.in};
        const Shape packed = shapeOf(layer.module, "weight_packed");
        for (const int bits : {2, 4, 8})
            if (packed.size() == 2 && packed[1] == wordsFor(site.in, bits))
                layer.bits = bits;
        if (layer.bits == 0)
            throw Error(ErrorCode::Shape, path(), fmt::format("tensor '{}.weight_packed'", layer.module),
                        fmt::format("has shape {}, which is no {}x{} weight in 2, 4 or 8 bits", toString(packed), site.out, site.in));
        const Shape scales = shapeOf(layer.module, "weight_scale");
        const Index groups = elementCount(scales) != 1 && scales.size() == 2 ? scales[1] : 1;
        if (groups < 1 || site.in % groups != 0)
            throw Error(ErrorCode::Shape, path(), fmt::format("tensor '{}.weight_scale'", layer.module),
                        fmt::format("has shape {}, {} inputs are no whole number of groups of one size", toString(scales), site.in));
        layer.groupSize = site.in / groups;
        return layer;
    }
    void checkStatedShape(const PackedLayer &layer) const
    {
        const std::string name = layer.module + ".weight_shape";
        if (!checkpoint().find(name))
            return;
        require(layer.module, "weight_shape", {2}, {DType::I64, DType::I32});
        std::vector<double> stated(2);
        read(layer.module, "weight_shape").copyTo(std::span(stated));
        if (stated[0] != static_cast<double>(layer.out) || stated[1] != static_cast<double>(layer.in))
            throw Error(ErrorCode::Shape, path(), fmt::format("tensor '{}'", name),
                        fmt::format("says {:.0f}x{:.0f}, a layer of this model is {}x{}", stated[0], stated[1], layer.out, layer.in));
    }
};

std::unique_ptr<QuantizedBase> openCompressedTensors(const std::string &folder, const JsonReader &config, const Transformer &model)
{
    if (const std::string &format = config["format"].string(); format != packedFormat)
        throw Error(ErrorCode::Unsupported, folder, "key 'quantization_config.format'",
                    fmt::format("is '{}'; {} is read", escaped(format), packedFormat));
    return std::make_unique<CompressedTensorsCheckpoint>(folder, model);
}

}  // namespace

PackingMethod compressedTensorsMethod()
{
    return {"compressed-tensors", openCompressedTensors};
}

}  // namespace lqer
