// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace lqer::test {

// HDF5 files as somebody else might make them, built with the library itself.
std::vector<std::byte> foreignHdf5(const std::function<void(long long file)> &fill);

// Things a file of ours never has. `file` is the HDF5 identifier of the file.
void addSoftLink(long long file);
void addDanglingLink(long long file);
void addExternalLink(long long file);
void addExternalStorage(long long file);
void addGroupCycle(long long file);
void addHardLink(long long file);
void addDeepGroups(long long file);
void addMatrix(long long file);
void addCompound(long long file);
void addVariableString(long long file);
void addEnumeration(long long file);
void addOpaque(long long file);
void addReference(long long file);
void addUnknownFilter(long long file);
void addHugeEmptySet(long long file);
void addBomb(long long file);
void addVirtualSet(long long file);
void addCommittedType(long long file);
void addOddName(long long file);
// Allowed, though we write other things: big-endian and short numbers, deflated lists.
void addForeignNumbers(long long file);

}  // namespace lqer::test
