// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QTemporaryDir>

#include <filesystem>
#include <fstream>
#include <random>

#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/io/hdf5_image.h"
#include "core/project/project_block.h"
#include "core/project/project_index.h"
#include "tests/project/sample_project.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"
#include "tests/support/stop_at_poll.h"

using namespace lqer;
namespace fs = std::filesystem;

namespace {

constexpr int layers = 3;

// A project with something of everything.
std::shared_ptr<Project> makeSample(const std::string &folder)
{
    auto project = Project::create(folder, test::sampleCheckpoint());
    const std::string key = project->beginCalibration(test::sampleProvenance());
    project->storeSiteStats(key, "model.layers.0.mlp.gate_proj", test::sampleSite(20, 1));
    project->storeSiteStats(key, "model.layers.1.mlp.gate_proj", test::sampleSite(20, 2));
    project->finishCalibration(key, {"model.layers.0.mlp.gate_proj", "model.layers.1.mlp.gate_proj"});
    for (int layer = 0; layer < layers; ++layer) {
        const auto sample = test::sampleDecomposition(layer);
        project->storeDecomposition(sample.record, sample.decomposition);
    }
    QuantizationRecipe recipe;
    recipe.name = "a / name with \"anything\"";
    recipe.defaults.rank = 4;
    project->storeRecipe(recipe);
    project->storeReport(Json::object().set("title", "first").set("value", 0.1));
    project->storeReport(Json::object().set("title", "second"));
    project->setSettings(Json::object().set("tab", 3));
    project->save();
    return project;
}

std::string shardPath(const std::string &project, const std::string &folder, const std::string &start)
{
    for (const auto &entry : fs::directory_iterator(project + "/" + folder))
        if (entry.path().filename().string().starts_with(start))
            return entry.path().string();
    return {};
}

bool hasNote(const Project &project, const std::string &part)
{
    for (const std::string &note : project.notes())
        if (note.find(part) != std::string::npos)
            return true;
    return false;
}

}  // namespace

class TestProject : public QObject {
    Q_OBJECT
private:
    std::unique_ptr<QTemporaryDir> m_place;
    std::string folder() const { return m_place->filePath("sample.lqer").toStdString(); }

private slots:
    void init() { m_place = std::make_unique<QTemporaryDir>(test::scratchTemplate()); }

    void everythingComesBack()
    {
        std::string before;
        {
            const auto project = makeSample(folder());
            before = test::describe(*project);
            QVERIFY(!project->isModified());
        }
        const auto project = Project::open(folder());
        QVERIFY2(project->notes().empty(), project->notes().empty() ? "" : project->notes().front().c_str());
        QCOMPARE(test::describe(*project), before);
        QVERIFY(!project->isReadOnly());
        const auto site = project->siteStats(test::sampleProvenance().key(), "model.layers.0.mlp.gate_proj");
        QVERIFY(site->autocorrelation == test::sampleSite(20, 1).autocorrelation);  // to the last bit
        const auto sample = test::sampleDecomposition(1);
        const auto factors = project->loadDecomposition(sample.record.key);
        QVERIFY(factors->a == sample.decomposition.a && factors->b == sample.decomposition.b);
        QVERIFY(factors->sigma == sample.decomposition.sigma);
        QCOMPARE(project->recipe("a / name with \"anything\"")->defaults.rank, std::optional<Index>(4));
    }

    // 150 inputs: three bands of R. A stop is no damage: what was not read to its end is there all the same.
    void aStopEndsReadingStatistics()
    {
        const auto project = Project::create(folder(), test::sampleCheckpoint());
        const std::string key = project->beginCalibration(test::sampleProvenance());
        project->storeSiteStats(key, "site", test::sampleSite(150, 4));
        const long polls = test::pollsOf([&](const TaskContext &context) { project->siteStats(key, "site", context); });
        QVERIFY2(polls >= 4, qPrintable(QString::number(polls)));
        ThreadPool three(3);
        QVERIFY(project->siteStats(key, "site", {&three})->autocorrelation == test::sampleSite(150, 4).autocorrelation);
        QVERIFY(project->notes().empty());
    }

