// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include <functional>
#include <limits>

#include "core/import/correction_dictionary.h"
#include "core/io/safetensors.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

using Tensors = std::vector<std::pair<std::string, Tensor>>;

// Values k / 8, which every float type holds.
Tensor ramp(DType type, std::int64_t rows, std::int64_t columns)
{
    std::vector<float> values(static_cast<std::size_t>(rows * columns));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(i % 64) / 8 - 2;
    return Tensor::fromValues(type, {rows, columns}, values);
}

Tensors sample()
{
    return {{"m.0.q_proj.A", ramp(DType::F32, 6, 2)},
            {"m.0.q_proj.B", ramp(DType::BF16, 2, 4)},
            {"m.0.k_proj.A", ramp(DType::F16, 6, 3)},
            {"m.0.k_proj.B", ramp(DType::F32, 3, 5)}};
}

LinearSite site(std::string name, std::int64_t in, std::int64_t out)
{
    LinearSite made;
    made.name = std::move(name);
    made.in = in;
    made.out = out;
    return made;
}

std::vector<LinearSite> sampleSites()
{
    return {site("m.0.q_proj", 6, 4), site("m.0.k_proj", 6, 5), site("m.0.v_proj", 6, 5)};
}

}  // namespace

class TestCorrectionDictionary : public QObject {
    Q_OBJECT
private slots:
    void factorsAreReadAsTheyAre()
    {
        const QTemporaryDir folder;
        const std::string path = folder.filePath("AB_dict.safetensors").toStdString();
        writeSafetensors(path, sample());
        const CorrectionDictionary dictionary({path});
        dictionary.requireFits(sampleSites());
        QVERIFY(dictionary.contains("m.0.q_proj") && !dictionary.contains("m.0.v_proj"));
        QCOMPARE(dictionary.rank("m.0.k_proj"), Index(3));
        QCOMPARE(dictionary.rank("m.0.v_proj"), Index(0));
        const LowRankCorrection correction = dictionary.read("m.0.k_proj");
        QVERIFY(correction.a == ramp(DType::F32, 6, 3).toMatrix());
        QVERIFY(correction.b == ramp(DType::F32, 3, 5).toMatrix());
        QVERIFY(test::errorOf([&] { dictionary.read("m.0.v_proj"); }).ends_with("layer 'm.0.v_proj': has no A and B here"));
    }

    void severalFilesShareTheLayers()
    {
        const QTemporaryDir folder;
        const std::string first = folder.filePath("0-of-1.safetensors").toStdString();
        const std::string second = folder.filePath("1-of-1.safetensors").toStdString();
        const Tensors all = sample();
        writeSafetensors(first, {all[0], all[1]});
        writeSafetensors(second, {all[2], all[3]});
        const CorrectionDictionary dictionary({first, second});
        QVERIFY(dictionary.contains("m.0.q_proj") && dictionary.contains("m.0.k_proj"));
        const std::string error = test::errorOf([&] { CorrectionDictionary({first, second, first}); });
        QVERIFY2(error.find("tensor 'm.0.q_proj.A': the layer is in ") != std::string::npos, error.c_str());
    }

    void badFilesAreRefused_data()
    {
        QTest::addColumn<std::function<void(Tensors &)>>("spoil");
        QTest::addColumn<QByteArray>("expected");
        const auto row = [](const char *name, std::function<void(Tensors &)> spoil, const char *expected) {
            QTest::newRow(name) << spoil << QByteArray(expected);
        };
        row(
            "no B", [](Tensors &t) { t.pop_back(); }, "tensor 'm.0.k_proj.A': there is no 'm.0.k_proj.B' to it");
        row(
            "no A", [](Tensors &t) { t.erase(t.begin()); }, "tensor 'm.0.q_proj.B': there is no 'm.0.q_proj.A' to it");
        row(
            "other name", [](Tensors &t) { t[0].first = "m.0.q_proj.scale"; },
            "tensor 'm.0.q_proj.scale': '<layer>.A' or '<layer>.B' was expected");
        row(
            "ranks differ", [](Tensors &t) { t[1].second = ramp(DType::F32, 3, 4); },
            "tensor 'm.0.q_proj.A': A has 2 columns, B 3 rows");
        row(
            "vector", [](Tensors &t) { t[1].second = Tensor(DType::F32, {8}); },
            "tensor 'm.0.q_proj.B': a matrix of F32, F16 or BF16 was expected");
        row(
            "integers",
            [](Tensors &t) {
                t[1].second = Tensor(DType::I32, {2, 4});
            },
            "tensor 'm.0.q_proj.B': a matrix of F32, F16 or BF16 was expected");
        row(
            "unknown layer", [](Tensors &t) { t[0].first = "m.1.q_proj.A", t[1].first = "m.1.q_proj.B"; },
            "tensor 'm.1.q_proj.A': the model has no such layer; did you mean 'm.0.q_proj'?");
        row(
            "other shape", [](Tensors &t) { t[0].second = ramp(DType::F32, 7, 2); },
            "tensor 'm.0.q_proj.A': A B is 7x4, the model's layer 6x4 (in, out)");
        row(
            "not a number",
            [](Tensors &t) {
                t[0].second
                    = Tensor::fromValues(DType::F32, {6, 2}, std::vector<float>(12, std::numeric_limits<float>::quiet_NaN()));
            },
            "tensor 'm.0.q_proj.A': element 0 is NaN or infinite");
    }
    void badFilesAreRefused()
    {
        QFETCH(std::function<void(Tensors &)>, spoil);
        QFETCH(QByteArray, expected);
        const QTemporaryDir folder;
        const std::string path = folder.filePath("dict.safetensors").toStdString();
        Tensors tensors = sample();
        spoil(tensors);
        writeSafetensors(path, tensors);
        const std::string error = test::errorOf([&] {
            const CorrectionDictionary dictionary({path});
            dictionary.requireFits(sampleSites());
            dictionary.read("m.0.q_proj");
        });
        QVERIFY2(error.find(expected.toStdString()) != std::string::npos, error.c_str());
        QVERIFY2(error.starts_with(path), error.c_str());
    }
};

QTEST_GUILESS_MAIN(TestCorrectionDictionary)
#include "tst_correction_dictionary.moc"
