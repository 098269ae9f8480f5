// SPDX-License-Identifier: Apache-2.0
#include <QTest>
#include <random>

#include "core/quant/bit_packing.h"

using namespace lqer;

class TestBitPacking : public QObject
{
    Q_OBJECT

private slots:
    void firstCodeLiesInTheLowestBits()
    {
        QCOMPARE(packCodes(std::vector<std::uint32_t>{0x1, 0x2, 0xF}, 4), (std::vector<std::uint8_t>{0x21, 0x0F}));
        // 3 bits: 101 110 011 -> byte 0 = 11 110 101, byte 1 = 0
        QCOMPARE(packCodes(std::vector<std::uint32_t>{5, 6, 3}, 3), (std::vector<std::uint8_t>{0xF5, 0x00}));
        QCOMPARE(packCodes(std::vector<std::uint32_t>{0xDEADBEEF}, 32), (std::vector<std::uint8_t>{0xEF, 0xBE, 0xAD, 0xDE}));
    }

    void everyWidthComesBack()
    {
        std::mt19937 random(3);
        for (int bits = 1; bits <= 32; ++bits) {
            std::vector<std::uint32_t> codes(101);
            for (std::uint32_t &code : codes)
                code = static_cast<std::uint32_t>(random()) & static_cast<std::uint32_t>((1ULL << bits) - 1);
            const std::vector<std::uint8_t> bytes = packCodes(codes, bits);
            QCOMPARE(bytes.size(), packedBytes(codes.size(), bits));
            for (std::size_t first : {std::size_t(0), std::size_t(1), std::size_t(37), std::size_t(100)}) {
                std::vector<std::uint32_t> back(codes.size() - first);
                unpackCodes(bytes, bits, first, back);
                QCOMPARE(back, std::vector<std::uint32_t>(codes.begin() + static_cast<std::ptrdiff_t>(first), codes.end()));
                QCOMPARE(unpackCode(bytes, bits, first), codes[first]);
            }
        }
    }

    void byteCountsDoNotOverflow()
    {
        QCOMPARE(packedBytes(0, 7), 0U);
        QCOMPARE(packedBytes(1, 1), 1U);
        QCOMPARE(packedBytes(9, 3), 4U);
        QCOMPARE(packedBytes(1ULL << 62, 16), 1ULL << 63);
    }

    void scalarsAreLittleEndian()
    {
        std::vector<std::uint8_t> bytes;
        appendFloat(bytes, 1.0F);
        appendHalf(bytes, 0x3C01);
        QCOMPARE(bytes, (std::vector<std::uint8_t>{0x00, 0x00, 0x80, 0x3F, 0x01, 0x3C}));
        QCOMPARE(floatAt(bytes, 0), 1.0F);
        QCOMPARE(halfAt(bytes, 2), 0x3C01);
    }
};

QTEST_GUILESS_MAIN(TestBitPacking)
#include "tst_bit_packing.moc"
