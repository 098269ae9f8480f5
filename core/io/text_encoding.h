// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace lqer {

// Throws Error(Format) unless `text` is plain UTF-8 with something in it: no byte order mark, no NUL. Says what the file is
// instead where that can be seen.
void refuseOtherEncodings(std::string_view text, std::string_view file);

}  // namespace lqer
