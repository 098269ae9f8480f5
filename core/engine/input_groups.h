// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "core/model/transformer.h"

namespace lqer {

// Linear layers that read the same input, in forward order: q, k, v; gate, up. Their statistics are loaded once.
struct InputGroup {
    const ActivationSite *input = nullptr;
    std::vector<const LinearSite *> linears;
};

inline std::vector<InputGroup> inputGroups(const Transformer &model)
{
    std::vector<InputGroup> groups;
    for (const LinearSite &site : model.linearSites()) {
        if (groups.empty() || groups.back().input->name != site.activationSite)
            groups.push_back({model.findActivation(site.activationSite), {}});
        groups.back().linears.push_back(&site);
    }
    return groups;
}

}  // namespace lqer