    void whatIsUnsavedIsSavedWhenTheProjectIsClosed()
    {
        makeSample(folder())->setSettings(Json::object().set("tab", 4));
        QCOMPARE(Project::open(folder())->settings().find("tab")->asInteger(), std::int64_t{4});
    }

    void sameProjectGivesSameBytes()
    {
        makeSample(folder());
        const std::string other = folder() + "2";
        makeSample(other);
        for (const std::string &file : test::filesBelow(folder()))
            if (!file.starts_with("project.h5"))  // holds the time of its making
                QVERIFY2(test::readBytes(folder() + "/" + file) == test::readBytes(other + "/" + file), file.c_str());
    }

    void keyDoesNotDependOnTheRankButOnEverythingElse()
    {
        const DecompositionKey key = test::sampleDecomposition(0, 4).record.key;
        QCOMPARE(key.text(), test::sampleDecomposition(0, 6).record.key.text());
        DecompositionKey other = key;
        other.layer = "x";
        QVERIFY(other.text() != key.text());
        other = key;
        other.weight = "x";
        QVERIFY(other.text() != key.text());
        other = key;
        other.format = FormatSpec::parse("mxint:width=3,block_size=16");
        QVERIFY(other.text() != key.text());
        other = key;
        other.scaling = ScalingKind::Exact;
        QVERIFY(other.text() != key.text());
        other = key;
        other.calibration = "x";
        QVERIFY(other.text() != key.text());
    }

    void moreRankReplacesAndTheOldShardGoesAfterTheSave()
    {
        const auto project = makeSample(folder());
        const auto more = test::sampleDecomposition(0, 9);
        QVERIFY(project->hasWholeDecomposition(more.record.key, 6));
        QVERIFY(!project->hasWholeDecomposition(more.record.key, 7));
        const std::string old = shardPath(folder(), "factors", "model.layers.0.");
        project->storeDecomposition(more.record, more.decomposition);
        QVERIFY(project->hasWholeDecomposition(more.record.key, 9));
        QVERIFY(fs::exists(old));
        project->save();
        QVERIFY(!fs::exists(old));
        QCOMPARE(project->decompositions().size(), std::size_t{layers});
    }

    void whatIsEstimatedComesBackAsSuchAndMoreReplacesIt()
    {
        auto project = makeSample(folder());
        auto sample = test::sampleDecomposition(1);
        sample.record.sigmaExact = sample.decomposition.sigmaExact = 7;
        sample.record.sigmaUnscaledExact = sample.decomposition.sigmaUnscaledExact = 0;
        QVERIFY(sample.record.spectrum() == SpectrumExtent::Estimated);
        project->storeDecomposition(sample.record, sample.decomposition);
        project->save();
        project.reset();
        const std::vector<std::byte> older = test::readBytes(folder() + "/project.h5");
        project = Project::open(folder());
        const auto record = project->decomposition(sample.record.key);
        QVERIFY(record->spectrum() == SpectrumExtent::Estimated);
        QCOMPARE(record->sigmaExact, Index(7));
        QCOMPARE(record->sigmaUnscaledExact, Index(0));
        const auto loaded = project->loadDecomposition(sample.record.key);
        QCOMPARE(loaded->sigmaExact, Index(7));
        QCOMPARE(loaded->sigmaUnscaledExact, Index(0));
        QVERIFY(project->hasWholeDecomposition(sample.record.key, 6, SpectrumExtent::Estimated));
        QVERIFY(!project->hasWholeDecomposition(sample.record.key, 6, SpectrumExtent::Whole));
        // The whole spectrum at the same rank is another shard, which is taken up if the project was not saved after it.
        const auto whole = test::sampleDecomposition(1);
        project->storeDecomposition(whole.record, whole.decomposition);
        project.reset();
        test::writeBytes(folder() + "/project.h5", older);
        project = Project::open(folder());
        QVERIFY(hasNote(*project, "1 results that were finished after the last save were taken up"));
        QVERIFY(project->hasWholeDecomposition(sample.record.key, 6, SpectrumExtent::Whole));
    }

