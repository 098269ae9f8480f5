// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <numeric>
#include <span>
#include <vector>

#include "core/base/hash.h"

using namespace lqer;

class TestHash : public QObject {
    Q_OBJECT
private slots:
    void emptyInputHasThePublishedDigest();
    void piecesGiveTheSameAsTheWhole();
    void oneFlippedBitChangesTheDigest();
    void textsDoNotRunIntoEachOther();
    void hexCanBeAskedForInBetween();
};

// xxhash.h, XXH3 128 bits of nothing with seed 0: 99aa06d3014798d86001c324468d497f (xxhsum -H2 of an empty file).
void TestHash::emptyInputHasThePublishedDigest()
{
    QCOMPARE(hashHex({}), std::string("99aa06d3014798d86001c324468d497f"));
    QCOMPARE(Hasher().hex(), hashHex({}));
}

void TestHash::piecesGiveTheSameAsTheWhole()
{
    std::vector<unsigned char> data(100'000);
    std::iota(data.begin(), data.end(), static_cast<unsigned char>(3));
    const auto bytes = std::as_bytes(std::span(data));
    for (const std::size_t piece : {1U, 7U, 240U, 241U, 4096U, 99'999U}) {
        Hasher hasher;
        for (std::size_t at = 0; at < bytes.size(); at += piece)
            hasher.add(bytes.subspan(at, std::min(piece, bytes.size() - at)));
        QCOMPARE(hasher.hex(), hashHex(bytes));
    }
}

void TestHash::oneFlippedBitChangesTheDigest()
{
    std::vector<std::byte> data(300, std::byte{0x5A});
    const std::string before = hashHex(data);
    for (std::size_t bit = 0; bit < data.size() * 8; ++bit) {
        data[bit / 8] ^= std::byte{1} << (bit % 8);
        QVERIFY(hashHex(data) != before);
        data[bit / 8] ^= std::byte{1} << (bit % 8);
    }
    QCOMPARE(hashHex(data), before);
}

void TestHash::textsDoNotRunIntoEachOther()
{
    QVERIFY(Hasher().add("ab").add("c").hex() != Hasher().add("a").add("bc").hex());
    QVERIFY(Hasher().add("").hex() != Hasher().hex());
}

void TestHash::hexCanBeAskedForInBetween()
{
    Hasher hasher;
    hasher.add("one");
    const std::string first = hasher.hex();
    QCOMPARE(hasher.hex(), first);
    hasher.add("two");
    QCOMPARE(hasher.hex(), Hasher().add("one").add("two").hex());
}

QTEST_GUILESS_MAIN(TestHash)
#include "tst_hash.moc"
