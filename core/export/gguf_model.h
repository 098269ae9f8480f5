// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/export/exporter.h"
#include "core/io/gguf.h"
#include "core/model/transformer.h"

// A model's tensors and hyper-parameters under the names that llama.cpp gives them. Source: its gguf-py/gguf/tensor_mapping.py,
// src/llama-arch.cpp and convert_hf_to_gguf.py.
namespace lqer {

// One tensor of a GGUF model.
struct GgufEntry {
    enum class Kind {
        Weight,     // of a linear layer (`site`): what the recipe makes of it
        Bias,       // of a linear layer
        Matrix,     // embedding or head: as the original has it
        Vector,     // norm or position embedding: as the original has it, in float32
        Frequencies // what LLaMA 3 divides the rotary frequencies by; computed
    };
    std::string name;  // "blk.0.attn_q.weight"
    Kind kind = Kind::Weight;
    const LinearSite *site = nullptr;
    std::string stored = {};      // name in the checkpoint, of Matrix and Vector
    std::int64_t pairedHeads = 0; // > 0: rows are reordered in this many heads, see pairedRows()
};

// Embeddings, final norm, head, then block by block. Throws Error(Unsupported) for a family that llama.cpp has no architecture
// for.
std::vector<GgufEntry> ggufEntries(const Transformer &model);

// llama.cpp rotates neighbours (rows 2i and 2i + 1 of a head), Hugging Face's code row i and row i + half. For q and k of the
// llama family, row `result[i]` of the original becomes row i: of the weight, the bias and the correction's B alike.
std::vector<Index> pairedRows(std::int64_t rows, std::int64_t heads);
template <typename Rows>
Rows withPairedRows(const Rows &values, std::int64_t heads)
{
    if (heads == 0)
        return values;
    const std::vector<Index> order = pairedRows(values.rows(), heads);
    Rows paired(values.rows(), values.cols());
    for (Index i = 0; i < values.rows(); ++i)
        paired.row(i) = values.row(order[static_cast<std::size_t>(i)]);
    return paired;
}

// "llama" or "gpt2".
std::string ggufArchitecture(const ModelConfig &config);
// general.architecture and the keys in its name.
GgufMetadata ggufHyperparameters(const ModelConfig &config);
// The divisors of the rotary frequencies, (headDim / 2); empty where there are none.
Vector ggufFrequencyDivisors(const ModelConfig &config);

// What llama.cpp cannot run, or runs otherwise than the original: errors and warnings.
std::vector<ExportProblem> ggufModelProblems(const ModelConfig &config);

}  // namespace lqer
