// SPDX-License-Identifier: Apache-2.0
#include "core/io/line_reader.h"

#include <zlib.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/file.h"

namespace lqer {

namespace {

constexpr std::size_t pieceBytes = 1 << 16;
constexpr std::size_t longestLine = 64U << 20;

// The bytes of a file from first to last.
class Bytes {
public:
    virtual ~Bytes() = default;
    // The next bytes, at most a piece; empty at the end. Valid until the next call.
    virtual std::string_view next() = 0;
};

class PlainBytes final : public Bytes {
public:
    explicit PlainBytes(const InputFile &file) : m_file(file), m_piece(pieceBytes) {}

    std::string_view next() override
    {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(pieceBytes, m_file.size() - m_at));
        m_file.read(m_at, std::as_writable_bytes(std::span(m_piece).first(count)));
        m_at += count;
        return {m_piece.data(), count};
    }

private:
    const InputFile &m_file;
    std::vector<char> m_piece;
    std::uint64_t m_at = 0;
};

class GzipBytes final : public Bytes {
public:
    explicit GzipBytes(const InputFile &file) : m_file(file), m_packed(file), m_piece(pieceBytes)
    {
        constexpr int gzipOnly = 16 + MAX_WBITS;
        if (inflateInit2(&m_stream, gzipOnly) != Z_OK)
            throw Error(ErrorCode::Memory, file.path(), {}, "no memory for decompressing");
    }
    ~GzipBytes() override { inflateEnd(&m_stream); }
    GzipBytes(const GzipBytes &) = delete;
    GzipBytes &operator=(const GzipBytes &) = delete;

    std::string_view next() override
    {
        m_stream.next_out = reinterpret_cast<Bytef *>(m_piece.data());
        m_stream.avail_out = static_cast<uInt>(m_piece.size());
        while (m_stream.avail_out > 0) {
            if (m_stream.avail_in == 0) {
                const std::string_view packed = m_packed.next();
                if (packed.empty())
                    break;
                m_stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(packed.data()));  // zlib reads it only
                m_stream.avail_in = static_cast<uInt>(packed.size());
            }
            if (!m_insideMember)
                inflateReset(&m_stream);
            m_insideMember = true;
            const int status = inflate(&m_stream, Z_NO_FLUSH);
            if (status == Z_STREAM_END)
                m_insideMember = false;
            else if (status != Z_OK)
                throw Error(ErrorCode::Format, m_file.path(), {}, "the compressed data are damaged");
        }
        const std::size_t count = m_piece.size() - m_stream.avail_out;
        if (count == 0 && m_insideMember)
            throw Error(ErrorCode::Format, m_file.path(), {}, "the compressed data are cut short");
        return {m_piece.data(), count};
    }

private:
    const InputFile &m_file;
    PlainBytes m_packed;
    std::vector<char> m_piece;
    z_stream m_stream{};
    bool m_insideMember = true;
};

}  // namespace

struct LineReader::State {
    explicit State(const std::string &path) : file(path)
    {
        if (path.ends_with(".gz"))
            source = std::make_unique<GzipBytes>(file);
        else
            source = std::make_unique<PlainBytes>(file);
    }

    InputFile file;
    std::unique_ptr<Bytes> source;
    std::string_view rest;  // of the piece, not handed out yet
    std::int64_t number = 0;
    std::uint64_t bytes = 0;
};

LineReader::LineReader(const std::string &path) : m_state(std::make_unique<State>(path)) {}
LineReader::~LineReader() = default;

bool LineReader::next(std::string &line)
{
    State &state = *m_state;
    line.clear();
    for (bool ended = false; !ended;) {
        if (state.rest.empty())
            state.rest = state.source->next();
        if (state.rest.empty())
            break;
        const std::size_t feed = state.rest.find('\n');
        ended = feed != std::string_view::npos;
        const std::size_t count = ended ? feed + 1 : state.rest.size();
        if (count > longestLine - line.size())
            throw Error(ErrorCode::Format, state.file.path(), fmt::format("line {}", state.number + 1),
                        fmt::format("is longer than {}", formatBytes(static_cast<double>(longestLine))));
        line += state.rest.substr(0, count);
        state.rest.remove_prefix(count);
    }
    if (line.empty())
        return false;
    ++state.number;
    std::size_t badByte = 0;
    if (!isValidUtf8(line, &badByte))
        throw Error(ErrorCode::Format, state.file.path(), fmt::format("line {}, byte {}", state.number, state.bytes + badByte), "invalid UTF-8");
    state.bytes += line.size();
    return true;
}

std::int64_t LineReader::number() const { return m_state->number; }
std::uint64_t LineReader::bytes() const { return m_state->bytes; }
std::string LineReader::place() const { return fmt::format("{}, line {}", m_state->file.path(), m_state->number); }

bool hasEnding(std::string_view path, std::string_view ending)
{
    if (path.ends_with(".gz"))
        path.remove_suffix(3);
    return path.ends_with(ending);
}

}  // namespace lqer
