// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include "core/base/log.h"
#include "tests/export/foreign_reader.h"
#include "tests/export/sample_export.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

class TestDictionary : public QObject {
    Q_OBJECT
private slots:
    void initTestCase() { setLogSink([](LogLevel, const std::string &) {}); }

    void factorsAndScalesHaveTheOfficialNames_data()
    {
        QTest::addColumn<QString>("repository");
        QTest::addColumn<QString>("file");
        QTest::addColumn<int>("scaling");
        QTest::newRow("lqer") << "lqer" << "low_rank_dict" << static_cast<int>(ScalingKind::MeanAbs);
        QTest::newRow("diag") << "qera" << "AB_dict" << static_cast<int>(ScalingKind::Diagonal);
        QTest::newRow("exact") << "qera" << "AB_dict" << static_cast<int>(ScalingKind::Exact);
    }
    void factorsAndScalesHaveTheOfficialNames()
    {
        QFETCH(QString, repository);
        QFETCH(QString, file);
        QFETCH(int, scaling);
        QTemporaryDir place(scratchTemplate());
        const std::string folder = sampleModelFolder("random", place.path().toStdString());
        QuantizationRecipe recipe = mixedRanks("mxint3", Engine(EngineOptions{1, 0}).load(folder, {})->transformer().linearSites());
        recipe.defaults.scaling = static_cast<ScalingKind>(scaling);
        recipe.defaults.a = recipe.defaults.b = FormatSpec();
        const SampleExport sample(folder, place.path().toStdString(), recipe);
        const QString written = QString::fromStdString(sample.write("dictionary", "dict", {{"repository", repository.toStdString()}}));
        const ForeignTensors factors = readSafetensors(written + "/" + file + ".safetensors");
        const bool hasScales = recipe.defaults.scaling != ScalingKind::Exact;
        QCOMPARE(QFile::exists(written + "/scale_dict.safetensors"), hasScales);
        const ForeignTensors scales = hasScales ? readSafetensors(written + "/scale_dict.safetensors") : ForeignTensors();
        const auto stats = sample.project().calibration(sample.project().calibrationKeys().front());
        std::size_t corrected = 0;
        for (const LinearSite &site : sample.sites()) {
            const LayerPlan plan = sample.plan(site);
            QCOMPARE(factors.contains(site.name + ".A"), plan.quantize && plan.rank > 0);
            if (!factors.contains(site.name + ".A"))
                continue;
            ++corrected;
            const Matrix a = factors.at(site.name + ".A").matrix(), b = factors.at(site.name + ".B").matrix();
            const LowRankCorrection expected = sample.correction(site);
            QVERIFY(sameValues(a, expected.a) && sameValues(b, expected.b));
            // All singular values in B: the rows of B = Sigma V^T are orthogonal with falling lengths, those of diag(s) A have length 1.
            for (Index i = 1; i < b.rows(); ++i)
                QVERIFY(b.row(i).norm() <= b.row(i - 1).norm() * 1.0001F);
            if (!hasScales)
                continue;
            const std::vector<float> scale = scales.at(site.name + ".scale").values();
            const SiteStats &site1 = stats->sites.at(site.activationSite);
            const VectorF64 wanted = recipe.defaults.scaling == ScalingKind::MeanAbs ? site1.lqerScale() : site1.diagonalScale();
            for (Index i = 0; i < wanted.size(); ++i)
                QCOMPARE(scale[static_cast<std::size_t>(i)], static_cast<float>(wanted[i]));
            const Vector s = Eigen::Map<const Vector>(scale.data(), static_cast<Index>(scale.size()));
            for (Index i = 0; i < a.cols(); ++i)
                QVERIFY(std::abs((s.cwiseProduct(a.col(i))).norm() - 1) < 1e-4F);
        }
        QCOMPARE(factors.size(), 2 * corrected);
    }
};

QTEST_GUILESS_MAIN(TestDictionary)
#include "tst_dictionary.moc"
