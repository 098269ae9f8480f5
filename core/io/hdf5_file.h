// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/tensor/shape.h"

namespace lqer {

class AtomicFile;
class InputFile;

// An HDF5 file written piece by piece, so that it may be larger than memory. The library never touches the disk: its driver is ours and
// hands every byte to an AtomicFile, so a full disk is this program's Error and leaves nothing behind. Arrays go through at once; what
// stays in memory is structure, some kilobytes per array.
//
// Paths: names (hdf5_image.h) with '/' between them, without one in front; groups on the way are made. "" is the root. What is wrong with a
// path, or there already, is a broken contract. Used from one thread. Throws what AtomicFile throws.
class Hdf5FileWriter {
public:
    // `file` is fresh, outlives the writer and is committed by the caller, after close().
    explicit Hdf5FileWriter(AtomicFile &file);
    ~Hdf5FileWriter();
    Hdf5FileWriter(const Hdf5FileWriter &) = delete;
    Hdf5FileWriter &operator=(const Hdf5FileWriter &) = delete;

    // Chunked: shuffled and deflated in pieces of at most 256 KiB, for what repeats itself; memory for one piece.
    enum class Storage { Plain, Deflated };
    // Row-major, stored little-endian in the type it has here. Number: uint8_t, uint64_t, float, double.
    template <typename Number>
    void array(const std::string &path, std::span<const Number> values, const Shape &shape, Storage storage = Storage::Plain);
    // One fixed-length UTF-8 string, without NUL bytes.
    void text(const std::string &path, const std::string &text);

    using Attribute = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>>;
    // Of a group (made if it is not there) or an array. Texts are variable-length UTF-8 strings, which h5py reads as str.
    void attribute(const std::string &path, const std::string &name, const Attribute &value);

    void close();

private:
    struct State;
    std::unique_ptr<State> m_state;
};

// What an array of an HDF5 file is, by path.
struct Hdf5ArrayInfo {
    std::string type;  // "uint8", "uint64", "float32", "float64", "text", "other"
    Shape shape;
    friend bool operator==(const Hdf5ArrayInfo &, const Hdf5ArrayInfo &) = default;
};
// Every array of a file that this program wrote a moment ago: structure only, read through our own driver. Not for files of others. Throws
// Error(Format).
std::map<std::string, Hdf5ArrayInfo> listHdf5Arrays(const InputFile &file);

}  // namespace lqer
