// SPDX-License-Identifier: Apache-2.0
// What holds for every target: options, checks before anything is written, the folder's rules, the model card, the manifest.
#include <QTemporaryDir>
#include <QtTest>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/base/log.h"
#include "core/export/checkpoint_files.h"
#include "tests/export/foreign_reader.h"
#include "tests/export/sample_export.h"
#include "tests/support/random_llama.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;
namespace fs = std::filesystem;

class TestExportRun : public QObject {
    Q_OBJECT
private:
    std::unique_ptr<QTemporaryDir> m_place;
    std::unique_ptr<SampleExport> m_sample;
    std::string at(const char *name) const { return m_place->filePath(name).toStdString(); }
    QStringList entries() const { return QDir(m_place->path()).entryList(QDir::AllEntries | QDir::NoDotAndDotDot); }
    // Exports to a path given in full.
    void exportTo(const std::string &path, bool overwrite = false) const
    {
        m_sample->engine().exportModel(m_sample->model(), m_sample->project(), m_sample->recipe(), {"merged", {}, path, overwrite}, m_sample->engine().context());
    }

private slots:
    void initTestCase() { setLogSink([](LogLevel, const std::string &) {}); }
    void init()
    {
        m_place = std::make_unique<QTemporaryDir>(scratchTemplate());
        const std::string folder = sampleModelFolder("random", m_place->path().toStdString());
        std::ofstream(folder + "/tokenizer_config.json") << "{\n \"odd spacing\" :1}";
        const auto sites = Engine(EngineOptions{1, 0}).load(folder, {})->transformer().linearSites();
        m_sample = std::make_unique<SampleExport>(folder, m_place->path().toStdString(), mixedRanks("int4-g32", sites));
    }

    void everyTargetIsDescribed()
    {
        std::set<std::string> names;
        for (const Exporter &exporter : exporters()) {
            const ExporterInfo &info = exporter.info;
            QVERIFY2(names.insert(info.name).second, info.name.c_str());
            QVERIFY2(!info.title.empty() && info.meaning.ends_with('.'), info.name.c_str());
            QVERIFY(exporter.check && exporter.bytes && exporter.write && exporter.verify);
            for (const ExportOption &option : info.options) {
                QVERIFY2(option.meaning.ends_with('.'), (info.name + " " + option.name).c_str());
                // The default is a value the option may have.
                withDefaults(exporter, {{option.name, option.fallback}});
            }
            QCOMPARE(withDefaults(exporter, {}).size(), info.options.size());
            QCOMPARE(&findExporter(info.name), &exporter);
        }
    }

    void mistypedTargetsAndOptionsNameTheNearest()
    {
        QVERIFY(errorOf([] { findExporter("mergd"); }).find("did you mean merged?") != std::string::npos);
        const Exporter &merged = findExporter("merged");
        QVERIFY(errorOf([&] { withDefaults(merged, {{"dtyp", std::string("f16")}}); }).find("did you mean dtype?") != std::string::npos);
        QVERIFY(errorOf([&] { withDefaults(merged, {{"dtype", std::string("f17")}}); }).find("expected one of") != std::string::npos);
        QVERIFY(errorOf([&] { withDefaults(merged, {{"shard_size", std::int64_t(0)}}); }).find("expected 1 to") != std::string::npos);
    }

    void forecastCoversWhatIsWritten_data()
    {
        QTest::addColumn<QString>("target");
        for (const Exporter &exporter : exporters())
            if (exporter.info.singleFile.empty())
                QTest::newRow(exporter.info.name.c_str()) << QString::fromStdString(exporter.info.name);
    }
    void forecastCoversWhatIsWritten()
    {
        QFETCH(QString, target);
        const ExportForecast forecast = m_sample->forecast(target.toStdString());
        if (forecast.bytes == 0)
            QSKIP(qPrintable("this target does not take the sample recipe: " + QString::fromStdString(forecast.problems.front().message)));
        const std::string path = m_sample->write(target.toStdString(), "out");
        std::uint64_t bytes = 0;
        for (const auto &entry : fs::recursive_directory_iterator(path))
            bytes += entry.is_regular_file() ? entry.file_size() : 0;
        constexpr std::uint64_t cardAndManifest = 64 << 10, slack = 2 << 20;
        QVERIFY2(bytes <= forecast.bytes + cardAndManifest && forecast.bytes <= bytes + slack,
                 qPrintable(QString("%1 written, %2 forecast").arg(bytes).arg(forecast.bytes)));
        QVERIFY(verifyExport(path, {}).empty());
        QCOMPARE(entries().filter("partial"), QStringList());
    }

