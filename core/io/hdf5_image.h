// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace lqer {

// What one HDF5 data set of ours holds: a text, a number or a list of numbers.
using Hdf5Value = std::variant<std::string, std::int64_t, double, std::vector<std::int64_t>, std::vector<double>>;

// A group of an HDF5 file as a value. Names: UTF-8 without '/', control characters and "." or ".."; at most 512 bytes.
struct Hdf5Group {
    std::map<std::string, Hdf5Value> values;
    std::map<std::string, Hdf5Group> groups;
    friend bool operator==(const Hdf5Group &, const Hdf5Group &) = default;
};

// An HDF5 file made in memory (core driver): the library never writes to a disk (reliability.md 3.2). The same tree gives the
// same bytes. Texts become fixed-length UTF-8 strings, lists one-dimensional arrays of int64 or float64, numbers scalars; no
// filters. Texts with NUL bytes and bad names are broken contracts. Throws Error(Unsupported) above 512 MiB of values.
std::vector<std::byte> buildHdf5Image(const Hdf5Group &root);

// The tree of an image. Everything in it is untrusted: no plug-ins, external files, soft or external links, virtual data sets,
// attributes are not looked at; filters other than deflate, shuffle and fletcher32, types other than integers, floats and
// fixed-length strings, more than one dimension, groups reached twice or more than 16 deep, and contents larger than 512 MiB or than a
// thousand times the image are refused. A child process reads the image and hands over the tree, so that a fault of the library
// cannot take this program down. Throws Error(Format) with `file` and the path inside.
Hdf5Group readHdf5Image(std::span<const std::byte> image, const std::string &file);

// A group with the place kept for messages. Every access throws Error(Format) with file and path, what was expected and found.
class Hdf5Reader {
public:
    Hdf5Reader(const Hdf5Group &group, std::string file, std::string path = {});

    bool hasGroup(std::string_view name) const;
    bool has(std::string_view name) const;
    Hdf5Reader group(std::string_view name) const;
    std::vector<std::string> groupNames() const;
    std::vector<std::string> valueNames() const;

    const std::string &text(std::string_view name) const;
    std::int64_t integer(std::string_view name, std::int64_t least, std::int64_t most) const;
    double number(std::string_view name) const;  // finite
    // Finite numbers; count < 0: any.
    const std::vector<double> &numbers(std::string_view name, std::int64_t count = -1) const;

    [[noreturn]] void fail(std::string_view name, std::string_view message) const;
    const std::string &path() const { return m_path; }

private:
    const Hdf5Value &value(std::string_view name) const;
    const Hdf5Group *m_group;
    std::string m_file;
    std::string m_path;
};

}  // namespace lqer