    void recordsOfVersionsWithoutEstimatesAreRead()
    {
        const auto fields = [](const DecompositionRecord &record) {
            Hdf5Group group = toHdf5(record);
            group.values.erase("sigma_exact");
            group.values.erase("sigma_unscaled_exact");
            return group;
        };
        const DecompositionRecord whole = decompositionFromHdf5(Hdf5Reader(fields(test::sampleDecomposition(0).record), "old"));
        QVERIFY(whole.spectrum() == SpectrumExtent::Whole);
        QCOMPARE(whole.sigmaUnscaledExact, Index(12));
        DecompositionRecord few = test::sampleDecomposition(0, 5).record;
        few.sigma.conservativeResize(5);
        few.sigmaUnscaled.resize(0);
        const DecompositionRecord leading = decompositionFromHdf5(Hdf5Reader(fields(few), "old"));
        QVERIFY(leading.spectrum() == SpectrumExtent::Leading);
        QCOMPARE(leading.sigmaExact, Index(5));
        QCOMPARE(leading.sigmaUnscaledExact, Index(0));
    }

    void curvesAgainstTheRankComeFromStoredValues()
    {
        const DecompositionRecord record = test::sampleDecomposition(0).record;
        QCOMPARE(record.correctedWeightError(0), 5.0);
        QCOMPARE(record.correctedWeightError(4), 4.0);
        QCOMPARE(record.correctedOutputError(6), 1.25);
        QVERIFY(qFuzzyCompare(1 + record.residualEnergy(2), 1 + record.sigma.tail(record.sigma.size() - 2).squaredNorm()));
        QVERIFY(record.residualEnergy(12) < 1e-12);
    }

    void creatingDoesNotTouchOtherPeoplesFolders()
    {
        fs::create_directories(folder());
        std::ofstream(folder() + "/thesis.txt") << "text";
        ErrorCode code{};
        const std::string message = test::errorOf([&] { Project::create(folder(), test::sampleCheckpoint()); }, &code);
        QVERIFY(code == ErrorCode::Conflict);
        QVERIFY2(message.find("holds other things") != std::string::npos, message.c_str());
        QCOMPARE(test::filesBelow(folder()), std::vector<std::string>{"thesis.txt"});
        const std::string two = folder() + "2";
        makeSample(two);
        QVERIFY(test::errorOf([&] { Project::create(two, test::sampleCheckpoint()); }).find("there is a project here already") != std::string::npos);
        QVERIFY(!test::errorOf([&] { Project::create(folder() + "/no/where", test::sampleCheckpoint()); }).empty());
    }

    // ---- what is no project

    void foreignFilesAreNamedForWhatTheyAre_data()
    {
        QTest::addColumn<QByteArray>("content");
        QTest::addColumn<QString>("says");
        QTest::newRow("empty") << QByteArray() << "is not a project";
        QTest::newRow("text") << QByteArray("hello") << "is not a project";
        QTest::newRow("hdf5") << QByteArray("\x89HDF\r\n\x1a\n and more") << "is an HDF5 file, but not a project of this program";
        QTest::newRow("pickle") << QByteArray("PK\x03\x04 archive") << "project";
    }
    void foreignFilesAreNamedForWhatTheyAre()
    {
        QFETCH(QByteArray, content);
        QFETCH(QString, says);
        fs::create_directories(folder());
        std::ofstream(folder() + "/project.h5", std::ios::binary).write(content.data(), content.size());
        const QString message = QString::fromStdString(test::errorOf([&] { Project::open(folder()); }));
        QVERIFY2(message.contains(says), qPrintable(message));
    }

    void missingProjectsAreNamed()
    {
        ErrorCode code{};
        test::errorOf([&] { Project::open(folder()); }, &code);
        QVERIFY(code == ErrorCode::NotFound);
        fs::create_directories(folder());
        const std::string message = test::errorOf([&] { Project::open(folder()); }, &code);
        QVERIFY(code == ErrorCode::NotFound);
        QVERIFY2(message.find("it has no project.h5") != std::string::npos, message.c_str());
    }