    void sameExportTwiceIsTheSame_data() { forecastCoversWhatIsWritten_data(); }
    void sameExportTwiceIsTheSame()
    {
        QFETCH(QString, target);
        if (m_sample->forecast(target.toStdString()).bytes == 0)
            QSKIP("this target does not take the sample recipe");
        const auto once = contentsOf(m_sample->write(target.toStdString(), "out"));
        fs::rename(at("out"), at("kept"));
        const auto twice = contentsOf(m_sample->write(target.toStdString(), "out"));
        QVERIFY(once == twice);
    }

    void shardsAreWholeLayersBelowTheLimit()
    {
        // Layers of 64 kB and more, shards of 1 MB.
        const std::string checkpoint = at("wide");
        writeRandomLlama(checkpoint, {.hidden = 256, .intermediate = 512});
        const std::string place = at("wide-place");
        fs::create_directory(place);
        const SampleExport sample(checkpoint, place, mixedRanks("int4-g32", Engine(EngineOptions{1, 0}).load(checkpoint, {})->transformer().linearSites()));
        const QString path = QString::fromStdString(sample.write("merged", "out", {{"shard_size", std::int64_t(1)}}));
        const QJsonObject index = readJson(path + "/model.safetensors.index.json");
        const QStringList shards = QDir(path).entryList({"*.safetensors"});
        QVERIFY(shards.size() > 2);
        qint64 total = 0;
        for (const QString &shard : shards) {
            QVERIFY(shard.endsWith(QString("-of-%1.safetensors").arg(shards.size(), 5, 10, QChar('0'))));
            QJsonObject metadata;
            for (const auto &[name, tensor] : readSafetensors(path + "/" + shard, &metadata)) {
                QCOMPARE(index["weight_map"][QString::fromStdString(name)].toString(), shard);
                total += tensor.bytes.size();
            }
            QCOMPARE(metadata["format"].toString(), QString("pt"));
            QVERIFY(QFileInfo(path + "/" + shard).size() <= 1'000'000 + 8192);
        }
        QCOMPARE(index["metadata"]["total_size"].toInteger(), total);
        QVERIFY(!QFile::exists(path + "/model.safetensors"));
    }

    void otherFilesAreCopiedByteByByte()
    {
        const QString path = QString::fromStdString(m_sample->write("merged", "out"));
        QFile original(m_place->filePath("random/tokenizer_config.json")), copy(path + "/tokenizer_config.json");
        QVERIFY(original.open(QIODevice::ReadOnly) && copy.open(QIODevice::ReadOnly));
        QCOMPARE(copy.readAll(), original.readAll());
    }

    void modelCardQuotesTheMeasurement()
    {
        EvaluateOptions options;
        options.layerErrors = false;
        TokenWindows windows = *m_sample->windows(2, 3);
        windows.source = at("valid.txt");
        const auto report = m_sample->engine().evaluate(m_sample->model(), m_sample->project(), m_sample->recipe(), windows, options,
                                                        m_sample->engine().context());
        const std::string path = m_sample->write("peft", "out");
        QFile file(QString::fromStdString(path) + "/README.md");
        QVERIFY(file.open(QIODevice::ReadOnly));
        const QString card = QString::fromUtf8(file.readAll());
        for (const char *part : {"int4-g32", "convention", "windows of 24 tokens", "PeftModel.from_pretrained", "\"out/adapter\"", "--max-lora-rank 8", "without the correction",
                                 "mixed ranks"})
            QVERIFY2(card.contains(part), part);
        QVERIFY2(card.contains(QString::fromStdString(report->created)), qPrintable(card));
        QVERIFY(!card.contains("{}"));
        // The card is published: it names files, not the folders they lay in.
        QVERIFY2(card.contains("on valid.txt: ") && !card.contains(m_place->path()), qPrintable(card));
    }

