// SPDX-License-Identifier: Apache-2.0
#include "core/import/sources/list.h"

namespace lqer {

const std::vector<PackingMethod> &packingMethods()
{
    static const std::vector<PackingMethod> methods = {gptqMethod(), awqMethod(), compressedTensorsMethod()};
    return methods;
}

}  // namespace lqer
