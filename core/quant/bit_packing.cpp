// SPDX-License-Identifier: Apache-2.0
#include "core/quant/bit_packing.h"

#include <cstring>

#include "core/base/check.h"

namespace lqer {

CodeWriter::CodeWriter(std::vector<std::uint8_t> &bytes, std::uint64_t count, int bits)
    : m_bytes(bytes), m_next(bytes.size()), m_bits(bits)
{
    LQER_ASSERT(bits >= 1 && bits <= 32);
    m_bytes.resize(m_bytes.size() + packedBytes(count, bits));
}

void CodeWriter::finish()
{
    if (m_pendingBits > 0)
        m_bytes[m_next++] = static_cast<std::uint8_t>(m_pending);
    LQER_ASSERT(m_next == m_bytes.size());
}

std::vector<std::uint8_t> packCodes(std::span<const std::uint32_t> codes, int bits)
{
    std::vector<std::uint8_t> bytes;
    CodeWriter writer(bytes, codes.size(), bits);
    for (const std::uint32_t code : codes)
        writer.put(code);
    writer.finish();
    return bytes;
}

std::uint32_t unpackCode(std::span<const std::uint8_t> bytes, int bits, std::size_t index)
{
    LQER_ASSERT(bits >= 1 && bits <= 32);
    const std::size_t firstBit = index * static_cast<std::size_t>(bits);
    const std::size_t firstByte = firstBit / 8;
    const std::size_t lastByte = (firstBit + static_cast<std::size_t>(bits) - 1) / 8;
    LQER_ASSERT(lastByte < bytes.size());
    std::uint64_t window = 0;
    for (std::size_t byte = firstByte; byte <= lastByte; ++byte)
        window |= static_cast<std::uint64_t>(bytes[byte]) << (8 * (byte - firstByte));
    return static_cast<std::uint32_t>((window >> (firstBit % 8)) & ((1ULL << bits) - 1));
}

void unpackCodes(std::span<const std::uint8_t> bytes, int bits, std::size_t first, std::span<std::uint32_t> codes)
{
    if (codes.empty())
        return;
    LQER_ASSERT(bits >= 1 && bits <= 32);
    const std::uint64_t mask = (1ULL << bits) - 1;
    const std::size_t firstBit = first * static_cast<std::size_t>(bits);
    LQER_ASSERT((firstBit + codes.size() * static_cast<std::size_t>(bits) + 7) / 8 <= bytes.size());
    std::size_t byte = firstBit / 8;
    std::uint64_t window = static_cast<std::uint64_t>(bytes[byte++]) >> (firstBit % 8);
    int available = 8 - static_cast<int>(firstBit % 8);
    for (std::uint32_t &code : codes) {
        while (available < bits) {
            window |= static_cast<std::uint64_t>(bytes[byte++]) << available;
            available += 8;
        }
        code = static_cast<std::uint32_t>(window & mask);
        window >>= bits;
        available -= bits;
    }
}

void appendFloat(std::vector<std::uint8_t> &bytes, float value)
{
    std::uint8_t raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes.insert(bytes.end(), raw, raw + sizeof value);
}

float floatAt(std::span<const std::uint8_t> bytes, std::size_t index)
{
    float value;
    LQER_ASSERT((index + 1) * sizeof value <= bytes.size());
    std::memcpy(&value, bytes.data() + index * sizeof value, sizeof value);
    return value;
}

void appendHalf(std::vector<std::uint8_t> &bytes, std::uint16_t bits)
{
    bytes.push_back(static_cast<std::uint8_t>(bits));
    bytes.push_back(static_cast<std::uint8_t>(bits >> 8));
}

std::uint16_t halfAt(std::span<const std::uint8_t> bytes, std::size_t index)
{
    LQER_ASSERT((index + 1) * 2 <= bytes.size());
    return static_cast<std::uint16_t>(bytes[2 * index] | (bytes[2 * index + 1] << 8));
}

}  // namespace lqer
