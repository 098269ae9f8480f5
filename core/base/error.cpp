// SPDX-License-Identifier: Apache-2.0
#include "core/base/error.h"

#include "core/base/text.h"

namespace lqer {

namespace {

std::string compose(std::string_view file, std::string_view where, std::string_view message)
{
    std::string text = escaped(file, 400);
    if (!where.empty()) {
        text += text.empty() ? "" : ", ";
        text += escaped(where, 300);
    }
    text += text.empty() ? "" : ": ";
    text += escaped(message, 2000);
    return text;
}

}  // namespace

Error::Error(ErrorCode code, const std::string &message) : std::runtime_error(escaped(message, 2000)), m_code(code) {}

Error::Error(ErrorCode code, std::string_view file, std::string_view where, std::string_view message)
    : std::runtime_error(compose(file, where, message)), m_code(code)
{
}

std::string_view toString(ErrorCode code)
{
    switch (code) {
    case ErrorCode::Argument: return "argument";
    case ErrorCode::NotFound: return "not-found";
    case ErrorCode::Io: return "io";
    case ErrorCode::DiskFull: return "disk-full";
    case ErrorCode::Format: return "format";
    case ErrorCode::Shape: return "shape";
    case ErrorCode::Unsupported: return "unsupported";
    case ErrorCode::Numeric: return "numeric";
    case ErrorCode::Memory: return "memory";
    case ErrorCode::Conflict: return "conflict";
    }
    return "unknown";
}

}  // namespace lqer
