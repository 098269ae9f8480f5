// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "core/model/sites.h"

namespace lqer::test {

// The linear layers of a small LLaMA with grouped queries: hidden 64, key and value 32, intermediate 172.
inline std::vector<LinearSite> llamaSites(std::int64_t blocks = 2)
{
    std::vector<LinearSite> sites;
    for (std::int64_t layer = 0; layer < blocks; ++layer) {
        const std::string block = "model.layers." + std::to_string(layer);
        const auto add = [&](const std::string &module, LinearRole role, std::int64_t in, std::int64_t out,
                             const std::string &input) {
            LinearSite site;
            site.name = block + module;
            site.layer = layer;
            site.role = role;
            site.in = in;
            site.out = out;
            site.weightTensor = site.name + ".weight";
            site.activationSite = block + input;
            sites.push_back(site);
        };
        add(".self_attn.q_proj", LinearRole::Query, 64, 64, ".self_attn.k_proj");
        add(".self_attn.k_proj", LinearRole::Key, 64, 32, ".self_attn.k_proj");
        add(".self_attn.v_proj", LinearRole::Value, 64, 32, ".self_attn.k_proj");
        add(".self_attn.o_proj", LinearRole::Output, 64, 64, ".self_attn.o_proj");
        add(".mlp.gate_proj", LinearRole::Gate, 64, 172, ".mlp.gate_proj");
        add(".mlp.up_proj", LinearRole::Up, 64, 172, ".mlp.gate_proj");
        add(".mlp.down_proj", LinearRole::Down, 172, 64, ".mlp.down_proj");
    }
    return sites;
}

}  // namespace lqer::test
