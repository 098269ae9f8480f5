// SPDX-License-Identifier: Apache-2.0
// The whole job on real models: LQER_SHARED/models, trained by others.
#include <QtTest>
#include <QTemporaryDir>

#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/engine/engine.h"
#include "core/eval/format.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
namespace fs = std::filesystem;

namespace {

constexpr ScalingKind scalings[] = {ScalingKind::Identity, ScalingKind::MeanAbs, ScalingKind::Diagonal, ScalingKind::Exact};

// Every `step`-th window from `first` on, at most `count`, each cut to `length` tokens.
TokenWindows someWindows(const TokenWindows &all, std::size_t first, std::size_t step, std::size_t count, std::size_t length)
{
    TokenWindows some = all;
    some.windows.clear();
    for (std::size_t i = first; i < all.windows.size() && some.windows.size() < count; i += step) {
        TokenWindow window = all.windows[i];
        window.ids.resize(std::min(window.ids.size(), length));
        some.windows.push_back(std::move(window));
    }
    some.hash = Hasher().add(all.hash).add(fmt::format("{} {} {} {}", first, step, count, length)).hex();
    return some;
}

// Token windows that lie beside the model; half of them calibrate, the other half measure.
std::string tokenFile(const std::string &model)
{
    std::vector<std::string> files;
    for (const auto &entry : fs::directory_iterator(model + "/reference"))
        if (entry.path().string().ends_with(".windows.npy"))
            files.push_back(entry.path().string());
    std::sort(files.begin(), files.end());
    return files.empty() ? "" : files.front();
}

}  // namespace

class TestModels : public QObject {
    Q_OBJECT
private:
    static void addModels()
    {
        QTest::addColumn<QString>("model");
        if (test::sharedFolder().empty())
            return;
        std::vector<std::string> names;
        for (const auto &entry : fs::directory_iterator(test::sharedFolder() + "/models"))
            names.push_back(entry.path().filename().string());
        std::sort(names.begin(), names.end());
        for (const std::string &name : names)
            QTest::newRow(name.c_str()) << QString::fromStdString(test::sharedFolder() + "/models/" + name);
    }

    struct Work {
        Engine engine;
        TaskContext context = engine.context();
        std::shared_ptr<const LoadedModel> model;
        std::shared_ptr<Project> project;
        std::shared_ptr<const TokenWindows> calibration, evaluation;

        Work(const std::string &folder, const std::string &place, std::size_t windows, std::size_t length)
        {
            model = engine.load(folder, context);
            project = engine.createProject(place + "/model.lqer", *model);
            const auto all = engine.tokenWindows(*model, tokenFile(folder), {.convention = WindowConvention::Tokens}, context);
            calibration = std::make_shared<TokenWindows>(someWindows(*all, 0, 2, windows, length));
            evaluation = std::make_shared<TokenWindows>(someWindows(*all, 1, 2, windows, length));
        }
    };

private slots:
    void exactScalingIsNeverAboveTheOthers_data() { addModels(); }
    // At the same rank, on every layer, at 4, 3 and 2 bits. A and B unquantized: the optimum is over real numbers.
    void exactScalingIsNeverAboveTheOthers()
    {
        LQER_NEED_SHARED();
        QFETCH(QString, model);
        const QTemporaryDir place(test::scratchTemplate());
        Work work(model.toStdString(), place.path().toStdString(), 8, 128);
        for (const int bits : {4, 3, 2}) {
            RunRequest request;
            request.recipe.name = "weights only";
            request.recipe.defaults.weight = FormatSpec::parse(fmt::format("mxint:width={},block_size=32", bits));
            request.recipe.defaults.rank = 8;
            request.recipe = withSensibleRanks(request.recipe, work.model->transformer().linearSites());
            request.recipe.defaults.scaling = ScalingKind::Exact;
            request.calibrationWindows = work.calibration;
            request.evaluationWindows = std::make_shared<TokenWindows>(someWindows(*work.evaluation, 0, 1, 1, 16));  // layer errors matter here
            request.compare = {ScalingKind::Identity, ScalingKind::MeanAbs, ScalingKind::Diagonal, ScalingKind::Exact};
            const auto result = work.engine.run(*work.model, *work.project, request, work.context);
            QCOMPARE(result->reports.size(), std::size_t{4});
            const EvaluationReport &exact = *result->reports.back();
            QCOMPARE(exact.layers.size(), work.model->transformer().linearSites().size());
            double closest = 0;
            for (std::size_t other = 0; other < 3; ++other) {
                for (std::size_t i = 0; i < exact.layers.size(); ++i) {
                    const LayerError &best = exact.layers[i];
                    const double theirs = result->reports[other]->layers[i].correctedOutputError;
                    QVERIFY(best.fullAutocorrelation && best.outputError > 0);
                    // Factors are rounded to float32 (2^-24), products are formed in float32: 1e-6 of the error before correction.
                    QVERIFY2(best.correctedOutputError <= theirs + 1e-6 * best.outputError,
                             qPrintable(QString("%1 bits, %2: exact %3, %4 %5")
                                            .arg(bits)
                                            .arg(QString::fromStdString(best.layer))
                                            .arg(best.correctedOutputError)
                                            .arg(QString::fromStdString(result->reports[other]->title))
                                            .arg(theirs)));
                    closest = std::max(closest, best.correctedOutputError / theirs);
                }
            }
            qInfo("%d bits: exact / next best is at most %.6f", bits, closest);
        }
    }

