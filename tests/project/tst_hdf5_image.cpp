// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <random>

#include "core/base/error.h"
#include "core/io/hdf5_image.h"
#include "tests/project/foreign_hdf5.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

Hdf5Group sample()
{
    Hdf5Group root;
    root.values["text"] = std::string("größer als \"nichts\"\n");
    root.values["empty"] = std::string();
    root.values["integer"] = std::int64_t{-7};
    root.values["number"] = 0.1;
    Hdf5Group &child = root.groups["model.layers.0.self_attn.q_proj"];
    child.values["numbers"] = std::vector<double>{1.5, -2.5, 1e300};
    child.values["integers"] = std::vector<std::int64_t>{INT64_MIN, 0, INT64_MAX};
    child.values["none"] = std::vector<double>{};
    child.groups["inner"] = {};
    return root;
}

using Fill = void (*)(long long);

}  // namespace

class TestHdf5Image : public QObject {
    Q_OBJECT
private slots:
    void treeComesBackAsItWas()
    {
        const Hdf5Group root = sample();
        QVERIFY(readHdf5Image(buildHdf5Image(root), "sample") == root);
    }

    void sameTreeGivesSameBytes() { QCOMPARE(buildHdf5Image(sample()) == buildHdf5Image(sample()), true); }

    void numbersOfOtherKindsAreConverted()
    {
        const Hdf5Group root = readHdf5Image(test::foreignHdf5(test::addForeignNumbers), "foreign");
        QVERIFY(std::get<std::vector<std::int64_t>>(root.values.at("big_endian")) == (std::vector<std::int64_t>{1, -2, 300}));
        QCOMPARE(std::get<double>(root.values.at("single")), 0.5);
        QVERIFY(std::get<std::vector<double>>(root.values.at("deflated")) == (std::vector<double>{0.5, -1.25, 3, 1e30}));
    }

    void whatWeNeverWriteIsRefused_data()
    {
        QTest::addColumn<void *>("fill");
        QTest::addColumn<QString>("says");
        const auto row = [](const char *name, Fill fill, const char *says) {
            QTest::newRow(name) << reinterpret_cast<void *>(fill) << QString(says);
        };
        row("soft link", test::addSoftLink, "'/b': is a soft or external link");
        row("dangling link", test::addDanglingLink, "'/b': is a soft or external link");
        row("external link", test::addExternalLink, "'/b': is a soft or external link");
        row("external storage", test::addExternalStorage, "'/b': keeps its data in another file");
        row("group that contains itself", test::addGroupCycle, "can be reached in two ways");
        row("two names of one data set", test::addHardLink, "can be reached in two ways");
        row("1000 groups deep", test::addDeepGroups, "lies more than 16 groups deep");
        row("matrix", test::addMatrix, "'/b': has 2 dimensions");
        row("compound", test::addCompound, "has type compound");
        row("variable-length string", test::addVariableString, "variable-length string, expected one fixed-length string");
        row("enumeration", test::addEnumeration, "has type enumeration");
        row("opaque", test::addOpaque, "has type opaque");
        row("reference", test::addReference, "has type reference");
        row("unknown filter", test::addUnknownFilter, "'/b': uses filter 6");
        row("8 TB without storage", test::addHugeEmptySet, "'/b': holds more than a project may");
        row("deflate bomb", test::addBomb, "'/b': holds more than a project may");
        row("virtual data set", test::addVirtualSet, "'/b': is a virtual data set");
        row("committed type", test::addCommittedType, "'/b': is neither a group nor a data set");
        row("control character in a name", test::addOddName, "is no valid name");
    }
    void whatWeNeverWriteIsRefused()
    {
        QFETCH(void *, fill);
        QFETCH(QString, says);
        const auto image = test::foreignHdf5(reinterpret_cast<Fill>(fill));
        ErrorCode code{};
        const QString message = QString::fromStdString(test::errorOf([&] { readHdf5Image(image, "project.h5"); }, &code));
        QVERIFY2(message.contains(says), qPrintable(message));
        QVERIFY2(message.startsWith("project.h5"), qPrintable(message));
        QVERIFY(code == ErrorCode::Format);
    }

    // Images with a valid checksum can still be broken inside. libhdf5 may crash on them, in the child; here an Error or a tree.
    void mutatedImagesNeverTakeTheProgramDown()
    {
        const std::vector<std::byte> good = buildHdf5Image(sample());
        std::mt19937 random(7);
        int refused = 0;
        for (int i = 0; i < 300; ++i) {
            std::vector<std::byte> bad = good;
            for (int flips = 1 + i % 8; flips > 0; --flips)
                bad[random() % bad.size()] = static_cast<std::byte>(random());
            const std::string message = test::errorOf([&] { readHdf5Image(bad, "project.h5"); });
            refused += message.empty() ? 0 : 1;
        }
        QVERIFY2(refused > 50, qPrintable(QString::number(refused)));  // most of an image is unused space or values
    }

    void truncatedImagesAreRefused()
    {
        const std::vector<std::byte> good = buildHdf5Image(sample());
        for (std::size_t size = 0; size < good.size(); size += 97)
            QVERIFY(!test::errorOf([&] { readHdf5Image(std::span(good).first(size), "project.h5"); }).empty());
    }

    void readerSaysWhatItExpected()
    {
        const Hdf5Group root = sample();
        const Hdf5Reader reader(root, "project.h5");
        const auto message = [](const auto &work) { return test::errorOf(work); };
        QCOMPARE(message([&] { reader.text("integer"); }), std::string("project.h5, '/integer': has an integer, expected text"));
        QCOMPARE(message([&] { reader.integer("integer", 0, 10); }), std::string("project.h5, '/integer': is -7, expected 0 to 10"));
        QCOMPARE(message([&] { reader.number("absent"); }), std::string("project.h5, '/absent': is missing"));
        const Hdf5Reader child = reader.group("model.layers.0.self_attn.q_proj");
        QCOMPARE(message([&] { child.numbers("numbers", 4); }),
                 std::string("project.h5, '/model.layers.0.self_attn.q_proj/numbers': has 3 numbers, expected 4"));
        QCOMPARE(message([&] { child.group("none"); }),
                 std::string("project.h5, '/model.layers.0.self_attn.q_proj/none': is missing, expected a group"));
    }
};

QTEST_GUILESS_MAIN(TestHdf5Image)
#include "tst_hdf5_image.moc"
