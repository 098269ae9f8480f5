// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lqer {

// Codes of `bits` bits (1 to 32) one after another, the first in the lowest bits of the first byte; the last byte is padded
// with zeros.

constexpr std::uint64_t packedBytes(std::uint64_t count, int bits)
{
    // count * bits may not fit 64 bits for absurd counts; whole groups of eight codes fill `bits` bytes.
    const auto width = static_cast<std::uint64_t>(bits);
    return count / 8 * width + (count % 8 * width + 7) / 8;
}

// Appends `count` codes to a byte array, in order.
class CodeWriter {
public:
    CodeWriter(std::vector<std::uint8_t> &bytes, std::uint64_t count, int bits);
    void put(std::uint32_t code)
    {
        m_pending |= static_cast<std::uint64_t>(code) << m_pendingBits;
        m_pendingBits += m_bits;
        while (m_pendingBits >= 8) {
            m_bytes[m_next++] = static_cast<std::uint8_t>(m_pending);
            m_pending >>= 8;
            m_pendingBits -= 8;
        }
    }
    // Writes the padded last byte.
    void finish();

private:
    std::vector<std::uint8_t> &m_bytes;
    std::size_t m_next;
    std::uint64_t m_pending = 0;
    int m_pendingBits = 0;
    int m_bits;
};

std::vector<std::uint8_t> packCodes(std::span<const std::uint32_t> codes, int bits);
std::uint32_t unpackCode(std::span<const std::uint8_t> bytes, int bits, std::size_t index);
// codes[i] = code number first + i.
void unpackCodes(std::span<const std::uint8_t> bytes, int bits, std::size_t first, std::span<std::uint32_t> codes);

// Little-endian scalars at the end of a byte array, and back; index counts scalars.
void appendFloat(std::vector<std::uint8_t> &bytes, float value);
float floatAt(std::span<const std::uint8_t> bytes, std::size_t index);
void appendHalf(std::vector<std::uint8_t> &bytes, std::uint16_t bits);
std::uint16_t halfAt(std::span<const std::uint8_t> bytes, std::size_t index);

}  // namespace lqer
