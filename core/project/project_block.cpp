// SPDX-License-Identifier: Apache-2.0
#include "core/project/project_block.h"

#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/io/file.h"

namespace lqer {

namespace {

// As PNG's: a byte with the high bit, the name, and line ends that a text transfer would spoil.
constexpr std::string_view magic = "\x89LQER\r\n\x1a";
constexpr std::string_view hdf5Magic = "\x89HDF\r\n\x1a\n";
constexpr std::string_view remark = "LQER Studio project. An HDF5 file begins at byte 512; h5ls, h5dump and h5py read it as it is.\n";
constexpr std::size_t hashSize = 32;
constexpr std::size_t versionAt = 8;       // uint32, little endian
constexpr std::size_t blockSizeAt = 12;    // uint32
constexpr std::size_t lengthAt = 16;       // uint64, bytes of the image
constexpr std::size_t imageHashAt = 24;    // 32 hexadecimal digits, XXH3-128 of the image
constexpr std::size_t remarkAt = 64;
constexpr std::size_t blockHashAt = projectBlockSize - hashSize;  // of everything in the block before it

template <typename Number>
void put(std::vector<std::byte> &block, std::size_t at, Number number)
{
    for (std::size_t i = 0; i < sizeof number; ++i)
        block[at + i] = static_cast<std::byte>(number >> (8 * i));
}

template <typename Number>
Number get(std::span<const std::byte> block, std::size_t at)
{
    Number number = 0;
    for (std::size_t i = 0; i < sizeof number; ++i)
        number |= static_cast<Number>(static_cast<Number>(block[at + i]) << (8 * i));
    return number;
}

void putText(std::vector<std::byte> &block, std::size_t at, std::string_view text)
{
    std::memcpy(block.data() + at, text.data(), text.size());
}

bool hasText(std::span<const std::byte> block, std::size_t at, std::string_view text)
{
    return std::memcmp(block.data() + at, text.data(), text.size()) == 0;
}

[[noreturn]] void damaged(const std::string &path, const std::string &how)
{
    throw Error(ErrorCode::Format, path, "",
                fmt::format("is damaged ({}); the version saved before it may lie beside it as project.h5.previous", how));
}

}  // namespace

std::vector<std::byte> makeProjectBlock(std::span<const std::byte> image, std::uint32_t version)
{
    std::vector<std::byte> block(projectBlockSize);
    putText(block, 0, magic);
    put(block, versionAt, version);
    put(block, blockSizeAt, static_cast<std::uint32_t>(projectBlockSize));
    put(block, lengthAt, static_cast<std::uint64_t>(image.size()));
    putText(block, imageHashAt, hashHex(image));
    putText(block, remarkAt, remark);
    putText(block, blockHashAt, hashHex(std::span<const std::byte>(block).first(blockHashAt)));
    return block;
}

std::span<const std::byte> checkProjectBlock(std::span<const std::byte> file, const std::string &path)
{
    if (file.size() >= hdf5Magic.size() && hasText(file, 0, hdf5Magic))
        throw Error(ErrorCode::Format, path, "", "is an HDF5 file, but not a project of this program");
    if (file.size() < magic.size() || !hasText(file, 0, magic)) {
        const std::string known = recognisedContent(file.first(std::min<std::size_t>(file.size(), projectBlockSize)));
        throw Error(ErrorCode::Format, path, "", known.empty() ? "is not a project of this program" : "is " + known + ", not a project");
    }
    if (file.size() < projectBlockSize)
        damaged(path, fmt::format("only {} bytes long", file.size()));
    const auto block = file.first(projectBlockSize);
    if (!hasText(block, blockHashAt, hashHex(block.first(blockHashAt))))
        damaged(path, "checksum of its first 512 bytes");
    // From here on the block says what its writer meant.
    const auto version = get<std::uint32_t>(block, versionAt);
    if (version > projectVersion)
        throw Error(ErrorCode::Unsupported, path, "",
                    fmt::format("was made by a newer version of the program (format {}, this one reads up to {})", version, projectVersion));
    if (version == 0 || get<std::uint32_t>(block, blockSizeAt) != projectBlockSize)
        damaged(path, "impossible version or block size");
    const auto length = get<std::uint64_t>(block, lengthAt);
    if (length == 0 || length != file.size() - projectBlockSize)
        damaged(path, fmt::format("{} bytes long, expected {} and {}", file.size(), projectBlockSize, length));
    const auto image = file.subspan(projectBlockSize);
    if (!hasText(block, imageHashAt, hashHex(image)))
        damaged(path, "checksum");
    return image;
}

}  // namespace lqer
