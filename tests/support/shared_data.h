// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "core/base/error.h"

namespace lqer::test {

// The folder with golden vectors, models and texts: LQER_SHARED, else ../shared beside the project; "" if absent.
std::string sharedFolder();
// A file or folder of this source tree.
std::string sourcePath(const std::string &relative);
// The message of the Error that `work` throws; "" if it throws none. `code` gets its code.
std::string errorOf(const std::function<void()> &work, ErrorCode *code = nullptr);

}  // namespace lqer::test

// Leaves the test function with a clear line when the shared data is not there.
#define LQER_NEED_SHARED()                                                                        \
    if (lqer::test::sharedFolder().empty())                                                       \
        QSKIP("shared test data not found: set LQER_SHARED or put it at ../shared beside the project")
