// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/io/test_files.h"

// GGUF files composed byte by byte, from the format's description and without the code under test.
namespace lqer::test {

inline std::string littleEndian32(std::uint32_t value) { return littleEndian(value).substr(0, 4); }
inline std::string ggufText(std::string_view text) { return littleEndian(text.size()) + std::string(text); }

// A key of value type `type` whose value is these bytes.
inline std::string ggufKey(std::string_view key, std::uint32_t type, std::string_view value)
{
    return ggufText(key) + littleEndian32(type) + std::string(value);
}
inline std::string ggufArrayKey(std::string_view key, std::uint32_t type, std::uint64_t count, std::string_view elements)
{
    return ggufKey(key, 9, littleEndian32(type) + littleEndian(count) + std::string(elements));
}

// extents: innermost first, as in the file.
inline std::string ggufTensor(std::string_view name, const std::vector<std::uint64_t> &extents, std::uint32_t type, std::uint64_t offset)
{
    std::string entry = ggufText(name) + littleEndian32(static_cast<std::uint32_t>(extents.size()));
    for (const std::uint64_t extent : extents)
        entry += littleEndian(extent);
    return entry + littleEndian32(type) + littleEndian(offset);
}

inline std::string ggufFile(const std::vector<std::string> &keys, const std::vector<std::string> &tensors, std::string_view data,
                            std::uint32_t version = 3, std::size_t alignment = 32)
{
    std::string bytes = "GGUF" + littleEndian32(version) + littleEndian(tensors.size()) + littleEndian(keys.size());
    for (const std::string &key : keys)
        bytes += key;
    for (const std::string &tensor : tensors)
        bytes += tensor;
    if (!tensors.empty())
        bytes.resize((bytes.size() + alignment - 1) / alignment * alignment, '\0');
    return bytes + std::string(data);
}

}  // namespace lqer::test
