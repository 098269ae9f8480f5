// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

namespace lqer {

// "mxint4 (28 layers), int8 (1 layer)": names by the number of layers they hold for, most frequent first; without numbers if
// there is one name only.
std::string layerCounts(const std::map<std::string, int> &counts);

}  // namespace lqer
