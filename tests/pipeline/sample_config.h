// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "core/pipeline/lqer_config.h"
#include "tests/support/shared_data.h"

namespace lqer::test {

inline std::string demoConfig()
{
    return sourcePath("tests/pipeline/lqer_demo.toml");
}

// The demo configuration with these overrides ("--a:b=value").
inline LqerConfig demoConfigWith(const std::vector<std::string> &overrides)
{
    return readLqerConfig(demoConfig(), overrides);
}

}  // namespace lqer::test
