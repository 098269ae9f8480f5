// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <QString>
#include <QVariantMap>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/tensor/matrix.h"

// A second reader of GGUF files, written from the format's description: it shares nothing with the code that writes them. It
// reads files that are in order; faults throw std::runtime_error.
namespace lqer::test {

struct ForeignGgufTensor {
    std::uint32_t type = 0;
    std::vector<std::int64_t> shape;  // outermost first
    std::vector<float> values;

    Matrix matrix() const;  // two dimensions
};

struct ForeignGguf {
    QVariantMap keys;  // whole numbers as qlonglong, floats as double, strings, bools, lists
    std::map<std::string, ForeignGgufTensor> tensors;
    std::vector<std::string> order;
};

ForeignGguf readForeignGguf(const QString &path);

// One block of a type, by its number in the file.
std::vector<float> readGgmlBlock(std::uint32_t type, const std::uint8_t *block);

}  // namespace lqer::test