    void wholeJobIsFiniteAndInOrder_data() { addModels(); }
    // W4A8, W3A8 and W2A8 in block_fp as the LQER paper has them, with the largest sensible rank up to 32.
    void wholeJobIsFiniteAndInOrder()
    {
        LQER_NEED_SHARED();
        QFETCH(QString, model);
        const QTemporaryDir place(test::scratchTemplate());
        Work work(model.toStdString(), place.path().toStdString(), 12, 256);
        double plainBefore = 0;
        for (const int bits : {4, 3, 2}) {
            RunRequest request;
            request.recipe = findRecipePreset("l2qer-w4a8");
            request.recipe.defaults.weight = FormatSpec::parse(fmt::format("block_fp:width={},block_size=1x16", bits));
            request.recipe = withSensibleRanks(request.recipe, work.model->transformer().linearSites());
            request.calibrationWindows = work.calibration;
            request.evaluationWindows = work.evaluation;
            request.evaluate.divergence = true;
            request.plain = true;
            request.compare.assign(std::begin(scalings), std::end(scalings));
            const auto result = work.engine.run(*work.model, *work.project, request, work.context);
            QCOMPARE(result->reports.size(), std::size_t{5});
            QString line = QString("W%1A8: original %2").arg(bits).arg(QString::fromStdString(
                formatPerplexity(result->reports[0]->original->perplexity)));
            for (const auto &report : result->reports) {
                QVERIFY(std::isfinite(report->perplexity->perplexity) && report->perplexity->perplexity > 1);
                QVERIFY(std::isfinite(report->divergence->kl.mean) && report->divergence->kl.mean >= 0);
                line += QString(" | %1 %2 (KL %3)")
                            .arg(QString::fromStdString(report->title), QString::fromStdString(formatPerplexity(report->perplexity->perplexity)))
                            .arg(report->divergence->kl.mean, 0, 'g', 3);
                for (const LayerError &layer : report->layers) {
                    QVERIFY(std::isfinite(layer.correctedOutputError) && layer.outputKnown);
                    QVERIFY(layer.weightError > 0 && layer.weightError < layer.weightEnergy);
                }
                QVERIFY(report->footprint->bytes > 0);
            }
            qInfo("%s", qPrintable(line));
            const double plain = result->reports[0]->divergence->kl.mean;
            const double exact = result->reports[4]->divergence->kl.mean;
            QVERIFY2(plain > plainBefore, "fewer bits are worse");
            QVERIFY2(exact < plain, "the correction brings the model closer to the original");
            plainBefore = plain;
        }
    }
};

QTEST_GUILESS_MAIN(TestModels)
#include "tst_models.moc"
