// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <zlib.h>

#include <filesystem>

#include "core/io/line_reader.h"
#include "core/text/data_sets.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

namespace fs = std::filesystem;

class DataFolder {
public:
    std::string path(const std::string &name = {}) const { return m_folder.filePath(QString::fromStdString(name)).toStdString(); }
    void write(const std::string &name, const std::string &content)
    {
        fs::create_directories(fs::path(path(name)).parent_path());
        QFile file(QString::fromStdString(path(name)));
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write(content.data(), static_cast<qint64>(content.size()));
    }
    // As gzip writes it; `append` makes a file of several members.
    void writePacked(const std::string &name, const std::string &content, bool append = false)
    {
        fs::create_directories(fs::path(path(name)).parent_path());
        const gzFile file = gzopen(path(name).c_str(), append ? "ab" : "wb");
        QVERIFY(file);
        QCOMPARE(gzwrite(file, content.data(), static_cast<unsigned>(content.size())), static_cast<int>(content.size()));
        gzclose(file);
    }

private:
    QTemporaryDir m_folder;
};

}  // namespace

class DataSetsTest : public QObject {
    Q_OBJECT

private slots:
    void aSplitIsFoundWhereItIsPublished_data()
    {
        QTest::addColumn<QString>("file");
        QTest::addColumn<QString>("name");
        QTest::addColumn<int>("split");
        const auto row = [](const char *file, const char *name, DataSplit split) { QTest::newRow(file) << file << name << static_cast<int>(split); };
        row("wiki.test.raw", "wikitext2", DataSplit::Test);
        row("wikitext-2-raw/wiki.valid.raw", "wikitext2", DataSplit::Validation);
        row("wikitext2/validation.jsonl", "wikitext2", DataSplit::Validation);
        row("wikitext2/train.txt", "wikitext2", DataSplit::Train);
        row("wikitext2.test.txt", "wikitext2", DataSplit::Test);
        row("SlimPajama-6B/train.jsonl", "slim_pajama_6b", DataSplit::Train);
        row("slim_pajama_6b/train.jsonl.gz", "slim_pajama_6b", DataSplit::Train);
        row("slim_pajama_100m.train.json", "slim_pajama_100m", DataSplit::Train);
        row("c4/en/c4-train.00000-of-01024.json.gz", "c4", DataSplit::Train);
        row("c4/c4-validation.00000-of-00008.json", "c4", DataSplit::Validation);
        row("mine.test.txt", "mine", DataSplit::Test);
        row("mine/valid.jsonl", "mine", DataSplit::Validation);
    }
    void aSplitIsFoundWhereItIsPublished()
    {
        QFETCH(QString, file);
        QFETCH(QString, name);
        QFETCH(int, split);
        DataFolder folder;
        folder.write(file.toStdString(), "x");
        const TextSource source = findDataSet(folder.path(), name.toStdString(), static_cast<DataSplit>(split));
        QCOMPARE(source.path, folder.path(file.toStdString()));
        QCOMPARE(source.dataSet, name.toStdString());
        QCOMPARE(source.split, std::string(toString(static_cast<DataSplit>(split))));
    }

    void otherSplitsAreNotTaken()
    {
        DataFolder folder;
        folder.write("wiki.train.raw", "x");
        ErrorCode code{};
        const std::string message = errorOf([&] { findDataSet(folder.path(), "wikitext2", DataSplit::Test); }, &code);
        QVERIFY(code == ErrorCode::NotFound);
        QVERIFY2(message.find("data set 'wikitext2', test split") != std::string::npos && message.find("wiki.test.raw") != std::string::npos, message.c_str());
    }

    void c4HasNoTestSplit()
    {
        DataFolder folder;
        folder.write("c4/en/c4-validation.00000-of-00008.json", "x");
        QCOMPARE(findDataSet(folder.path(), "c4", DataSplit::Test).split, std::string("validation"));
    }

    void aFileByItsPathIsNoDataSet()
    {
        DataFolder folder;
        folder.write("a.txt", "x");
        for (const std::string &name : {folder.path("a.txt"), std::string("a.txt")}) {
            const TextSource source = findDataSet(folder.path(), name, DataSplit::Test);
            QCOMPARE(fs::path(source.path), fs::path(folder.path("a.txt")));
            QVERIFY(source.dataSet.empty() && source.split.empty());
        }
    }

