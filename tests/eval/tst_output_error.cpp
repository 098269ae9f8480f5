// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <random>

#include <QtTest>

#include "core/eval/output_error.h"
#include "core/eval/quantized_forward.h"
#include "core/task/thread_pool.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

constexpr Index in = 40;
constexpr Index out = 24;
constexpr Index tokens = 200;

Matrix randomMatrix(Index rows, Index cols, unsigned seed)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    return Matrix::NullaryExpr(rows, cols, [&] { return normal(random); });
}

// Activations with uneven channels, and their statistics.
struct Sample {
    Matrix x = randomMatrix(tokens, in, 3);
    SiteStats stats;

    Sample()
    {
        for (Index i = 0; i < in; ++i)
            x.col(i) *= 1.0F + static_cast<float>(i % 7);
        SiteAccumulator accumulator(in, {});
        accumulator.feed(x);
        stats = accumulator.finish();
    }
};

bool near(double found, double expected, double relative)
{
    return std::abs(found - expected) <= relative * std::abs(expected);
}

}  // namespace

class TestOutputError : public QObject {
    Q_OBJECT

private slots:
    // Against the outputs themselves: the mean over the calibration tokens of ||x D^T||^2 for each difference D.
    void energiesAreThoseOfTheOutputs()
    {
        const Sample sample;
        const Matrix weight = randomMatrix(out, in, 1);
        const Matrix quantized =
            quantizeWeight(*makeQuantizer(FormatSpec::parse("mxint:width=3,block_size=16")), weight, "w", {});
        LowRankCorrection correction;
        correction.a = 0.01F * randomMatrix(in, 3, 5);
        correction.b = randomMatrix(3, out, 6);
        const MatrixF64 x = sample.x.cast<double>();
        const MatrixF64 error = (weight - quantized).cast<double>();
        const MatrixF64 remaining = error - (correction.a.cast<double>() * correction.b.cast<double>()).transpose();
        const auto perToken = [&](const MatrixF64 &difference) { return (x * difference.transpose()).squaredNorm() / tokens; };

        const LayerError found = layerError("l", weight, quantized, &correction, &sample.stats, {});
        QCOMPARE(found.layer, std::string("l"));
        QVERIFY(found.outputKnown && found.fullAutocorrelation);
        QVERIFY(near(found.weightEnergy, weight.cast<double>().squaredNorm(), 1e-12));
        QVERIFY(near(found.weightError, error.squaredNorm(), 1e-12));
        QVERIFY(near(found.correctedWeightError, remaining.squaredNorm(), 1e-6));  // A B in float32
        // R is collected from float32 products of one window.
        QVERIFY(near(found.outputEnergy, perToken(weight.cast<double>()), 1e-5));
        QVERIFY(near(found.outputError, perToken(error), 1e-5));
        QVERIFY(near(found.correctedOutputError, perToken(remaining), 1e-5));
        QVERIFY(near(found.relativeOutputError(), std::sqrt(found.outputError / found.outputEnergy), 1e-14));
        QVERIFY(near(found.relativeWeightError(), error.norm() / weight.cast<double>().norm(), 1e-12));
        QVERIFY(near(found.relativeCorrectedWeightError(), remaining.norm() / weight.cast<double>().norm(), 1e-6));
        QVERIFY(found.relativeCorrectedOutputError() > 0);
    }

    void theBestCorrectionLowersTheOutputError()
    {
        const Sample sample;
        const auto stats = std::make_shared<const SiteStats>(sample.stats);
        const Matrix weight = randomMatrix(out, in, 1);
        const Matrix quantized =
            quantizeWeight(*makeQuantizer(FormatSpec::parse("mxint:width=2,block_size=16")), weight, "w", {});
        const auto exact = makeQuantizer(FormatSpec());
        double last = INFINITY;
        for (const ScalingKind kind : {ScalingKind::Identity, ScalingKind::Exact}) {
            const auto decomposition = decompose(weight - quantized, Scaling(kind, stats, in), {}, {});
            const LowRankCorrection correction = decomposition.truncate(6, *exact, *exact);
            const LayerError error = layerError("l", weight, quantized, &correction, &sample.stats, {});
            QVERIFY(error.correctedOutputError < error.outputError);
            QVERIFY(error.correctedOutputError < last);
            last = error.correctedOutputError;
            if (kind == ScalingKind::Exact)
                QVERIFY(near(error.correctedOutputError, decomposition.residualEnergy(6), 1e-4));  // A and B in float32
        }
    }