    void newerVersionIsNamed()
    {
        makeSample(folder());
        const std::vector<std::byte> file = test::readBytes(folder() + "/project.h5");
        const auto image = std::span(file).subspan(projectBlockSize);
        std::vector<std::byte> newer = makeProjectBlock(image, 4);
        newer.insert(newer.end(), image.begin(), image.end());
        test::writeBytes(folder() + "/project.h5", newer);
        ErrorCode code{};
        const std::string message = test::errorOf([&] { Project::open(folder()); }, &code);
        QVERIFY(code == ErrorCode::Unsupported);
        QVERIFY2(message.find("newer version of the program (format 4, this one reads up to 1)") != std::string::npos, message.c_str());
    }

    void wrongContentsWithAGoodChecksumAreNamed_data()
    {
        QTest::addColumn<QString>("path");
        QTest::addColumn<QString>("says");
        QTest::newRow("version field gone") << "created" << "'/created': is missing";
        QTest::newRow("shard outside") << "shard" << "which is no plain .safetensors file name";
        QTest::newRow("negative rank") << "rank" << "max_rank': is -1";
        QTest::newRow("sigma too short") << "sigma" << "sigma': has 2 numbers, expected 12";
        QTest::newRow("estimates among the factors' values") << "exact" << "sigma_exact': is 5";
        QTest::newRow("estimates of some") << "estimates" << "sigma_exact': is 7 of 9 singular values, expected all of them or estimates up to 12";
        QTest::newRow("complete and estimated") << "complete" << "sigma_exact': is 7";
        QTest::newRow("text for a number") << "type" << "expected a number";
        QTest::newRow("bad recipe JSON") << "recipe" << "project.h5/recipes";
    }
    void wrongContentsWithAGoodChecksumAreNamed()
    {
        QFETCH(QString, path);
        QFETCH(QString, says);
        makeSample(folder());
        const std::vector<std::byte> file = test::readBytes(folder() + "/project.h5");
        Hdf5Group root = readHdf5Image(checkProjectBlock(file, "x"), "x");
        Hdf5Group &decomposition = root.groups["decompositions"].groups.begin()->second;
        if (path == "created")
            root.values.erase("created");
        else if (path == "shard")
            decomposition.groups["shard"].values["file"] = std::string("../../../etc/passwd");
        else if (path == "rank")
            decomposition.values["max_rank"] = std::int64_t{-1};
        else if (path == "sigma")
            decomposition.values["sigma"] = std::vector<double>{2, 1};
        else if (path == "exact" || path == "complete")
            decomposition.values["sigma_exact"] = std::int64_t{path == "exact" ? 5 : 7};
        else if (path == "estimates")
            decomposition.values["sigma"] = std::vector<double>{9, 8, 7, 6, 5, 4, 3, 2, 1};
        else if (path == "type")
            decomposition.values["weight_error"] = std::string("much");
        else
            root.groups["recipes"].groups.begin()->second.values["json"] = std::string("{\"version\": 1,");
        if (path == "exact" || path == "estimates")
            decomposition.values["spectrum_complete"] = std::int64_t{0};
        if (path == "estimates")
            decomposition.values["sigma_exact"] = std::int64_t{7};
        const std::vector<std::byte> image = buildHdf5Image(root);
        std::vector<std::byte> changed = makeProjectBlock(image);
        changed.insert(changed.end(), image.begin(), image.end());
        test::writeBytes(folder() + "/project.h5", changed);
        ErrorCode code{};
        const QString message = QString::fromStdString(test::errorOf([&] { Project::open(folder()); }, &code));
        QVERIFY2(message.contains(says), qPrintable(message));
        QVERIFY(code == ErrorCode::Format);
    }

    // ---- damage (D-08)