    void aMissingDataSetSaysWhatMayHelp()
    {
        DataFolder folder;
        folder.write("SlimPajama-6B/data/train-00000-of-00048.parquet", "PAR1");
        const std::string parquet = errorOf([&] { findDataSet(folder.path(), "slim_pajama_6b", DataSplit::Train); });
        QVERIFY2(parquet.find("Parquet files are not read") != std::string::npos, parquet.c_str());
        const std::string near = errorOf([&] { findDataSet(folder.path(), "wikitext-2", DataSplit::Train); });
        QVERIFY2(near.find("did you mean 'wikitext2'?") != std::string::npos, near.c_str());
        ErrorCode code{};
        const std::string missing = errorOf([&] { findDataSet(folder.path("absent"), "c4", DataSplit::Train); }, &code);
        QVERIFY2(code == ErrorCode::NotFound && missing.find("is no folder") != std::string::npos, missing.c_str());
        errorOf([&] { dataSplitFromString("dev"); }, &code);
        QVERIFY(code == ErrorCode::Argument);
    }

    void packedRowsAreThoseOfThePlainFile()
    {
        DataFolder folder;
        std::string text;
        for (int i = 0; i < 20000; ++i)  // several pieces of the reader
            text += "{\"text\":\"document " + std::to_string(i) + "\",\"url\":\"x\"}\n";
        folder.write("c4.jsonl", text);
        folder.writePacked("c4.jsonl.gz", text.substr(0, 500'000));
        folder.writePacked("c4.jsonl.gz", text.substr(500'000), true);
        const std::vector<std::string> rows = readRows({folder.path("c4.jsonl")});
        QCOMPARE(rows.size(), std::size_t{20000});
        QCOMPARE(rows.back(), std::string("document 19999"));
        QCOMPARE(readRows({folder.path("c4.jsonl.gz")}), rows);
        QCOMPARE(readRows({folder.path("c4.jsonl.gz")}, 3), (std::vector<std::string>{"document 0", "document 1", "document 2"}));
    }

    void onlyTheFirstRowsOfABrokenFileAreRead()
    {
        DataFolder folder;
        folder.write("t.jsonl", "{\"text\":\"a\"}\n\n{\"text\":\"b\"}\nbroken\n");
        QCOMPARE(readRows({folder.path("t.jsonl")}, 2), (std::vector<std::string>{"a", "b"}));
        const std::string message = errorOf([&] { readRows({folder.path("t.jsonl")}); });
        QVERIFY2(message.find("t.jsonl, line 4") != std::string::npos, message.c_str());
    }

    void damagedPackedFilesAreErrors()
    {
        DataFolder folder;
        folder.writePacked("t.txt.gz", std::string(200'000, 'a') + "\n");
        QFile file(QString::fromStdString(folder.path("t.txt.gz")));
        QVERIFY(file.resize(file.size() / 2));
        const std::string cut = errorOf([&] { readRows({folder.path("t.txt.gz")}); });
        QVERIFY2(cut.find("cut short") != std::string::npos, cut.c_str());
        folder.write("u.txt.gz", "no gzip file at all");
        const std::string other = errorOf([&] { readRows({folder.path("u.txt.gz")}); });
        QVERIFY2(other.find("damaged") != std::string::npos, other.c_str());
    }

    void linesEndWhereTheyEnd_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QStringList>("lines");
        QTest::newRow("last without a line feed") << QByteArray("a\nb") << QStringList{"a\n", "b"};
        QTest::newRow("empty lines") << QByteArray("\n\na\n") << QStringList{"\n", "\n", "a\n"};
        QTest::newRow("carriage return") << QByteArray("a\r\nb\r") << QStringList{"a\r\n", "b\r"};
        QTest::newRow("empty") << QByteArray() << QStringList{};
        QTest::newRow("across pieces") << QByteArray(QByteArray(65535, 'x') + "yz\nw") << QStringList{QString(65535, 'x') + "yz\n", "w"};
    }
    void linesEndWhereTheyEnd()
    {
        QFETCH(QByteArray, text);
        QFETCH(QStringList, lines);
        DataFolder folder;
        folder.write("t", text.toStdString());
        LineReader reader(folder.path("t"));
        QStringList read;
        for (std::string line; reader.next(line);)
            read.append(QString::fromStdString(line));
        QCOMPARE(read, lines);
        QCOMPARE(reader.number(), static_cast<std::int64_t>(lines.size()));
        QCOMPARE(reader.bytes(), static_cast<std::uint64_t>(text.size()));
    }
};

QTEST_GUILESS_MAIN(DataSetsTest)
#include "tst_data_sets.moc"
