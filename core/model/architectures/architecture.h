// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/json.h"
#include "core/model/model_config.h"
#include "core/model/sites.h"

namespace lqer {

// Parameters of one norm; empty names where it has none.
struct NormLayout {
    std::string weight;
    std::string bias;
};

struct BlockTensors {
    NormLayout attentionNorm;
    NormLayout mlpNorm;
    std::vector<LinearSite> linears;  // in forward order
};

// Where a model keeps its tensors. Names as the family's causal-LM class gives them.
struct ModelLayout {
    std::string trunk;                      // "model.": what all names but the head's begin with
    std::vector<std::string> storedTrunks;  // what checkpoints write for it: {"model.", ""}
    std::string blockPrefix;                // "model.layers.": in front of the block's number
    std::string tokenEmbedding;             // (vocabulary, embeddingDim)
    std::string positionEmbedding;          // (maxPositions + positionOffset, hidden); "" with rotary positions
    std::optional<LinearSite> projectIn;    // embeddingDim -> hidden
    std::vector<BlockTensors> blocks;
    NormLayout finalNorm;
    std::optional<LinearSite> projectOut;   // hidden -> embeddingDim
    std::string head;                       // (vocabulary, embeddingDim)
};

// A family of models as data: how its config.json is read and where its tensors are. The forward pass is shared (forward_pass.h)
// and is steered by ModelConfig and by which linear layers a block has.
struct Architecture {
    std::string_view family;                // config.json's model_type
    std::vector<std::string_view> classes;  // what config.json's "architectures" may say
    // Fields that only this family reads; `config` comes with what readModelConfig has read for all.
    void (*readConfig)(const JsonReader &json, ModelConfig &config);
    ModelLayout (*layout)(const ModelConfig &config);
};

// One per file in this folder. A family is added by its file and one line in the list.
Architecture llamaArchitecture();
Architecture mistralArchitecture();
Architecture optArchitecture();
Architecture gpt2Architecture();

const std::vector<Architecture> &architectures();
// The one with this model_type, or nullptr.
const Architecture *findArchitecture(std::string_view family);

// `module` is the full module name, `input` the module name whose input it shares (its own unless it shares).
LinearSite linearSite(std::string module, std::int64_t layer, LinearRole role, std::int64_t in, std::int64_t out, bool bias,
                      std::string input = {});

// The layout of LLaMA's blocks, which Mistral has too.
ModelLayout llamaLayout(const ModelConfig &config);
// LLaMA's and Mistral's common config keys; what is missing takes the class's default where it has one.
void readLlamaConfig(const JsonReader &json, ModelConfig &config, std::int64_t defaultKvHeads);

}  // namespace lqer
