// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lqer {

// The 512 bytes in front of the HDF5 image in project.h5. HDF5 readers skip them (a user block), we check them before HDF5 sees
// anything: truncation, flipped bits and half-copied files never get further. Layout in core/README.md.
inline constexpr std::size_t projectBlockSize = 512;
inline constexpr std::uint32_t projectVersion = 1;

std::vector<std::byte> makeProjectBlock(std::span<const std::byte> image, std::uint32_t version = projectVersion);

// The image inside a project file. Throws Error(Format) saying what the file is instead or that it is damaged, Error(Unsupported)
// for a newer version.
std::span<const std::byte> checkProjectBlock(std::span<const std::byte> file, const std::string &path);

}  // namespace lqer
