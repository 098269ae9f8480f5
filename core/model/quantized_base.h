// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "core/model/sites.h"
#include "core/tensor/matrix.h"

namespace lqer {

// An existing quantization of a model: W_q of its linear layers is read from it in place of being computed by a number format.
// Immutable, thread-safe; holds no weights.
class QuantizedBase {
public:
    virtual ~QuantizedBase() = default;

    // File or folder.
    virtual const std::string &path() const = 0;
    // For people: "GPTQ, 4 bits, groups of 128".
    virtual const std::string &description() const = 0;
    // Of size, headers and samples over the whole file (fileFingerprint): part of the key of everything that is computed with one.
    virtual const std::string &fingerprint() const = 0;
    // False for a layer that is kept in floating point: then the original's weight is used.
    virtual bool quantizes(const LinearSite &site) const = 0;
    // W_q dequantized, (out, in), of a layer that it quantizes. Throws Error(Io | Format | Numeric) naming file and tensor.
    virtual Matrix weight(const LinearSite &site) const = 0;
    // What W_q takes in the file, scales and zero points included.
    virtual std::uint64_t weightBytes(const LinearSite &site) const = 0;
};

}  // namespace lqer