    void everyFlippedBitOfTheProjectFileIsNoticed()
    {
        makeSample(folder());
        const std::vector<std::byte> good = test::readBytes(folder() + "/project.h5");
        std::mt19937 random(11);
        for (int i = 0; i < 500; ++i) {
            std::vector<std::byte> bad = good;
            bad[random() % bad.size()] ^= static_cast<std::byte>(1U << (random() % 8));
            QVERIFY(!test::errorOf([&] { checkProjectBlock(bad, "project.h5"); }).empty());
        }
        std::vector<std::byte> bad = good;
        bad.back() ^= std::byte{1};
        test::writeBytes(folder() + "/project.h5", bad);
        const std::string message = test::errorOf([&] { Project::open(folder()); });
        QVERIFY2(message.find("is damaged (checksum); the version saved before it may lie beside it as project.h5.previous") != std::string::npos,
                 message.c_str());
    }

    void previousVersionIsKeptBesideTheNewOne()
    {
        makeSample(folder())->setSettings(Json::object().set("tab", 5));
        fs::rename(folder() + "/project.h5.previous", folder() + "/project.h5");
        QCOMPARE(Project::open(folder())->settings().find("tab")->asInteger(), std::int64_t{3});
    }

    void everyFlippedBitOfAShardIsNoticed()
    {
        makeSample(folder());
        const DecompositionKey key = test::sampleDecomposition(0).record.key;
        const std::string calibration = test::sampleProvenance().key();
        const std::string factors = shardPath(folder(), "factors", "model.layers.0.");
        const std::string statistics = shardPath(folder(), "statistics", "model.layers.0.");
        std::mt19937 random(12);
        for (const std::string &path : {factors, statistics}) {
            const std::vector<std::byte> good = test::readBytes(path);
            // Read-only projects: what is struck off in one is listed in the next.
            const auto holder = Project::open(folder());
            for (int i = 0; i < 250; ++i) {
                std::vector<std::byte> bad = good;
                bad[random() % bad.size()] ^= static_cast<std::byte>(1U << (random() % 8));
                test::writeBytes(path, bad);
                const auto project = Project::open(folder());
                const std::string message = test::errorOf([&] {
                    if (path == factors)
                        project->loadDecomposition(key);
                    else
                        project->siteStats(calibration, "model.layers.0.mlp.gate_proj");
                });
                QVERIFY2(message.find("again: ") != std::string::npos, message.c_str());
            }
            test::writeBytes(path, good);
        }
    }

    void missingOrShortShardsAreNamedAndTheProjectOpens()
    {
        makeSample(folder());
        fs::remove(shardPath(folder(), "factors", "model.layers.1."));
        fs::resize_file(shardPath(folder(), "factors", "model.layers.2."), 100);
        fs::remove(shardPath(folder(), "statistics", "model.layers.1."));
        const auto project = Project::open(folder());
        QVERIFY(hasNote(*project, "layer model.layers.1.mlp.up_proj must be computed again: file factors/model.layers.1.mlp.up_proj."));
        QVERIFY(hasNote(*project, "layer model.layers.2.mlp.up_proj must be computed again: file factors/model.layers.2.mlp.up_proj."));
        QVERIFY(hasNote(*project, "the statistics of model.layers.1.mlp.gate_proj must be collected again: file statistics/"));
        QCOMPARE(project->decompositions().size(), std::size_t{1});
        QVERIFY(!project->isCalibrationComplete(test::sampleProvenance().key()));
        QCOMPARE(project->reports().size(), std::size_t{2});
    }

    void exchangedShardsAreNoticed()
    {
        makeSample(folder());
        const std::string first = shardPath(folder(), "factors", "model.layers.0.");
        const std::string second = shardPath(folder(), "factors", "model.layers.1.");
        test::writeBytes(first, test::readBytes(second));  // whole, of the same size, but another layer's
        const auto project = Project::open(folder());
        const std::string message = test::errorOf([&] { project->loadDecomposition(test::sampleDecomposition(0).record.key); });
        QVERIFY2(message.find("layer model.layers.0.mlp.up_proj must be computed again") != std::string::npos, message.c_str());
        QVERIFY(!project->decomposition(test::sampleDecomposition(0).record.key));
    }

