// SPDX-License-Identifier: Apache-2.0
#include "core/io/npy.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/atomic_file.h"
#include "core/io/file.h"

namespace lqer {

namespace {

// Layout: magic, u8 major, u8 minor, header length (u16 in version 1, u32 later; little endian), a Python dict in text,
// the elements. Source: numpy/lib/format.py.
constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t versionEnd = 8;
constexpr std::uint64_t largestHeader = 1 << 20;
constexpr std::size_t mostDimensions = 32;  // as in NumPy 1
constexpr std::size_t alignment = 64;

struct Descriptor {
    std::string_view text;
    DType dtype;
};

constexpr Descriptor descriptors[] = {
    {"<f8", DType::F64}, {"<f4", DType::F32}, {"<f2", DType::F16}, {"<i8", DType::I64}, {"<i4", DType::I32},
    {"<i2", DType::I16}, {"|i1", DType::I8},  {"<u8", DType::U64}, {"<u4", DType::U32}, {"<u2", DType::U16},
    {"|u1", DType::U8},  {"|b1", DType::Bool},
};

DType dtypeOf(const std::string &descriptor, const std::string &file)
{
    for (const Descriptor &known : descriptors)
        if (known.text == descriptor)
            return known.dtype;
    const auto fail = [&](std::string_view why) {
        throw Error(ErrorCode::Unsupported, file, {}, fmt::format("element type '{}' {}", escaped(descriptor, 60), why));
    };
    if (descriptor.find('O') != std::string::npos)
        fail("means pickled Python objects, which can run programs when loaded: refused");
    if (descriptor.starts_with('>'))
        fail("is big-endian, little-endian was expected");
    fail("is not supported");
    return DType::F32;
}

struct Header {
    std::string descriptor;
    bool columnMajor = false;
    Shape shape;
};

// The one dict that NumPy writes: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } in any order of keys.
class HeaderParser {
public:
    HeaderParser(std::string_view text, const std::string &file) : m_text(text), m_file(file) {}

    Header parse()
    {
        std::optional<std::string> descriptor;
        std::optional<bool> columnMajor;
        std::optional<Shape> shape;
        expect('{');
        while (!take('}')) {
            const std::string key = quoted();
            expect(':');
            if (key == "descr" && !descriptor)
                descriptor = quotedDescriptor();
            else if (key == "fortran_order" && !columnMajor)
                columnMajor = truth();
            else if (key == "shape" && !shape)
                shape = tuple();
            else
                fail(fmt::format("key '{}' is unknown or there twice", escaped(key, 60)));
            if (!take(',')) {
                expect('}');
                break;
            }
        }
        skipSpace();
        if (m_at != m_text.size())
            fail("text after the end");
        if (!descriptor || !columnMajor || !shape)
            fail("lacks one of 'descr', 'fortran_order', 'shape'");
        return {*descriptor, *columnMajor, *shape};
    }

private:
    [[noreturn]] void fail(const std::string &message) const
    {
        throw Error(ErrorCode::Format, m_file, fmt::format("header byte {}", m_at), message);
    }
    void skipSpace()
    {
        while (m_at < m_text.size() && (m_text[m_at] == ' ' || m_text[m_at] == '\n'))
            ++m_at;
    }
    bool take(char c)
    {
        skipSpace();
        if (m_at == m_text.size() || m_text[m_at] != c)
            return false;
        ++m_at;
        return true;
    }
    void expect(char c)
    {
        if (!take(c))
            fail(fmt::format("'{}' was expected", c));
    }
    std::string quoted()
    {
        const char quote = take('\'') ? '\'' : '"';
        if (quote == '"')
            expect('"');
        const std::size_t end = m_text.find(quote, m_at);
        if (end == std::string_view::npos)
            fail("the quoted text never ends");
        const std::string text(m_text.substr(m_at, end - m_at));
        m_at = end + 1;
        return text;
    }
    std::string quotedDescriptor()
    {
        skipSpace();
        if (m_at < m_text.size() && m_text[m_at] == '[')
            throw Error(ErrorCode::Unsupported, m_file, {}, "is an array of records, plain numbers were expected");
        return quoted();
    }
    bool truth()
    {
        skipSpace();
        for (const std::string_view word : {"True", "False"}) {
            if (m_text.substr(m_at).starts_with(word)) {
                m_at += word.size();
                return word == "True";
            }
        }
        fail("True or False was expected");
    }
    Shape tuple()
    {
        Shape shape;
        expect('(');
        while (!take(')')) {
            skipSpace();
            std::int64_t extent = 0;
            const auto [end, error] = std::from_chars(m_text.data() + m_at, m_text.data() + m_text.size(), extent);
            if (error != std::errc() || extent < 0)
                fail("the shape must be whole numbers >= 0");
            m_at = static_cast<std::size_t>(end - m_text.data());
            shape.push_back(extent);
            if (shape.size() > mostDimensions)
                fail(fmt::format("more than {} dimensions", mostDimensions));
            if (!take(',')) {
                expect(')');
                // "(3)" is a number in Python, not a tuple.
                if (shape.size() == 1)
                    fail("the shape must be a tuple");
                break;
            }
        }
        return shape;
    }

