// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace lqer {

// The style sheet of reportPage(): light, dark (as the reader's system is), and print.
extern const char *const reportStyle;

}  // namespace lqer
