// SPDX-License-Identifier: Apache-2.0
// The HDF5 export, read back by HDF5's own file driver in this process and by h5py with the program that the file itself holds.
#include <QDir>
#include <QFile>
#include <QProcess>
#include <QTemporaryDir>
#include <QTest>

#include <algorithm>
#include <bit>
#include <cstring>

#include <sys/resource.h>

#define H5_USE_110_API
#include <hdf5.h>

#include "core/base/log.h"
#include "tests/export/measured_export.h"
#include "tests/quant/sample_weights.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// A file by HDF5's default driver, closed with everything in it.
class ForeignFile {
public:
    explicit ForeignFile(const std::string &path) : m_file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)) {}
    ~ForeignFile() { H5Fclose(m_file); }
    ForeignFile(const ForeignFile &) = delete;
    ForeignFile &operator=(const ForeignFile &) = delete;

    bool has(const std::string &path) const { return H5Lexists(m_file, path.c_str(), H5P_DEFAULT) > 0; }
    template <typename Number>
    std::vector<Number> array(const std::string &path, std::vector<hsize_t> *shape = nullptr) const
    {
        const hid_t type = std::is_same_v<Number, std::uint8_t> ? H5T_NATIVE_UINT8 : std::is_same_v<Number, std::uint64_t> ? H5T_NATIVE_UINT64
            : std::is_same_v<Number, float> ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
        const hid_t set = H5Dopen2(m_file, path.c_str(), H5P_DEFAULT);
        const hid_t space = H5Dget_space(set);
        std::vector<hsize_t> extents(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space)));
        H5Sget_simple_extent_dims(space, extents.data(), nullptr);
        std::vector<Number> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
        if (H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0)
            values.clear();
        H5Sclose(space);
        H5Dclose(set);
        if (shape)
            *shape = extents;
        return values;
    }
    std::string text(const std::string &path) const
    {
        const hid_t set = H5Dopen2(m_file, path.c_str(), H5P_DEFAULT);
        const hid_t type = H5Dget_type(set);
        std::string value(H5Tget_size(type), '\0');
        H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value.data());
        H5Tclose(type);
        H5Dclose(set);
        return value;
    }
    std::vector<std::int64_t> integers(const std::string &path, const char *name) const
    {
        const hid_t attribute = H5Aopen_by_name(m_file, path.c_str(), name, H5P_DEFAULT, H5P_DEFAULT);
        const hid_t space = H5Aget_space(attribute);
        std::vector<std::int64_t> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
        H5Aread(attribute, H5T_NATIVE_INT64, values.data());
        H5Sclose(space);
        H5Aclose(attribute);
        return values;
    }
    std::string attribute(const std::string &path, const char *name) const
    {
        const hid_t attribute = H5Aopen_by_name(m_file, path.c_str(), name, H5P_DEFAULT, H5P_DEFAULT);
        const hid_t type = H5Aget_type(attribute);
        char *characters = nullptr;
        H5Aread(attribute, type, &characters);
        const std::string value = characters;
        H5free_memory(characters);
        H5Tclose(type);
        H5Aclose(attribute);
        return value;
    }

private:
    hid_t m_file;
};

