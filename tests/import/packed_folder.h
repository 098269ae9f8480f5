// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/io/atomic_file.h"
#include "core/io/json.h"
#include "core/io/safetensors.h"
#include "core/model/transformer.h"
#include "tests/import/rounded_layer.h"

namespace lqer::test {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// How a folder is packed: what config.json says, and the tensors of one module.
struct Packing {
    std::string method;  // "gptq"
    int bits = 4;
    Index groupSize = 32;
    bool symmetric = true;
    Json config;
    std::function<NamedTensors(const std::string &module, const RoundedLayer &layer)> pack;
};

// q along the inputs, zero points (less one in version 1) along the outputs, scales (groups, out). order: inputs in another order than
// that of their groups.
inline Packing gptqPacking(int bits, Index groupSize, bool symmetric, bool version2)
{
    Packing packing{"gptq", bits, groupSize, symmetric, Json::object(), {}};
    packing.config.set("quant_method", "gptq").set("bits", bits).set("group_size", static_cast<std::int64_t>(groupSize)).set("desc_act", false)
        .set("sym", symmetric).set("checkpoint_format", version2 ? "gptq_v2" : "gptq");
    packing.pack = [bits, version2](const std::string &module, const RoundedLayer &layer) {
        Codes zeros = layer.zeros.transpose();  // (groups, out)
        if (!version2)
            zeros = zeros.unaryExpr([bits](std::uint32_t zero) { return (zero - 1) & ((1U << bits) - 1); }).eval();
        return NamedTensors{{module + ".qweight", int32Tensor(packRows(layer.codes, bits).transpose())},
                            {module + ".qzeros", int32Tensor(packRows(zeros, bits))},
                            {module + ".scales", halfTensor(layer.scales.transpose())}};
    };
    return packing;
}

// Eight outputs to a word, in the order 0, 2, 4, 6, 1, 3, 5, 7 from the lowest nibble up.
inline Packing awqPacking(Index groupSize)
{
    Packing packing{"awq", 4, groupSize, false, Json::object(), {}};
    packing.config.set("quant_method", "awq").set("bits", 4).set("group_size", static_cast<std::int64_t>(groupSize)).set("zero_point", true)
        .set("version", "gemm");
    packing.pack = [](const std::string &module, const RoundedLayer &layer) {
        const auto packed = [](const Codes &numbers) {  // (rows, out)
            constexpr int order[] = {0, 2, 4, 6, 1, 3, 5, 7};
            Codes words = Codes::Zero(numbers.rows(), numbers.cols() / 8);
            for (Index row = 0; row < words.rows(); ++row)
                for (Index word = 0; word < words.cols(); ++word)
                    for (int nibble = 0; nibble < 8; ++nibble)
                        words(row, word) |= numbers(row, 8 * word + order[nibble]) << (4 * nibble);
            return int32Tensor(words);
        };
        return NamedTensors{{module + ".qweight", packed(layer.codes.transpose())},
                            {module + ".qzeros", packed(layer.zeros.transpose())},
                            {module + ".scales", halfTensor(layer.scales.transpose())}};
    };
    return packing;
}

// Codes along the inputs, zero points along the outputs, scales (out, groups).
inline Packing compressedTensorsPacking(int bits, Index groupSize, bool symmetric)
{
    Packing packing{"compressed-tensors", bits, groupSize, symmetric, Json::object(), {}};
    packing.config.set("quant_method", "compressed-tensors").set("format", "pack-quantized").set("quantization_status", "compressed");
    packing.pack = [bits, symmetric](const std::string &module, const RoundedLayer &layer) {
        Tensor shape(DType::I64, {2});
        const std::int64_t extents[] = {layer.codes.rows(), layer.codes.cols()};
        std::memcpy(shape.bytes().data(), extents, sizeof extents);
        NamedTensors tensors{{module + ".weight_packed", int32Tensor(packRows(layer.codes, bits))},
                             {module + ".weight_scale", halfTensor(layer.scales)},
                             {module + ".weight_shape", shape}};
        if (!symmetric)
            tensors.emplace_back(module + ".weight_zero_point", int32Tensor(packRows(layer.zeros.transpose(), bits).transpose()));
        return tensors;
    };
    return packing;
}

// Writes `folder`: the model's config.json with the packing's, and every linear layer packed; `change` may alter what is written.
// Returns W_q by module.
inline std::map<std::string, Matrix> writePackedFolder(const std::string &folder, const Transformer &model, const Packing &packing,
                                                       const std::function<void(Json &config, NamedTensors &tensors)> &change = {})
{
    std::filesystem::create_directories(folder);
    Json config = readJsonFile(model.checkpoint().configPath());
    config.set("quantization_config", packing.config);
    NamedTensors tensors;
    std::map<std::string, Matrix> weights;
    for (const LinearSite &site : model.linearSites()) {
        const Index groupSize = packing.groupSize > 0 ? packing.groupSize : site.in;
        RoundedLayer layer = roundLayer(model.readWeight(site), packing.bits, groupSize, packing.symmetric);
        for (auto &named : packing.pack(site.name, layer))
            tensors.push_back(std::move(named));
        weights.emplace(site.name, std::move(layer.weight));
    }
    if (change)
        change(config, tensors);
    writeFileAtomically(folder + "/config.json", config.dump(1));
    writeSafetensors(folder + "/model.safetensors", tensors, {{"format", "pt"}});
    return weights;
}

inline Tensor *findTensor(NamedTensors &tensors, const std::string &name)
{
    const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto &named) { return named.first == name; });
    return found == tensors.end() ? nullptr : &found->second;
}

}  // namespace lqer::test
