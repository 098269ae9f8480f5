// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lqer {

// What a linear layer does in its block; the studio's columns and the recipe's role filter.
enum class LinearRole { Query, Key, Value, Output, Gate, Up, Down, FusedQkv, Fc1, Fc2, ProjectIn, ProjectOut };
// "q", "k", "v", "o", "gate", "up", "down", "qkv", "fc1", "fc2", "project_in", "project_out"
std::string_view toString(LinearRole role);

// One weight that can be quantized.
struct LinearSite {
    std::string name;          // module name: "model.layers.3.self_attn.q_proj" (no ".weight")
    std::int64_t layer = -1;   // block; -1 outside the blocks
    LinearRole role = LinearRole::Query;
    std::int64_t in = 0;
    std::int64_t out = 0;
    bool hasBias = false;
    std::string weightTensor;  // name in the checkpoint
    std::string biasTensor;    // "" without
    bool storedTransposed = false;  // GPT-2 Conv1D keeps (in, out); we always hand out (out, in)
    std::string activationSite;     // ActivationSite::name it reads
};

// One input that one or more linear layers share (q,k,v; gate,up): calibrated once. Source: numerics.md B.3.
struct ActivationSite {
    std::string name;          // the first linear layer's name as the papers' code measures it: "...self_attn.k_proj"
    std::int64_t layer = -1;
    std::int64_t features = 0;
    std::vector<std::string> linears;
};

}  // namespace lqer
