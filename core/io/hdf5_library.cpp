// SPDX-License-Identifier: Apache-2.0
#include "core/io/hdf5_library.h"

#include <new>

#include "core/base/text.h"

namespace lqer {

std::mutex &hdf5Mutex()
{
    static std::mutex mutex;
    return mutex;
}

void prepareHdf5()
{
    H5open();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // errors are ours to word
    H5PLset_loading_state(0);                     // no filter plug-ins
}

hid_t requireHdf5(hid_t id)
{
    if (id < 0)
        throw std::bad_alloc();
    return id;
}

bool isHdf5Name(std::string_view name)
{
    constexpr std::size_t nameLimit = 512;
    if (name.empty() || name.size() > nameLimit || name == "." || name == ".." || !isValidUtf8(name))
        return false;
    for (const char c : name)
        if (c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
            return false;
    return true;
}

Hdf5Handle hdf5StringType(std::size_t size)
{
    const hid_t type = requireHdf5(H5Tcopy(H5T_C_S1));
    H5Tset_size(type, size);
    H5Tset_cset(type, H5T_CSET_UTF8);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    return {type, H5Tclose};
}

}  // namespace lqer