    void withoutStatisticsTheOutputIsUnknown()
    {
        const Matrix weight = randomMatrix(out, in, 1);
        const LayerError error = layerError("l", weight, 0.5F * weight, nullptr, nullptr, {});
        QVERIFY(!error.outputKnown && error.outputError == 0 && error.relativeOutputError() == 0);
        QVERIFY(near(error.relativeWeightError(), 0.5, 1e-6));
        QCOMPARE(error.correctedWeightError, error.weightError);
    }

    void theDiagonalIsUsedWhereOnlyItWasCollected()
    {
        Sample sample;
        sample.stats.autocorrelation = {};
        const Matrix weight = randomMatrix(out, in, 1);
        const LayerError error = layerError("l", weight, Matrix::Zero(out, in), nullptr, &sample.stats, {});
        QVERIFY(error.outputKnown && !error.fullAutocorrelation);
        const VectorF64 meanSquares = sample.x.cast<double>().cwiseAbs2().colwise().mean().transpose();
        QVERIFY(near(error.outputError, (weight.cast<double>().cwiseAbs2() * meanSquares).sum(), 1e-6));
        QCOMPARE(error.outputEnergy, error.outputError);
    }

    void threadsChangeNothing()
    {
        const Sample sample;
        const Matrix weight = randomMatrix(out, in, 1);
        const Matrix quantized = 0.9F * weight;
        LowRankCorrection correction;
        correction.a = randomMatrix(in, 3, 5);
        correction.b = randomMatrix(3, out, 6);
        ThreadPool pool(3);
        TaskContext context;
        context.pool = &pool;
        QCOMPARE(layerError("l", weight, quantized, &correction, &sample.stats, context),
                 layerError("l", weight, quantized, &correction, &sample.stats, {}));
    }

    void shapesThatDoNotFitNameTheLayer()
    {
        const Sample sample;
        const Matrix weight = randomMatrix(out, in, 1);
        LowRankCorrection correction;
        correction.a = randomMatrix(in + 1, 3, 5);
        correction.b = randomMatrix(3, out, 6);
        ErrorCode code{};
        const auto message = [&](const ConstMatrixRef &w, const ConstMatrixRef &q, const LowRankCorrection *c,
                                 const SiteStats *s) { return test::errorOf([&] { layerError("a.b", w, q, c, s, {}); }, &code); };
        for (const std::string &text :
             {message(weight, randomMatrix(out, in + 1, 1), nullptr, nullptr), message(weight, weight, &correction, nullptr),
              message(randomMatrix(out, in + 2, 1), randomMatrix(out, in + 2, 1), nullptr, &sample.stats)}) {
            QVERIFY2(text.find("layer 'a.b'") != std::string::npos, text.c_str());
            QVERIFY(code == ErrorCode::Shape);
        }
    }

    void totalIsTheErrorOfAllLayersTogether()
    {
        LayerError a, b;
        a.outputKnown = b.outputKnown = true;
        a.weightEnergy = 90, a.weightError = 9, a.outputEnergy = 300, a.outputError = 12, a.correctedOutputError = 3;
        b.weightEnergy = 10, b.weightError = 7, b.outputEnergy = 100, b.outputError = 4, b.correctedOutputError = 1;
        const LayerError total = totalError(std::vector<LayerError>{a, b});
        QCOMPARE(total.relativeWeightError(), 0.4);
        QCOMPARE(total.relativeOutputError(), 0.2);
        QCOMPARE(total.relativeCorrectedOutputError(), 0.1);
        QVERIFY(total.outputKnown && !total.fullAutocorrelation);
        b.outputKnown = false;
        QVERIFY(!totalError(std::vector<LayerError>{a, b}).outputKnown);
        QVERIFY(!totalError({}).outputKnown);
    }
};

QTEST_GUILESS_MAIN(TestOutputError)
#include "tst_output_error.moc"
