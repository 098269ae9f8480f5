// SPDX-License-Identifier: Apache-2.0
#include "core/recon/allocation.h"

#include <QtTest>

#include <limits>
#include <random>

#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

std::vector<RankCandidate> randomLayers(unsigned seed, bool equalCost)
{
    std::mt19937_64 engine(seed);
    std::uniform_real_distribution<double> uniform(0.1, 2.0);
    std::vector<RankCandidate> layers(3);
    for (RankCandidate &layer : layers) {
        layer.sigma = VectorF64::NullaryExpr(5, [&](Index) { return uniform(engine); });
        std::sort(layer.sigma.begin(), layer.sigma.end(), std::greater<>());
        layer.in = equalCost ? 6 : 2 + static_cast<Index>(engine() % 9);
        layer.out = equalCost ? 4 : 2 + static_cast<Index>(engine() % 9);
        layer.weight = uniform(engine);
        layer.aBits = 8;
        layer.bBits = 8;
    }
    return layers;
}

double cost(const RankCandidate &layer)
{
    return layer.aBits * static_cast<double>(layer.in) + layer.bBits * static_cast<double>(layer.out);
}

double gain(const RankCandidate &layer, Index rank)
{
    return layer.weight * layer.sigma.head(rank).squaredNorm();
}

double bestGain(const std::vector<RankCandidate> &layers, double budget)
{
    double best = 0;
    for (Index i = 0; i <= 5; ++i)
        for (Index j = 0; j <= 5; ++j)
            for (Index k = 0; k <= 5; ++k)
                if (i * cost(layers[0]) + j * cost(layers[1]) + k * cost(layers[2]) <= budget)
                    best = std::max(best, gain(layers[0], i) + gain(layers[1], j) + gain(layers[2], k));
    return best;
}

}  // namespace

class TestAllocation : public QObject {
    Q_OBJECT

private slots:
    void noAllocationIsBetterWhereAllLayersCostTheSame()
    {
        for (unsigned seed = 0; seed < 20; ++seed) {
            const std::vector<RankCandidate> layers = randomLayers(seed, true);
            for (double budget = 0; budget <= 1300; budget += 37) {
                const RankAllocation found = allocateRanks(layers, budget);
                QVERIFY(found.bits <= budget);
                QVERIFY(std::abs(found.gain - bestGain(layers, budget)) < 1e-12);
            }
        }
    }

    void withUnequalCostsTheGapIsAtMostOneComponent()
    {
        for (unsigned seed = 0; seed < 20; ++seed) {
            const std::vector<RankCandidate> layers = randomLayers(seed, false);
            double largest = 0;
            for (const RankCandidate &layer : layers)
                largest = std::max(largest, gain(layer, 1));
            for (double budget = 0; budget <= 1800; budget += 31) {
                const RankAllocation found = allocateRanks(layers, budget);
                const double best = bestGain(layers, budget);
                QVERIFY(found.bits <= budget);
                QVERIFY(found.gain <= best + 1e-12);
                QVERIFY(found.gain >= best - largest);
                // Exactly what was spent could not have been spent better where nothing was passed over.
                const RankAllocation again = allocateRanks(layers, found.bits);
                QVERIFY(again.gain >= found.gain - 1e-12);
            }
        }
    }

    void aLargeBudgetTakesEverythingWithGain()
    {
        std::vector<RankCandidate> layers = randomLayers(3, false);
        layers[1].sigma[4] = 0;
        const RankAllocation found = allocateRanks(layers, 1e9);
        QCOMPARE(found.ranks, (std::vector<Index>{5, 4, 5}));
        double bits = 0;
        for (std::size_t i = 0; i < 3; ++i)
            bits += cost(layers[i]) * static_cast<double>(found.ranks[i]);
        QCOMPARE(found.bits, bits);
    }

    void tiesGoToTheEarlierLayer()
    {
        RankCandidate layer;
        layer.sigma = VectorF64::Ones(4);
        layer.in = layer.out = 8;
        const std::vector<RankCandidate> layers(3, layer);
        QCOMPARE(allocateRanks(layers, 5 * cost(layer)).ranks, (std::vector<Index>{4, 1, 0}));
    }

    void ranksComeInSteps()
    {
        const std::vector<RankCandidate> layers = randomLayers(5, true);
        for (const Index rank : allocateRanks(layers, 900, 2).ranks)
            QVERIFY(rank % 2 == 0 || rank == 5);
        QCOMPARE(allocateRanks(layers, 1e9, 2).ranks, (std::vector<Index>{5, 5, 5}));
    }

    void theWeightDecidesBetweenEqualSpectra()
    {
        std::vector<RankCandidate> layers = randomLayers(6, true);
        layers[1].sigma = layers[2].sigma = layers[0].sigma;
        layers[0].weight = layers[1].weight = 1;
        layers[2].weight = 1e6;
        QCOMPARE(allocateRanks(layers, 5 * cost(layers[0])).ranks, (std::vector<Index>{0, 0, 5}));
    }

    void nothingIsAllocatedToNothing()
    {
        QVERIFY(allocateRanks({}, 100).ranks.empty());
        QCOMPARE(allocateRanks(randomLayers(7, true), 0).ranks, (std::vector<Index>{0, 0, 0}));
    }

    void nonsenseIsRefused_data()
    {
        QTest::addColumn<int>("what");
        for (int i = 0; i < 5; ++i)
            QTest::addRow("%d", i) << i;
    }
    void nonsenseIsRefused()
    {
        QFETCH(int, what);
        std::vector<RankCandidate> layers = randomLayers(8, true);
        double budget = 100;
        const double nan = std::numeric_limits<double>::quiet_NaN();
        switch (what) {
        case 0:
            budget = -1;
            break;
        case 1:
            budget = nan;
            break;
        case 2:
            layers[1].weight = nan;
            break;
        case 3:
            layers[1].sigma[3] = layers[1].sigma[0] + 1;
            break;
        case 4:
            layers[1].sigma[3] = nan;
            break;
        }
        ErrorCode code{};
        const std::string message = errorOf([&] { allocateRanks(layers, budget); }, &code);
        QVERIFY2(message.find(what < 2 ? "budget" : "layer 1") != std::string::npos, message.c_str());
        QVERIFY(code == ErrorCode::Argument);
    }
};

QTEST_GUILESS_MAIN(TestAllocation)
#include "tst_allocation.moc"
