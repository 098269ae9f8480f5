// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/io/atomic_file.h"
#include "core/io/file.h"
#include "core/tensor/tensor.h"

namespace lqer {

// GGUF, the file format of llama.cpp: magic, version, counts; keys with typed values; names, shapes, types and offsets of
// tensors; padding to `general.alignment`; the tensors' bytes, each padded to the alignment. All little-endian.

// Element types of tensors by their number in the file (enum ggml_type). Numbers missing here were removed from the format.
enum class GgmlType : std::uint32_t {
    F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q8_1 = 9,
    Q2_K = 10, Q3_K = 11, Q4_K = 12, Q5_K = 13, Q6_K = 14, Q8_K = 15,
    IQ2_XXS = 16, IQ2_XS = 17, IQ3_XXS = 18, IQ1_S = 19, IQ4_NL = 20, IQ3_S = 21, IQ2_S = 22, IQ4_XS = 23,
    I8 = 24, I16 = 25, I32 = 26, I64 = 27, F64 = 28, IQ1_M = 29, BF16 = 30, TQ1_0 = 34, TQ2_0 = 35,
    MXFP4 = 39, NVFP4 = 40, Q1_0 = 41, Q2_0 = 42,
};

// Elements are stored in blocks along the innermost dimension, which must be a multiple of `elements`.
struct GgmlBlock {
    std::int64_t elements = 1;
    std::uint64_t bytes = 0;

    double bitsPerElement() const { return 8.0 * static_cast<double>(bytes) / static_cast<double>(elements); }
};
GgmlBlock ggmlBlock(GgmlType type);
// "Q4_0", as llama.cpp prints it.
std::string_view toString(GgmlType type);
// Bytes of a tensor; nothing if the shape overflows, has a negative extent or rows that are not whole blocks.
std::optional<std::uint64_t> ggmlBytes(GgmlType type, const Shape &shape);

// The alternative's index is the number of its type in the file.
using GgufArray = std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                               std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
                               std::vector<float>, std::vector<bool>, std::vector<std::string>,
                               std::monostate /* array of arrays: never */, std::vector<std::uint64_t>, std::vector<std::int64_t>,
                               std::vector<double>>;
using GgufValue = std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, float, bool,
                               std::string, GgufArray, std::uint64_t, std::int64_t, double>;
using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;  // in the order of the file, keys unique

struct GgufTensor {
    std::string name;
    GgmlType type = GgmlType::F32;
    Shape shape = {};          // outermost first, as everywhere here; the file has them innermost first
    std::uint64_t offset = 0;  // of the first byte, from the beginning of the file
    std::uint64_t bytes = 0;
};

// One GGUF file of version 2 or 3, checked as strictly as llama.cpp's reader does and more (reliability.md 4 GG): every length
// against the bytes that remain before anything is allocated, no duplicates, no overlap, no hole, nothing behind the last tensor.
class GgufFile {
public:
    // Throws Error(Format) that names key or tensor and byte. Error(Unsupported): one part of a split model, version 1.
    explicit GgufFile(const std::string &path);

    const std::string &path() const { return m_file->path(); }
    const InputFile &file() const { return *m_file; }
    std::uint32_t version() const { return m_version; }
    const GgufMetadata &metadata() const { return m_metadata; }
    const std::vector<GgufTensor> &tensors() const { return m_tensors; }
    const GgufTensor *findTensor(std::string_view name) const;

    // Null if there is no such key.
    const GgufValue *find(std::string_view key) const;
    // Typed access; Error(Format) naming the key if it is missing or has another type.
    const std::string &text(std::string_view key) const;
    std::int64_t integer(std::string_view key) const;  // any whole number type that holds the value
    double real(std::string_view key) const;           // float32 or float64
    template <typename T>
    const std::vector<T> &array(std::string_view key) const
    {
        const GgufArray *values = arrayOf(key);
        if (!values || !std::holds_alternative<std::vector<T>>(*values))
            failType(key, GgufArray(std::vector<T>()));
        return std::get<std::vector<T>>(*values);
    }

    // The stored bytes, whatever the type.
    std::vector<std::byte> readBytes(const GgufTensor &tensor) const;
    // A tensor of a type without blocks (F32, F16, BF16, F64, I8 ... I64) as it is; Error(Unsupported) for the others, which
    // quant/ggml_blocks.h decodes.
    Tensor read(const GgufTensor &tensor) const;

private:
    const GgufValue &require(std::string_view key) const;
    const GgufArray *arrayOf(std::string_view key) const;
    [[noreturn]] void failType(std::string_view key, const GgufValue &wanted) const;

    std::shared_ptr<const InputFile> m_file;
    std::uint32_t m_version = 0;
    GgufMetadata m_metadata;
    std::map<std::string, std::size_t, std::less<>> m_keys;
    std::vector<GgufTensor> m_tensors;
    std::map<std::string, std::size_t, std::less<>> m_names;
};

// Size of the file that GgufWriter makes of these.
std::uint64_t ggufFileBytes(const GgufMetadata &metadata, const std::vector<GgufTensor> &tensors);

// Writes version 3 with an alignment of 32 bytes: everything but the tensors' bytes when it is made, then those in order. Nothing
// is held in memory; nothing stands under the path before finished() was committed.
class GgufWriter {
public:
    // tensors: name, type and shape count; offset and bytes are computed. Throws Error(Argument) for a name of 64 bytes or more,
    // a duplicate, a shape that the type cannot hold or one of more than four dimensions; AtomicFile's errors.
    GgufWriter(const std::string &path, const GgufMetadata &metadata, std::vector<GgufTensor> tensors);

    const std::vector<GgufTensor> &tensors() const { return m_tensors; }
    std::uint64_t bytes() const { return m_bytes; }  // of the whole file
    // The next bytes of the tensor that is due; a tensor may come in several pieces.
    void write(std::span<const std::byte> bytes);
    // The file with every tensor in it, to be committed; asserts that none is missing.
    AtomicFile &finished();

private:
    std::vector<GgufTensor> m_tensors;
    std::uint64_t m_bytes = 0;
    std::size_t m_due = 0;  // tensor whose bytes come next
    std::unique_ptr<AtomicFile> m_file;
};

}  // namespace lqer
