// SPDX-License-Identifier: Apache-2.0
#include "core/text/byte_level.h"

#include <array>

#include "core/text/unicode.h"

namespace lqer {

namespace {

struct ByteTable {
    std::array<std::string, 256> characterOf;
    std::array<int, 0x144> byteOf;

    ByteTable()
    {
        byteOf.fill(-1);
        char32_t next = 0x100;
        for (int byte = 0; byte < 256; ++byte) {
            const bool prints = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
            const char32_t character = prints ? static_cast<char32_t>(byte) : next++;
            appendCharacter(characterOf[static_cast<std::size_t>(byte)], character);
            byteOf[character] = byte;
        }
    }
};

const ByteTable &byteTable()
{
    static const ByteTable table;
    return table;
}

}  // namespace

std::string bytesToCharacters(std::string_view bytes)
{
    const ByteTable &table = byteTable();
    std::string text;
    text.reserve(bytes.size() + bytes.size() / 4);
    for (const char byte : bytes)
        text += table.characterOf[static_cast<unsigned char>(byte)];
    return text;
}

bool appendBytes(std::string_view text, std::string &bytes)
{
    const ByteTable &table = byteTable();
    const std::size_t before = bytes.size();
    for (std::size_t i = 0; i < text.size();) {
        const char32_t character = nextCharacter(text, i);
        if (character >= table.byteOf.size() || table.byteOf[character] < 0) {
            bytes.resize(before);
            return false;
        }
        bytes += static_cast<char>(table.byteOf[character]);
    }
    return true;
}

}  // namespace lqer
