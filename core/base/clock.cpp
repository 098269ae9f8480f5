// SPDX-License-Identifier: Apache-2.0
#include "core/base/clock.h"

#include <ctime>

#include <fmt/chrono.h>

namespace lqer {

std::string utcNow()
{
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

}  // namespace lqer
