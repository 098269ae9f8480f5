// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace lqer {
[[noreturn]] void failedCheck(const char *condition, const char *file, int line);
}

// A contract inside our own code. Stays on in every build: all of them are outside inner loops.
#define LQER_ASSERT(condition) ((condition) ? static_cast<void>(0) : ::lqer::failedCheck(#condition, __FILE__, __LINE__))
