// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <QString>

#include <unistd.h>

namespace lqer::test {

// Template for a QTemporaryDir of tests that write hundreds of files: in memory where that is possible, so that they do not wait for a disk.
inline QString scratchTemplate()
{
    return ::access("/dev/shm", W_OK) == 0 ? QStringLiteral("/dev/shm/lqer-test-XXXXXX") : QStringLiteral("lqer-test-XXXXXX");
}

}  // namespace lqer::test
