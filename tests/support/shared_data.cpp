// SPDX-License-Identifier: Apache-2.0
#include "tests/support/shared_data.h"

#include <cstdlib>
#include <filesystem>

namespace lqer::test {

std::string sharedFolder()
{
    if (const char *set = std::getenv("LQER_SHARED"))
        return std::filesystem::is_directory(set) ? set : "";
    const std::string beside = std::string(LQER_SOURCE_DIR) + "/../shared";
    return std::filesystem::is_directory(beside) ? beside : "";
}

std::string sourcePath(const std::string &relative)
{
    return std::string(LQER_SOURCE_DIR) + "/" + relative;
}

std::string errorOf(const std::function<void()> &work, ErrorCode *code)
{
    try {
        work();
    } catch (const Error &error) {
        if (code)
            *code = error.code();
        return error.what();
    }
    return {};
}

}  // namespace lqer::test
