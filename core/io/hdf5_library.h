// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <string>
#include <string_view>

#define H5_USE_110_API
#include <hdf5.h>

// What the files of this folder that call libhdf5 share. Included by them alone.
namespace lqer {

// All HDF5 calls happen under this lock.
std::mutex &hdf5Mutex();
// No messages of the library's own, no plug-ins.
void prepareHdf5();

class Hdf5Handle {
public:
    using Close = herr_t (*)(hid_t);
    Hdf5Handle(hid_t id, Close close) : m_id(id), m_close(close) {}
    ~Hdf5Handle()
    {
        if (m_id >= 0)
            m_close(m_id);
    }
    Hdf5Handle(const Hdf5Handle &) = delete;
    Hdf5Handle &operator=(const Hdf5Handle &) = delete;
    operator hid_t() const { return m_id; }
    bool isValid() const { return m_id >= 0; }

private:
    hid_t m_id;
    Close m_close;
};

// The identifier. A failure to build something of our own in memory has no cause in any input: std::bad_alloc.
hid_t requireHdf5(hid_t id);
// One part of a path: UTF-8 without '/', control characters and "." or ".."; at most 512 bytes.
bool isHdf5Name(std::string_view name);
// UTF-8 of `size` bytes, or H5T_VARIABLE.
Hdf5Handle hdf5StringType(std::size_t size);

}  // namespace lqer
