// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace lqer {

// A text file line by line, in the memory of its longest line. A file whose name ends in ".gz" is decompressed on the way (several members behind
// one another too), so that the first rows of a large one cost little.
class LineReader {
public:
    // Throws what InputFile throws.
    explicit LineReader(const std::string &path);
    ~LineReader();
    LineReader(const LineReader &) = delete;
    LineReader &operator=(const LineReader &) = delete;

    // The next line with its line feed, which the last one may lack; false at the end. Throws Error(Format) naming the line for text that is not
    // UTF-8 (the byte counts from the start of the text), a line above 64 MiB, or compressed data that are damaged or cut short.
    bool next(std::string &line);
    // Of the line that next() gave last, from 1.
    std::int64_t number() const;
    // "PATH, line N", for messages about that line.
    std::string place() const;
    // Bytes of text up to the end of that line, line feeds included.
    std::uint64_t bytes() const;

private:
    struct State;
    std::unique_ptr<State> m_state;
};

// Whether a file's name ends in `ending`, with or without ".gz" behind it.
bool hasEnding(std::string_view path, std::string_view ending);

}  // namespace lqer