    std::string_view m_text;
    const std::string &m_file;
    std::size_t m_at = 0;
};

struct Location {
    Header header;
    std::uint64_t dataOffset = 0;
};

Location readHeader(const InputFile &file)
{
    std::vector<std::byte> head(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), 512)));
    file.read(0, head);
    const auto byteAt = [&](std::size_t i) { return static_cast<std::uint32_t>(head[i]); };
    const auto fail = [&](const std::string &message) { throw Error(ErrorCode::Format, file.path(), {}, message); };

    if (head.empty())
        fail("is empty (0 bytes): interrupted download?");
    if (std::string_view(reinterpret_cast<const char *>(head.data()), head.size()).substr(0, magic.size()) != magic) {
        const std::string found = recognisedContent(head);
        fail(found.empty() ? "is not a NumPy array (.npy)" : fmt::format("is {}", found));
    }
    if (head.size() < versionEnd + 4)
        fail("ends in the middle of its header (interrupted download?)");
    const std::uint32_t major = byteAt(6);
    if (major < 1 || major > 3 || byteAt(7) != 0)
        throw Error(ErrorCode::Unsupported, file.path(), {}, fmt::format("has format version {}.{}, known are 1.0 to 3.0", major, byteAt(7)));
    const std::size_t lengthBytes = major == 1 ? 2 : 4;
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < lengthBytes; ++i)
        length |= static_cast<std::uint64_t>(byteAt(versionEnd + i)) << (8 * i);
    const std::uint64_t dataOffset = versionEnd + lengthBytes + length;
    if (dataOffset > file.size())
        fail(fmt::format("header says {} bytes, file has {} (truncated?)", length, file.size() - versionEnd - lengthBytes));
    if (length > largestHeader)
        fail(fmt::format("header says {} bytes, more than {}", length, largestHeader));
    std::string text(static_cast<std::size_t>(length), '\0');
    file.read(versionEnd + lengthBytes, std::as_writable_bytes(std::span(text)));
    return {HeaderParser(text, file.path()).parse(), dataOffset};
}

}  // namespace

Tensor readNpy(const std::string &path)
{
    const InputFile file(path);
    const auto [header, dataOffset] = readHeader(file);
    const DType dtype = dtypeOf(header.descriptor, path);
    if (header.columnMajor)
        throw Error(ErrorCode::Unsupported, path, {}, "is in Fortran order, C order was expected");
    std::int64_t bytes = static_cast<std::int64_t>(itemSize(dtype));
    for (const std::int64_t extent : header.shape)
        if (__builtin_mul_overflow(bytes, extent, &bytes))
            throw Error(ErrorCode::Format, path, {}, fmt::format("shape {} overflows", toString(header.shape)));
    if (static_cast<std::uint64_t>(bytes) != file.size() - dataOffset)
        throw Error(ErrorCode::Format, path, {},
                    fmt::format("{} {} takes {} bytes, {} lie behind the header", toString(dtype), toString(header.shape), bytes,
                                file.size() - dataOffset));
    Tensor tensor(dtype, header.shape);
    file.read(dataOffset, tensor.bytes());
    return tensor;
}

void writeNpy(const std::string &path, const Tensor &tensor)
{
    const auto known = std::find_if(std::begin(descriptors), std::end(descriptors),
                                    [&](const Descriptor &descriptor) { return descriptor.dtype == tensor.dtype(); });
    if (known == std::end(descriptors))
        throw Error(ErrorCode::Unsupported, path, {}, fmt::format("NumPy has no element type for {}", toString(tensor.dtype())));
    const Shape &shape = tensor.shape();
    std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", known->text,
                                     fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
    constexpr std::size_t prefix = versionEnd + 2;
    header.append((alignment - (prefix + header.size() + 1) % alignment) % alignment, ' ');
    header += '\n';

    std::string start(magic);
    start += {'\x01', '\x00', static_cast<char>(header.size() & 0xFF), static_cast<char>(header.size() >> 8)};
    start += header;
    AtomicFile file(path, start.size() + tensor.bytes().size());
    file.write(start);
    file.write(tensor.bytes());
    file.commit();
}

}  // namespace lqer
