// SPDX-License-Identifier: Apache-2.0
#include "core/export/layer_counts.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace lqer {

std::string layerCounts(const std::map<std::string, int> &counts)
{
    std::vector<std::pair<std::string, int>> ordered(counts.begin(), counts.end());
    std::ranges::stable_sort(ordered, [](const auto &x, const auto &y) { return x.second > y.second; });
    if (ordered.size() == 1)
        return ordered.front().first;
    std::vector<std::string> texts;
    for (const auto &[name, count] : ordered)
        texts.push_back(fmt::format("{} ({} {})", name, count, count == 1 ? "layer" : "layers"));
    return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace lqer