// W_q as the layout in core/README.md says, bit by bit and without any code of the program.
std::vector<float> weightIn(const ForeignFile &file, const std::string &layer)
{
    const std::string path = "layers/" + layer;
    const auto bits = static_cast<std::size_t>(file.integers(path, "bits")[0]);
    const auto shape = file.integers(path, "code_shape"), block = file.integers(path, "block_shape");
    const auto codes = file.array<std::uint8_t>(path + "/codes");
    std::vector<hsize_t> grid;
    const auto scale = file.array<float>(path + "/scale", &grid);
    const auto zero = file.has(path + "/zero") ? file.array<float>(path + "/zero") : std::vector<float>();
    const auto levels = bits < 32 ? file.array<float>("formats/" + file.attribute(path, "format")) : std::vector<float>();
    const auto rows = static_cast<std::size_t>(shape[0]), columns = static_cast<std::size_t>(shape[1]);
    std::vector<float> weight(rows * columns);
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < columns; ++j) {
            const std::size_t at = i * columns + j;
            std::uint32_t code = 0;
            for (std::size_t bit = 0; bit < bits; ++bit)
                code |= static_cast<std::uint32_t>(codes[(at * bits + bit) / 8] >> ((at * bits + bit) % 8) & 1) << bit;
            const std::size_t b = i / static_cast<std::size_t>(block[0]) * grid[1] + j / static_cast<std::size_t>(block[1]);
            const float level = levels.empty() ? std::bit_cast<float>(code) : levels[code];
            weight[at] = (zero.empty() ? level : level - zero[b]) * scale[b];
        }
    if (file.has(path + "/exception_index")) {
        const auto index = file.array<std::uint64_t>(path + "/exception_index");
        const auto value = file.array<float>(path + "/exception_value");
        for (std::size_t i = 0; i < index.size(); ++i)
            weight[index[i]] = value[i];
    }
    return weight;
}

