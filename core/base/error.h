// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace lqer {

enum class ErrorCode {
    Argument,     // a value the caller chose is out of range or unknown
    NotFound,     // file, tensor or layer that is not there
    Io,           // reading or writing failed
    DiskFull,     // no room for what has to be written
    Format,       // a file breaks the rules of its format
    Shape,        // dimensions that do not fit together
    Unsupported,  // valid, but not something this program can do
    Numeric,      // NaN, infinity or a decomposition that did not converge
    Memory,       // more memory needed than there is
    Conflict,     // somebody else holds it, or it would overwrite something
};

// Everything that can go wrong outside our own code: bad file, unsupported model, numerical breakdown.
// what() reads "<file>, <where>: <what is wrong>" with empty parts left out, control characters escaped.
// A broken contract inside our code is an LQER_ASSERT instead (check.h).
class Error : public std::runtime_error {
public:
    Error(ErrorCode code, const std::string &message);
    // file: path as the user gave it; where: "tensor 'x'", "line 3", "key 'hidden_size'", "byte 17".
    Error(ErrorCode code, std::string_view file, std::string_view where, std::string_view message);

    ErrorCode code() const noexcept { return m_code; }

private:
    ErrorCode m_code;
};

// Thrown when work stops because somebody asked for it. Not an Error on purpose: nothing is wrong.
class Cancelled : public std::exception {
public:
    const char *what() const noexcept override { return "cancelled"; }
};

// One-word name of the code ("format", "disk-full"), for machine-readable output.
std::string_view toString(ErrorCode code);

}  // namespace lqer
