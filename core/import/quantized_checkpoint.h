// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/io/checkpoint.h"
#include "core/io/json.h"
#include "core/model/quantized_base.h"
#include "core/model/transformer.h"

namespace lqer {

// An existing quantization of `model`: a GGUF file, or a Hugging Face folder packed by GPTQ, AWQ or compressed-tensors. Opening reads
// headers only and checks every linear layer of the model: Error(NotFound | Shape | Unsupported | Format) names file, tensor, expected
// and found.
std::unique_ptr<QuantizedBase> openQuantizedBase(const std::string &path, const Transformer &model);

// How one layer lies packed in a Hugging Face folder; a value that a reader makes once per layer.
struct PackedLayer {
    std::string module;  // "model.layers.0.self_attn.q_proj": what the tensors' names begin with
    Index in = 0, out = 0;
    int bits = 0;
    Index groupSize = 0;  // inputs that share a scale; `in` if all do
    Index groups() const { return (in + groupSize - 1) / groupSize; }
};

// A Hugging Face folder whose linear layers are packed; what is common to the ways of packing.
class PackedCheckpoint : public QuantizedBase {
public:
    PackedCheckpoint(const std::string &folder, std::string description);

    const std::string &path() const override { return m_checkpoint->folder(); }
    const std::string &description() const override { return m_description; }
    const std::string &fingerprint() const override { return m_fingerprint; }
    bool quantizes(const LinearSite &site) const override;
    std::uint64_t weightBytes(const LinearSite &site) const override;

protected:
    // Suffixes of the tensors that together are one W_q, the one that tells a packed layer first: {"qweight", "qzeros", "scales"}.
    virtual const std::vector<std::string> &parts() const = 0;

    const Checkpoint &checkpoint() const { return *m_checkpoint; }
    // The layer's module under the name it has in the folder. Throws Error(NotFound) if it is neither packed nor there in floating point.
    std::string moduleOf(const LinearSite &site) const;
    // MODULE.SUFFIX with this element type and shape; throws Error(NotFound | Shape | Format).
    const TensorInfo &require(const std::string &module, const std::string &suffix, const Shape &shape, std::initializer_list<DType> dtypes) const;
    Tensor read(const std::string &module, const std::string &suffix) const;
    MatrixF64 readMatrix(const std::string &module, const std::string &suffix) const;
    // 32-bit words as they are.
    std::vector<std::uint32_t> readWords(const std::string &module, const std::string &suffix) const;
    // Input i's group: MODULE.SUFFIX if there is such a tensor (int32, one per input), else i / groupSize.
    std::vector<Index> readGroups(const PackedLayer &layer, const std::string &suffix) const;
    // Throws Error(Numeric) naming the tensor and the first place if any value is NaN or infinite.
    void requireFinite(const std::string &module, const std::string &suffix, const Matrix &values) const;

private:
    std::shared_ptr<const Checkpoint> m_checkpoint;
    std::string m_description;
    std::string m_fingerprint;
};

// quantization_config.group_size: inputs that share a scale, -1 if all do. Throws Error(Format).
Index readGroupSize(const JsonReader &config);
// "groups of 128", "one group per output".
std::string groupsText(Index groupSize);

// Element `index` of a row of numbers of `bits` bits, packed densely from the lowest bit of the first word. step: from one word of
// the row to the next.
inline std::uint32_t packedNumber(const std::uint32_t *words, Index step, Index index, int bits)
{
    const Index bit = index * bits;
    const std::uint32_t *word = words + bit / 32 * step;
    const auto shift = static_cast<unsigned>(bit % 32);
    std::uint64_t pair = *word;
    if (shift + static_cast<unsigned>(bits) > 32)
        pair |= static_cast<std::uint64_t>(word[step]) << 32;
    return static_cast<std::uint32_t>(pair >> shift) & ((1U << bits) - 1);
}

}  // namespace lqer