QByteArray bytesOf(const std::string &path)
{
    QFile file(QString::fromStdString(path));
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

bool sameBits(const float *x, const float *y, std::size_t count)
{
    return std::memcmp(x, y, count * sizeof(float)) == 0;
}

// Runs the program that stands in /README of the file, and behind it `more`. The output, or "" with the reason in `problem`.
QByteArray runReadme(const std::string &file, const QByteArray &more, QString *problem)
{
    QProcess python;
    const QByteArray program = "import h5py, sys\n"
                               "text = h5py.File(sys.argv[1])['README'][()].decode()\n"
                               "exec(text[text.index('import h5py'):])\n"
                               "f = h5py.File(sys.argv[1])\n" + more;
    python.start("/usr/bin/python3", {"-c", QString::fromUtf8(program), QString::fromStdString(file)});
    if (!python.waitForFinished(300'000) || python.exitCode() != 0) {
        *problem = QString::fromUtf8(python.readAllStandardError());
        return {};
    }
    return python.readAllStandardOutput();
}

bool hasH5py()
{
    QProcess python;
    python.start("/usr/bin/python3", {"-c", "import h5py, numpy"});
    return python.waitForFinished(60'000) && python.exitCode() == 0;
}

// Recipes with a number format of its own for each layer, as many as there are formats.
std::vector<QuantizationRecipe> recipesOfAllFormats(const std::vector<LinearSite> &sites)
{
    std::vector<QuantizationRecipe> recipes;
    const std::vector<std::string> formats = sampleFormats();
    for (std::size_t i = 0; i < formats.size(); ++i) {
        if (i % sites.size() == 0)
            recipes.push_back({.name = "formats", .defaults = {}, .attention = {}, .rules = {}, .layers = {}});
        recipes.back().layers[sites[i % sites.size()].name].weight = FormatSpec::parse(formats[i]);
    }
    return recipes;
}

}  // namespace

class TestHdf5Export : public QObject
{
    Q_OBJECT

private slots:
    void initTestCase()
    {
        setLogSink([](LogLevel, const std::string &) {});
        m_folder = std::make_unique<QTemporaryDir>(scratchTemplate());
        m_sample = measuredExport(m_folder->path().toStdString());
        m_file = m_sample->write("hdf5", "all.h5", {{"dequantized", true}, {"factors", true}, {"autocorrelation", true}});
    }
    void cleanupTestCase()
    {
        m_sample.reset();
        m_folder.reset();
    }

    void weightsOfEveryFormatComeBackToTheLastBit()
    {
        const std::vector<LinearSite> &sites = m_sample->sites();
        const bool python = hasH5py();
        std::size_t number = 0, compared = 0;
        for (const QuantizationRecipe &recipe : recipesOfAllFormats(sites)) {
            const std::string path = writeRecipe(*m_sample, recipe, "hdf5", "formats" + std::to_string(number++) + ".h5");
            QByteArray foreign;  // all weights of the file one after another, as h5py makes them
            if (python) {
                QString problem;
                foreign = runReadme(path, "for name in sorted(f['layers']): sys.stdout.buffer.write(weight(f, name).tobytes())\n", &problem);
                QVERIFY2(!foreign.isEmpty(), qPrintable(problem));
            }
            const ForeignFile file(path);
            std::vector<LinearSite> byName = sites;
            std::ranges::sort(byName, {}, &LinearSite::name);
            qsizetype offset = 0;
            for (const LinearSite &site : byName) {
                const auto quantizer = makeQuantizer(recipe.planFor(site).formats.weight);
                const Matrix original = m_sample->model().transformer().readWeight(site);
                const std::size_t count = static_cast<std::size_t>(original.size());
                std::vector<float> expected(count);
                quantizer->quantize({original.data(), count}, {site.out, site.in}, expected);
                const std::vector<float> found = weightIn(file, site.name);
                QVERIFY2(found.size() == count && sameBits(found.data(), expected.data(), count), quantizer->spec().toString().c_str());
                if (python) {
                    QVERIFY2(foreign.size() >= offset + static_cast<qsizetype>(4 * count), quantizer->spec().toString().c_str());
                    QVERIFY2(std::memcmp(foreign.constData() + offset, expected.data(), 4 * count) == 0,
                             ("h5py: " + quantizer->spec().toString()).c_str());
                    offset += static_cast<qsizetype>(4 * count);
                }
                ++compared;
            }
        }
        QVERIFY(compared >= sampleFormats().size());
        if (!python)
            QSKIP("h5py is not there (python3-h5py): files were read by HDF5's own driver only");
    }

    void correctionsBiasesAndSpectraAreTheProjects()
    {
        const ForeignFile file(m_file);
        for (const LinearSite &site : m_sample->sites()) {
            const std::string path = "layers/" + site.name;
            const LayerPlan plan = m_sample->plan(site);
            QCOMPARE(file.integers(path, "in")[0], site.in);
            QCOMPARE(file.integers(path, "rank")[0], plan.quantize ? plan.rank : 0);
            QCOMPARE(file.has(path + "/codes"), plan.quantize);
            QCOMPARE(file.has(path + "/A"), plan.quantize && plan.rank > 0);
            if (!plan.quantize)
                continue;
            const auto dequantized = file.array<float>(path + "/W_q"), unpacked = weightIn(file, site.name);
            QVERIFY(dequantized.size() == unpacked.size() && sameBits(dequantized.data(), unpacked.data(), unpacked.size()));
            if (plan.rank == 0)
                continue;
            const LowRankCorrection correction = m_sample->correction(site);
            std::vector<hsize_t> shape;
            const auto a = file.array<float>(path + "/A", &shape), b = file.array<float>(path + "/B");
            QVERIFY(shape == (std::vector<hsize_t>{static_cast<hsize_t>(site.in), static_cast<hsize_t>(plan.rank)}));
            QVERIFY(sameBits(a.data(), correction.a.data(), static_cast<std::size_t>(correction.a.size())));
            QVERIFY(b.size() == static_cast<std::size_t>(correction.b.size()) && sameBits(b.data(), correction.b.data(), b.size()));
            QCOMPARE(file.attribute(path, "scaling"), std::string("exact"));
            const auto sigma = file.array<double>(path + "/spectrum/sigma"), unscaled = file.array<double>(path + "/spectrum/sigma_unscaled");
            bool found = false;
            for (const auto &record : m_sample->project().decompositions())
                if (record->key.layer == site.name && record->key.scaling == ScalingKind::Exact) {
                    found = true;
                    QVERIFY(std::equal(sigma.begin(), sigma.end(), record->sigma.begin(), record->sigma.end()));
                    QVERIFY(std::equal(unscaled.begin(), unscaled.end(), record->sigmaUnscaled.begin(), record->sigmaUnscaled.end()));
                    QCOMPARE(file.integers(path + "/spectrum", "sigma_exact")[0], record->sigmaExact);
                    QCOMPARE(file.integers(path + "/spectrum", "sigma_unscaled_exact")[0], record->sigmaUnscaledExact);
                }
            QVERIFY(found);
            QVERIFY(file.array<double>(path + "/factors/A").size() > a.size());  // up to the stored rank
        }
    }

    void statisticsRecipeAndReportsAreTheProjects()
    {
        const ForeignFile file(m_file);
        const std::string key = m_sample->project().calibrationKeys().back();
        const auto statistics = m_sample->project().calibration(key);
        for (const auto &[name, site] : statistics->sites) {
            const auto squares = file.array<double>("inputs/" + name + "/sum_squares"), lqer = file.array<double>("inputs/" + name + "/lqer_scale");
            const VectorF64 scale = site.lqerScale();
            QVERIFY(std::equal(squares.begin(), squares.end(), site.sumSquares.begin(), site.sumSquares.end()));
            QVERIFY(std::equal(lqer.begin(), lqer.end(), scale.begin(), scale.end()));
            QCOMPARE(file.integers("inputs/" + name, "tokens")[0], site.tokens);
            const auto whole = m_sample->project().siteStats(key, name);
            const auto autocorrelation = file.array<double>("inputs/" + name + "/autocorrelation");
            QVERIFY(autocorrelation.size() == static_cast<std::size_t>(whole->autocorrelation.size())
                    && std::equal(autocorrelation.begin(), autocorrelation.end(), whole->autocorrelation.data()));
        }
        QVERIFY(QuantizationRecipe::fromJson(parseJson(file.text("recipe"), "recipe"), "recipe") == m_sample->recipe());
        QCOMPARE(file.attribute("/", "recipe"), m_sample->recipe().name);
        const auto reports = m_sample->engine().reports(m_sample->project());
        QCOMPARE(reports.size(), std::size_t(3));
        for (std::size_t i = 0; i < reports.size(); ++i) {
            const std::string path = "reports/00000" + std::to_string(i + 1);
            QVERIFY(EvaluationReport::fromJson(parseJson(file.text(path), path), path) == *reports[i]);
        }
        QVERIFY(parseJson(file.text("config"), "config") == m_sample->model().checkpoint().config());
    }

    void optionsDecideWhatIsInIt()
    {
        const std::string path = m_sample->write("hdf5", "small.h5");
        const ForeignFile file(path);
        const std::string layer = "layers/" + m_sample->sites().front().name;
        QVERIFY(file.has(layer) && file.has(layer + "/A") && !file.has(layer + "/W_q") && !file.has(layer + "/factors"));
        QVERIFY(QFile(QString::fromStdString(path)).size() < QFile(QString::fromStdString(m_file)).size());
    }

    void forecastCoversTheFile_data()
    {
        QTest::addColumn<bool>("everything");
        QTest::newRow("default") << false;
        QTest::newRow("everything") << true;
    }
    void forecastCoversTheFile()
    {
        QFETCH(bool, everything);
        const ExportOptions options = everything ? ExportOptions{{"dequantized", true}, {"factors", true}, {"autocorrelation", true}} : ExportOptions();
        const ExportForecast forecast = m_sample->forecast("hdf5", options);
        const auto written = static_cast<std::uint64_t>(QFile(QString::fromStdString(m_sample->write("hdf5", "forecast.h5", options, true))).size());
        QVERIFY2(written <= forecast.bytes && forecast.bytes <= written + (1 << 20), qPrintable(QString("%1 written, %2 forecast").arg(written).arg(forecast.bytes)));
    }

    // Files may grow to a part of what is needed: an Error, and the earlier file as it was.
    void sizeLimitsLeaveTheOldFile()
    {
        const std::string path = m_sample->write("hdf5", "limited.h5");
        const QByteArray old = bytesOf(path);
        rlimit before{};
        QCOMPARE(::getrlimit(RLIMIT_FSIZE, &before), 0);
        for (int step = 0; step < 12; ++step) {
            const rlimit limit{static_cast<rlim_t>(old.size()) * static_cast<rlim_t>(step) / 12, before.rlim_max};
            ErrorCode code{};
            ::setrlimit(RLIMIT_FSIZE, &limit);
            const std::string message = errorOf([&] { m_sample->write("hdf5", "limited.h5", {}, true); }, &code);
            ::setrlimit(RLIMIT_FSIZE, &before);
            QVERIFY2(code == ErrorCode::Io && message.find("free") != std::string::npos, message.c_str());
            QVERIFY(bytesOf(path) == old);
            QCOMPARE(QDir(m_folder->path()).entryList({"*.partial-*"}), QStringList());
        }
        m_sample->write("hdf5", "limited.h5", {}, true);
        QVERIFY(bytesOf(path) == old);
    }

    void sameExportTwiceIsTheSameFile()
    {
        const QByteArray once = bytesOf(m_sample->write("hdf5", "once.h5")), twice = bytesOf(m_sample->write("hdf5", "twice.h5"));
        QVERIFY(!once.isEmpty() && once == twice);
    }

    // The lines that the project's README shows.
    void readmesFiveLinesWork()
    {
        if (!hasH5py())
            QSKIP("h5py is not there (python3-h5py)");
        QFile readme(QString::fromStdString(sourcePath("README.md")));
        QVERIFY(readme.open(QIODevice::ReadOnly));
        const QString text = QString::fromUtf8(readme.readAll());
        const qsizetype begin = text.indexOf("```python\nimport h5py");
        QVERIFY(begin >= 0);
        const QString lines = text.mid(begin + 10, text.indexOf("```", begin + 10) - begin - 10);
        QVERIFY(lines.trimmed().count('\n') < 5);
        const QString program = QString(lines).replace("model.h5", QString::fromStdString(m_file)) + "import sys\nsys.stdout.buffer.write(W_q.astype('<f4').tobytes())\n";
        QProcess python;
        python.start("/usr/bin/python3", {"-c", program});
        QVERIFY(python.waitForFinished(60'000));
        QVERIFY2(python.exitCode() == 0, python.readAllStandardError());
        const QByteArray found = python.readAllStandardOutput();
        const std::vector<float> expected = weightIn(ForeignFile(m_file), "model.layers.0.self_attn.q_proj");
        QVERIFY(found.size() == static_cast<qsizetype>(4 * expected.size()) && std::memcmp(found.constData(), expected.data(), 4 * expected.size()) == 0);
    }

    // Last, as it changes the project.
    void estimatedSingularValuesAreMarked()
    {
        markAsEstimated(*m_sample);
        const ForeignFile file(m_sample->write("hdf5", "estimated.h5"));
        int marked = 0;
        for (const LinearSite &site : m_sample->sites()) {
            const std::string spectrum = "layers/" + site.name + "/spectrum";
            if (!file.has(spectrum))
                continue;
            QCOMPARE(file.integers(spectrum, "complete")[0], 0);
            QCOMPARE(file.integers(spectrum, "sigma_exact")[0], 6);
            QCOMPARE(file.integers(spectrum, "sigma_unscaled_exact")[0], 0);
            QCOMPARE(file.array<double>(spectrum + "/sigma").size(), static_cast<std::size_t>(std::min(site.in, site.out)));
            ++marked;
        }
        QVERIFY(marked > 3);
    }

private:
    std::unique_ptr<QTemporaryDir> m_folder;
    std::unique_ptr<SampleExport> m_sample;
    std::string m_file;
};

QTEST_GUILESS_MAIN(TestHdf5Export)
#include "tst_hdf5_export.moc"