    // Commands to be copied from the card go to this export, and run nothing else, whatever its name is.
    void commandsOfTheCardQuoteTheName()
    {
        const std::string path = m_sample->write("peft", "o'ut \"$(id)");
        QFile file(QString::fromStdString(path) + "/README.md");
        QVERIFY(file.open(QIODevice::ReadOnly));
        const QString card = QString::fromUtf8(file.readAll());
        QVERIFY2(card.contains(R"(from_pretrained("o'ut \"$(id)/base")"), qPrintable(card));
        QVERIFY2(card.contains(R"(vllm serve 'o'\''ut "$(id)'/base)"), qPrintable(card));
    }

    void whatIsThereIsNotReplacedUnasked()
    {
        m_sample->write("merged", "out");
        const auto before = contentsOf(at("out"));
        ErrorCode code{};
        QVERIFY(errorOf([&] { m_sample->write("peft", "out"); }, &code).find("is there already") != std::string::npos);
        QVERIFY(code == ErrorCode::Conflict);
        QVERIFY(contentsOf(at("out")) == before);
        m_sample->write("peft", "out", {}, true);
        QVERIFY(fs::exists(at("out/adapter/adapter_config.json")) && !fs::exists(at("out/model.safetensors")));
        QVERIFY(verifyExport(at("out"), {}).empty());
        QCOMPARE(entries().filter("partial"), QStringList());
    }

    // Nobody's own folder disappears because its name was given.
    void onlyExportsAreReplaced()
    {
        fs::create_directory(at("mine"));
        std::ofstream(at("mine/thesis.txt")) << "years";
        std::ofstream(at("file")) << "text";
        for (const char *name : {"mine", "file"}) {
            ErrorCode code{};
            const std::string message = errorOf([&] { m_sample->write("merged", name, {}, true); }, &code);
            QVERIFY2(code == ErrorCode::Conflict && message.find("not replaced") != std::string::npos, message.c_str());
        }
        QVERIFY(fs::exists(at("mine/thesis.txt")) && fs::is_regular_file(at("file")));
        fs::create_directory(at("empty"));
        m_sample->write("merged", "empty", {}, true);
        QVERIFY(verifyExport(at("empty"), {}).empty());
    }

    void checkpointAndProjectAreOutOfReach_data()
    {
        QTest::addColumn<QString>("path");
        QTest::newRow("checkpoint") << "random";
        QTest::newRow("by another name") << "sample.lqer/../random/.";
        QTest::newRow("inside the checkpoint") << "random/out";
        QTest::newRow("around the checkpoint") << ".";
        QTest::newRow("project") << "sample.lqer";
        QTest::newRow("inside the project") << "sample.lqer/out";
        QTest::newRow("through a link") << "link";
    }
    void checkpointAndProjectAreOutOfReach()
    {
        QFETCH(QString, path);
        fs::create_directory_symlink(at("random"), at("link"));
        const auto before = contentsOf(m_place->path().toStdString());
        for (const bool overwrite : {false, true}) {
            ErrorCode code{};
            const std::string message = errorOf([&] { exportTo(m_place->filePath(path).toStdString(), overwrite); }, &code);
            QVERIFY2(code == ErrorCode::Conflict && message.find("must stay as it is") != std::string::npos, message.c_str());
        }
        QVERIFY(contentsOf(m_place->path().toStdString()) == before);
    }

    void parentMustBeThere()
    {
        ErrorCode code{};
        const std::string message = errorOf([&] { exportTo(at("no/such/out")); }, &code);
        QVERIFY(code == ErrorCode::NotFound);
        QVERIFY2(message.find("there is no folder") != std::string::npos && message.find("no/such") != std::string::npos, message.c_str());
    }

    void fullDiskIsSaidBeforeAnythingIsWritten()
    {
        Exporter huge = findExporter("merged");
        huge.bytes = [](const ExportSource &, const ExportOptions &) { return std::uint64_t(1) << 60; };
        huge.write = [](const ExportSource &, const ExportOptions &, ExportFolder &, const TaskContext &) { QFAIL("must not be reached"); };
        const auto result = runWith(huge);
        QVERIFY2(result.first == ErrorCode::DiskFull, result.second.c_str());
        QVERIFY2(result.second.find("1152921504606") != std::string::npos && result.second.find("are free") != std::string::npos, result.second.c_str());
        QCOMPARE(entries().filter("out"), QStringList());
    }

    void damageBetweenWritingAndNamingIsNoticed_data()
    {
        QTest::addColumn<QString>("file");
        for (const char *file : {"model.safetensors", "config.json", "tokenizer_config.json"})
            QTest::newRow(file) << file;
    }
    void damageBetweenWritingAndNamingIsNoticed()
    {
        QFETCH(QString, file);
        static QString damaged;
        damaged = file;
        Exporter spoilt = findExporter("merged");
        spoilt.write = [](const ExportSource &source, const ExportOptions &options, ExportFolder &folder, const TaskContext &context) {
            findExporter("merged").write(source, options, folder, context);
            std::fstream stream(folder.path() + "/" + damaged.toStdString(), std::ios::in | std::ios::out | std::ios::binary);
            stream.seekg(-2, std::ios::end);
            const int byte = stream.get();
            stream.seekp(-2, std::ios::end);
            stream.put(static_cast<char>(byte ^ 4));
        };
        m_sample->write("merged", "out");
        const auto before = contentsOf(at("out"));
        const auto result = runWith(spoilt, true);
        QVERIFY2(result.first == ErrorCode::Io && result.second.find(file.toStdString() + ": does not read back") != std::string::npos, result.second.c_str());
        QVERIFY(contentsOf(at("out")) == before);
        QCOMPARE(entries().filter("partial"), QStringList());
    }

    // It took hours, and meanwhile somebody put a folder of their own in the old export's place.
    void whatReplacedTheOldExportMeanwhileStays()
    {
        static std::string place;
        place = at("out");
        Exporter slow = findExporter("merged");
        slow.write = [](const ExportSource &source, const ExportOptions &options, ExportFolder &folder, const TaskContext &context) {
            findExporter("merged").write(source, options, folder, context);
            fs::remove_all(place);
            fs::create_directory(place);
            std::ofstream(place + "/thesis.txt") << "years";
        };
        m_sample->write("merged", "out");
        const auto result = runWith(slow, true);
        QVERIFY2(result.first == ErrorCode::Conflict && result.second.find("is no export") != std::string::npos, result.second.c_str());
        QVERIFY(fs::exists(at("out/thesis.txt")));
        QCOMPARE(entries().filter("partial"), QStringList());
    }

    void manifestFindsWhatChangedLater()
    {
        m_sample->write("merged", "out");
        QVERIFY(verifyExport(at("out"), {}).empty());
        std::ofstream(at("out/config.json"), std::ios::app) << " ";
        std::ofstream(at("out/stray.txt")) << "x";
        fs::remove(at("out/README.md"));
        QCOMPARE(verifyExport(at("out"), {}).size(), std::size_t(3));
    }

    void manifestFindsLinks_data()
    {
        QTest::addColumn<QString>("target");
        QTest::newRow("to nothing") << "nowhere";
        QTest::newRow("to itself") << "link";
        QTest::newRow("to a folder") << "..";
    }
    void manifestFindsLinks()
    {
        QFETCH(QString, target);
        m_sample->write("merged", "out");
        fs::create_symlink(target.toStdString(), at("out/link"));
        QCOMPARE(verifyExport(at("out"), {}), std::vector<std::string>{"link: does not belong to the export"});
    }

    void leftoversOfDeadProcessesAreSwept()
    {
        fs::create_directories(at("out.partial-999999999-0000abcd/adapter"));
        std::ofstream(at("out.partial-999999999-0000abcd/config.json")) << "{}";
        fs::create_directory(at("other.partial-999999999-0000abcd"));
        fs::create_directory(at("out.partial-notes"));
        const std::string alive = at("out.partial-") + std::to_string(::getpid()) + "-0000abcd";
        fs::create_directory(alive);
        m_sample->write("merged", "out");
        QVERIFY(!fs::exists(at("out.partial-999999999-0000abcd")));
        QVERIFY(fs::exists(at("other.partial-999999999-0000abcd")) && fs::exists(at("out.partial-notes")) && fs::exists(alive));
    }

    void layersNotDecomposedYetAreDecomposedFirst()
    {
        QuantizationRecipe recipe = m_sample->recipe();
        recipe.defaults.weight = FormatSpec::parse("mxint2");
        const std::size_t before = m_sample->project().decompositions().size();
        const ExportRequest request{"merged", {}, at("out"), false};
        m_sample->engine().exportModel(m_sample->model(), m_sample->project(), recipe, request, m_sample->engine().context());
        QVERIFY(m_sample->project().decompositions().size() > before);
        QVERIFY(verifyExport(at("out"), {}).empty());
        // What is refused is refused before that work.
        recipe.defaults.weight = FormatSpec::parse("mxint4");
        const std::size_t after = m_sample->project().decompositions().size();
        QVERIFY(!errorOf([&] { m_sample->engine().exportModel(m_sample->model(), m_sample->project(), recipe, request, m_sample->engine().context()); }).empty());
        QCOMPARE(m_sample->project().decompositions().size(), after);
    }

    void stoppedExportLeavesNothing()
    {
        std::stop_source stop;
        stop.request_stop();
        const TaskContext context = m_sample->engine().context(nullptr, stop.get_token());
        QVERIFY_THROWS_EXCEPTION(Cancelled, m_sample->write("merged", "out", {}, false, &context));
        QCOMPARE(entries().filter("out"), QStringList());
    }

private:
    // Runs a target that is not in the list over the sample; code and message of its Error.
    std::pair<ErrorCode, std::string> runWith(const Exporter &exporter, bool overwrite = false)
    {
        std::pair<ErrorCode, std::string> result{};
        const auto source = m_sample->engine().exportSource(m_sample->model(), m_sample->project(), m_sample->recipe());
        result.second = errorOf([&] { runExport(exporter, *source, {"", {}, at("out"), overwrite}, {}, m_sample->engine().context()); }, &result.first);
        return result;
    }
};

QTEST_GUILESS_MAIN(TestExportRun)
#include "tst_export_run.moc"
