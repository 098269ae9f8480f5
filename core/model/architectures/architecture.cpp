// SPDX-License-Identifier: Apache-2.0
#include "core/model/architectures/architecture.h"

#include <algorithm>

#include "core/model/transformer.h"

namespace lqer {

const std::vector<Architecture> &architectures()
{
    static const std::vector<Architecture> list = {
        llamaArchitecture(),
        mistralArchitecture(),
        optArchitecture(),
        gpt2Architecture(),
    };
    return list;
}

const Architecture *findArchitecture(std::string_view family)
{
    const auto &list = architectures();
    const auto found = std::find_if(list.begin(), list.end(), [&](const Architecture &a) { return a.family == family; });
    return found == list.end() ? nullptr : &*found;
}

std::vector<std::string> supportedArchitectures()
{
    std::vector<std::string> names;
    for (const Architecture &architecture : architectures())
        names.emplace_back(architecture.family);
    return names;
}

LinearSite linearSite(std::string module, std::int64_t layer, LinearRole role, std::int64_t in, std::int64_t out, bool bias,
                      std::string input)
{
    LinearSite site;
    site.layer = layer;
    site.role = role;
    site.in = in;
    site.out = out;
    site.hasBias = bias;
    site.weightTensor = module + ".weight";
    site.biasTensor = bias ? module + ".bias" : "";
    site.activationSite = input.empty() ? module : std::move(input);
    site.name = std::move(module);
    return site;
}

}  // namespace lqer
