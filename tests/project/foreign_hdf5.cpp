// SPDX-License-Identifier: Apache-2.0
#include "tests/project/foreign_hdf5.h"

#include <cstdint>

#define H5_USE_110_API
#include <hdf5.h>

namespace lqer::test {

namespace {

void addSet(hid_t file, const char *name, hid_t type, hid_t space, hid_t creation = H5P_DEFAULT, const void *data = nullptr,
            hid_t memory = -1)
{
    const hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (data)
        H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    H5Dclose(set);
    H5Sclose(space);
    if (creation != H5P_DEFAULT)
        H5Pclose(creation);
}

hid_t list(hsize_t size)
{
    return H5Screate_simple(1, &size, nullptr);
}

hid_t chunked(hsize_t size)
{
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(creation, 1, &size);
    return creation;
}

}  // namespace

std::vector<std::byte> foreignHdf5(const std::function<void(long long file)> &fill)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, 1U << 16, 0);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    const hid_t file = H5Fcreate("foreign", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    fill(file);
    H5Fflush(file, H5F_SCOPE_GLOBAL);
    std::vector<std::byte> image(static_cast<std::size_t>(H5Fget_file_image(file, nullptr, 0)));
    H5Fget_file_image(file, image.data(), image.size());
    H5Fclose(file);
    H5Pclose(access);
    return image;
}

void addSoftLink(long long file)
{
    H5Gclose(H5Gcreate2(file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Lcreate_soft("/a", file, "b", H5P_DEFAULT, H5P_DEFAULT);
}

void addDanglingLink(long long file)
{
    H5Lcreate_soft("/nowhere", file, "b", H5P_DEFAULT, H5P_DEFAULT);
}

void addExternalLink(long long file)
{
    H5Lcreate_external("/etc/hostname", "/", file, "b", H5P_DEFAULT, H5P_DEFAULT);
}

void addExternalStorage(long long file)
{
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, "/etc/hostname", 0, 4);
    addSet(file, "b", H5T_STD_I8LE, list(4), creation);
}

void addGroupCycle(long long file)
{
    const hid_t group = H5Gcreate2(file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "a", group, "again", H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(group);
}

void addHardLink(long long file)
{
    const std::int64_t value = 1;
    addSet(file, "a", H5T_STD_I64LE, H5Screate(H5S_SCALAR), H5P_DEFAULT, &value, H5T_NATIVE_INT64);
    H5Lcreate_hard(file, "a", file, "b", H5P_DEFAULT, H5P_DEFAULT);
}

void addDeepGroups(long long file)
{
    std::vector<hid_t> groups{file};
    for (int i = 0; i < 1000; ++i)
        groups.push_back(H5Gcreate2(groups.back(), "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    for (std::size_t i = 1; i < groups.size(); ++i)
        H5Gclose(groups[i]);
}

void addMatrix(long long file)
{
    const hsize_t extents[2] = {2, 3};
    addSet(file, "b", H5T_IEEE_F64LE, H5Screate_simple(2, extents, nullptr));
}

void addCompound(long long file)
{
    const hid_t type = H5Tcreate(H5T_COMPOUND, 16);
    H5Tinsert(type, "x", 0, H5T_NATIVE_DOUBLE);
    H5Tinsert(type, "y", 8, H5T_NATIVE_DOUBLE);
    addSet(file, "b", type, list(1));
    H5Tclose(type);
}

void addVariableString(long long file)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    const char *text = "text";
    addSet(file, "b", type, H5Screate(H5S_SCALAR), H5P_DEFAULT, static_cast<const void *>(&text), type);
    H5Tclose(type);
}

void addEnumeration(long long file)
{
    const hid_t type = H5Tenum_create(H5T_NATIVE_INT);
    const int one = 1;
    H5Tenum_insert(type, "one", &one);
    addSet(file, "b", type, list(1));
    H5Tclose(type);
}

void addOpaque(long long file)
{
    const hid_t type = H5Tcreate(H5T_OPAQUE, 8);
    addSet(file, "b", type, list(1));
    H5Tclose(type);
}

void addReference(long long file)
{
    addSet(file, "b", H5T_STD_REF_OBJ, list(1));
}

void addUnknownFilter(long long file)
{
    const hid_t creation = chunked(16);
    H5Pset_scaleoffset(creation, H5Z_SO_INT, 4);
    const std::int64_t values[16] = {};
    addSet(file, "b", H5T_STD_I64LE, list(16), creation, values, H5T_NATIVE_INT64);
}

void addHugeEmptySet(long long file)
{
    // No storage is written for it: the image stays small, reading it would take 8 TB.
    const hid_t creation = chunked(1024);
    addSet(file, "b", H5T_IEEE_F64LE, list(hsize_t{1} << 40), creation);
}

void addBomb(long long file)
{
    const hsize_t size = 16 << 20;
    const hid_t creation = chunked(size);
    H5Pset_deflate(creation, 9);
    const std::vector<double> zeros(size);
    addSet(file, "b", H5T_IEEE_F64LE, list(size), creation, zeros.data(), H5T_NATIVE_DOUBLE);
}

void addVirtualSet(long long file)
{
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hid_t source = list(4);
    const hid_t target = list(4);
    H5Pset_virtual(creation, target, "/etc/hostname", "/x", source);
    H5Sclose(source);
    addSet(file, "b", H5T_STD_I8LE, target, creation);
}

void addCommittedType(long long file)
{
    const hid_t type = H5Tcopy(H5T_NATIVE_INT);
    H5Tcommit2(file, "b", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Tclose(type);
}

void addOddName(long long file)
{
    H5Gclose(H5Gcreate2(file, "bad\nname", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

void addForeignNumbers(long long file)
{
    const std::int64_t integers[3] = {1, -2, 300};
    const double numbers[4] = {0.5, -1.25, 3, 1e30};
    addSet(file, "big_endian", H5T_STD_I16BE, list(3), H5P_DEFAULT, integers, H5T_NATIVE_INT64);
    addSet(file, "single", H5T_IEEE_F32BE, H5Screate(H5S_SCALAR), H5P_DEFAULT, numbers, H5T_NATIVE_DOUBLE);
    const hid_t creation = chunked(4);
    H5Pset_shuffle(creation);
    H5Pset_deflate(creation, 6);
    H5Pset_fletcher32(creation);
    addSet(file, "deflated", H5T_IEEE_F64BE, list(4), creation, numbers, H5T_NATIVE_DOUBLE);
}

}  // namespace lqer::test