    void verifyFindsWhatIsDamaged()
    {
        makeSample(folder());
        for (const std::string &path : {shardPath(folder(), "factors", "model.layers.2."), shardPath(folder(), "statistics", "model.layers.0.")}) {
            std::vector<std::byte> bytes = test::readBytes(path);
            bytes.back() ^= std::byte{4};
            test::writeBytes(path, bytes);
        }
        const auto project = Project::open(folder());
        QVERIFY(project->notes().empty());
        QCOMPARE(project->verify({}).size(), std::size_t{2});
        QVERIFY(project->verify({}).empty());  // struck off
    }

    // ---- shards younger than project.h5

    void shardsAfterTheLastSaveAreTakenUp()
    {
        std::string before;
        std::vector<std::byte> older;
        {
            const auto project = makeSample(folder());
            older = test::readBytes(folder() + "/project.h5");
            const auto extra = test::sampleDecomposition(layers);
            project->storeDecomposition(extra.record, extra.decomposition);
            project->storeSiteStats(test::sampleProvenance().key(), "model.layers.2.mlp.gate_proj", test::sampleSite(20, 3));
            before = test::describe(*project);
        }
        test::writeBytes(folder() + "/project.h5", older);
        const auto project = Project::open(folder());
        QVERIFY(hasNote(*project, "2 results that were finished after the last save were taken up"));
        QCOMPARE(test::describe(*project), before);
    }

    void unfinishedAndForeignFilesBesideShardsAreNotTakenUp()
    {
        makeSample(folder());
        const std::string whole = shardPath(folder(), "factors", "model.layers.0.");
        std::vector<std::byte> bytes = test::readBytes(whole);
        bytes[bytes.size() - 3] ^= std::byte{1};
        test::writeBytes(folder() + "/factors/model.layers.9.damaged.safetensors", bytes);
        test::writeBytes(folder() + "/factors/notes.txt", bytes);
        fs::create_symlink("/etc/hostname", folder() + "/factors/link.safetensors");
        const auto project = Project::open(folder());
        QVERIFY(hasNote(*project, "model.layers.9.damaged.safetensors: is damaged (checksum); it is not used"));
        QCOMPARE(project->decompositions().size(), std::size_t{layers});
        QVERIFY(!fs::exists(folder() + "/factors/model.layers.9.damaged.safetensors"));
        QVERIFY(fs::exists(folder() + "/factors/notes.txt"));
    }

    // ---- two at once (D-21)

    void secondOpenIsReadOnlyAndNamesTheHolder()
    {
        auto first = makeSample(folder());
        const auto second = Project::open(folder());
        QVERIFY(second->isReadOnly());
        QVERIFY2(second->readOnlyReason().starts_with("process " + std::to_string(::getpid()) + " on "), second->readOnlyReason().c_str());
        ErrorCode code{};
        const std::string message = test::errorOf([&] { second->setSettings(Json::object()); }, &code);
        QVERIFY(code == ErrorCode::Conflict);
        QVERIFY2(message.find("is open for reading only: process") != std::string::npos, message.c_str());
        QCOMPARE(test::describe(*second), test::describe(*first));
        // The name of the holder is a note, not the lock.
        fs::remove(folder() + "/lock");
        QVERIFY(Project::open(folder())->isReadOnly());
        first.reset();
        QVERIFY(!Project::open(folder())->isReadOnly());
    }

    void folderThatCannotBeWrittenOpensForReading()
    {
        if (::geteuid() == 0)
            QSKIP("root may write everywhere");
        makeSample(folder());
        ::chmod(folder().c_str(), 0555);
        const auto project = Project::open(folder());
        ::chmod(folder().c_str(), 0755);
        QVERIFY(project->isReadOnly());
        QVERIFY(project->readOnlyReason().find("cannot be written") != std::string::npos);
    }
};

QTEST_GUILESS_MAIN(TestProject)
#include "tst_project.moc"
