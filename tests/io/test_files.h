// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <QDir>
#include <QString>

// Small files for tests, written without the code under test.
namespace lqer::test {

inline void writeRaw(const std::string &path, std::string_view bytes)
{
    std::filesystem::remove(path);  // some file systems flush to the disk when a file is truncated and written anew
    std::ofstream(path, std::ios::binary | std::ios::trunc).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string readRaw(const std::string &path)
{
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

inline std::string littleEndian(std::uint64_t value)
{
    std::string bytes;
    for (int i = 0; i < 8; ++i)
        bytes += static_cast<char>(value >> (8 * i));
    return bytes;
}

// A safetensors file with this header text and `dataBytes` zeros behind it.
inline std::string safetensorsBytes(std::string_view header, std::size_t dataBytes)
{
    return littleEndian(header.size()) + std::string(header) + std::string(dataBytes, '\0');
}

// Everything in a folder except "." and "..", sorted.
inline std::vector<std::string> namesIn(const std::string &folder)
{
    std::vector<std::string> names;
    const auto filter = QDir::AllEntries | QDir::Hidden | QDir::System | QDir::NoDotAndDotDot;
    for (const QString &name : QDir(QString::fromStdString(folder)).entryList(filter, QDir::Name))
        names.push_back(name.toStdString());
    return names;
}

}  // namespace lqer::test
