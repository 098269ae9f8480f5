// SPDX-License-Identifier: Apache-2.0
#include "core/recon/adapter_init.h"

#include <QtTest>

#include "tests/linalg/random_matrix.h"
#include "tests/support/shared_data.h"
#include "tests/support/stop_at_poll.h"

using namespace lqer;
using namespace lqer::test;

namespace {

std::unique_ptr<Quantizer> mxint(int width)
{
    return makeQuantizer(FormatSpec::parse("mxint:block_size=16,width=" + std::to_string(width)));
}

double distance(const Matrix &weight, const AdapterInit &init)
{
    return (weight.cast<double>() - init.base.cast<double>() - init.loraB.cast<double>() * init.loraA.cast<double>()).norm();
}

Scaling ones(Index inputs)
{
    return Scaling::fromVector(ScalingKind::Diagonal, VectorF64::Ones(inputs));
}

}  // namespace

class TestAdapterInit : public QObject {
    Q_OBJECT

private slots:
    void loftqApproachesTheWeight()
    {
        const Matrix weight = randomMatrix(32, 48, 1);
        const AdapterInit once = initLoftq(weight, *mxint(2), 6, 1);
        const AdapterInit five = initLoftq(weight, *mxint(2), 6, 5);
        QCOMPARE(once.errors.size(), std::size_t(1));
        QCOMPARE(five.errors.size(), std::size_t(5));
        QCOMPARE(five.errors[0], once.errors[0]);
        QVERIFY(five.errors.back() < once.errors[0]);
        QVERIFY(once.errors[0] < initQlora(weight, *mxint(2)).errors[0]);
        QVERIFY(once.base == initQlora(weight, *mxint(2)).base);
        QVERIFY(std::abs(distance(weight, five) - five.errors.back()) < 1e-5 * five.errors.back());
        // Both factors carry the same share of sigma.
        QVERIFY(std::abs(once.loraA.norm() - once.loraB.norm()) < 1e-5F * once.loraA.norm());
    }

    void qeraMinimisesTheErrorOfTheScaledInputs()
    {
        const Matrix weight = randomMatrix(40, 30, 2);
        const MatrixF64 x = randomActivations(500, 30, 3).cast<double>();
        const MatrixF64 root = symmetricSqrt(MatrixF64(x.transpose() * x / 500.0));
        const AdapterInit exact = initQera(weight, *mxint(3), 5, Scaling::fromAutocorrelation(x.transpose() * x / 500.0));
        const AdapterInit plain = initQera(weight, *mxint(3), 5, ones(30));
        const auto outputError = [&](const AdapterInit &init) {
            return (x * (weight - init.base).cast<double>().transpose()
                    - x * init.loraA.cast<double>().transpose() * init.loraB.cast<double>().transpose())
                .norm();
        };
        QVERIFY(outputError(exact) < outputError(plain));
        const VectorF64 sigma = singularValues(MatrixF64((weight - exact.base).cast<double>() * root));
        QVERIFY(std::abs(outputError(exact) / std::sqrt(500.0) - sigma.tail(25).norm()) < 1e-4 * sigma.tail(25).norm());
        // With equal scales it is the plain SVD: the residual is the tail of the singular values.
        const VectorF64 unscaled = singularValues(MatrixF64((weight - plain.base).cast<double>()));
        QVERIFY(std::abs(plain.errors[0] - unscaled.tail(25).norm()) < 1e-6 * plain.errors[0]);
        QVERIFY(std::abs(distance(weight, plain) - plain.errors[0]) < 1e-5 * plain.errors[0]);
    }

    void aDeadChannelIsHarmless()
    {
        VectorF64 scale = VectorF64::Ones(30);
        scale[7] = 0;
        const AdapterInit init = initQera(randomMatrix(20, 30, 4), *mxint(2), 20, Scaling::fromVector(ScalingKind::Diagonal, scale));
        QVERIFY(init.loraA.allFinite() && init.loraB.allFinite());
        QVERIFY(init.errors[0] <= initQlora(randomMatrix(20, 30, 4), *mxint(2)).errors[0]);
    }

    // Of order 600, where decompose() iterates: the best rank 8 leaves what LAPACK's singular values behind the eighth add up to.
    void largeLayersComeWithinAThousandthOfTheBest()
    {
        const Matrix weight = 0.2F * randomMatrix(640, 600, 6) + randomError(640, 600, 7) * 40.0F;
        const AdapterInit init = initLoftq(weight, *mxint(2), 8, 1);
        const VectorF64 sigma = singularValues(MatrixF64((weight - init.base).cast<double>()));
        const double best = sigma.tail(592).squaredNorm(), all = sigma.squaredNorm();
        QVERIFY(init.errors[0] * init.errors[0] < best + 1e-3 * (all - best));
        QVERIFY(std::abs(distance(weight, init) - init.errors[0]) < 1e-5 * init.errors[0]);
    }

    void aStopEndsTheWork()
    {
        const Matrix weight = randomMatrix(64, 96, 8);
        const long polls = pollsOf([&](const TaskContext &context) { initLoftq(weight, *mxint(2), 6, 3, context); });
        QVERIFY(polls > 3 * 3);
    }

    void impossibleArgumentsAreRefused()
    {
        const Matrix weight = randomMatrix(8, 16, 5);
        ErrorCode code{};
        QVERIFY(errorOf([&] { initLoftq(weight, *mxint(4), 9, 1); }, &code).find("rank 9") != std::string::npos);
        QVERIFY(code == ErrorCode::Argument);
        QVERIFY(!errorOf([&] { initLoftq(weight, *mxint(4), 2, 0); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
        QVERIFY(!errorOf([&] { initQera(weight, *mxint(4), 0, ones(16)); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
        QVERIFY(errorOf([&] { initQera(weight, *mxint(4), 2, ones(8)); }, &code).find("covers 8") != std::string::npos);
        QVERIFY(code == ErrorCode::Shape);
    }
};

QTEST_GUILESS_MAIN(TestAdapterInit)
#include "tst_adapter_init.moc"
