// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.hpp>

#include "core/base/error.h"
#include "core/linalg/onednn.h"
#include "core/tensor/matrix.h"

// What the users of oneDNN's primitives share. Included by sources of this folder only.
namespace lqer {

inline const dnnl::engine &oneDnnProcessor()
{
    static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    return engine;
}

// Row-major, (rows, columns).
inline dnnl::memory::desc oneDnnRows(Index rows, Index columns, dnnl::memory::data_type type, Index stride)
{
    return {{rows, columns}, type, dnnl::memory::dims{stride, 1}};
}

// Runs work() for a matrix (rows, columns); dnnl::error becomes Error.
template <typename Work>
auto oneDnnGuarded(std::string_view what, Index rows, Index columns, const Work &work)
{
    const OneDnnCall call;
    try {
        return work();
    } catch (const dnnl::error &error) {
        if (error.status == dnnl_out_of_memory)
            throw Error(ErrorCode::Memory, fmt::format("not enough memory for {} of {}x{}", what, rows, columns));
        throw Error(ErrorCode::Numeric, fmt::format("product with {} of {}x{} failed: {}", what, rows, columns, error.what()));
    }
}

}  // namespace lqer
