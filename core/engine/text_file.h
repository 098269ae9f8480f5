// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace lqer {

// A text a front end made itself (a plot's numbers), written as everything is: beside, synced, renamed. Throws Error(Io | DiskFull).
void saveTextFile(const std::string &path, std::string_view text);

}  // namespace lqer
