// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/decomposition.h"

#include <QtTest>

#include <limits>

#include <Eigen/SVD>

#include "tests/linalg/random_matrix.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

double orthonormalityError(const MatrixF64 &columns)
{
    return (columns.transpose() * columns - MatrixF64::Identity(columns.cols(), columns.cols())).cwiseAbs().maxCoeff();
}

// Symmetric with the given eigenvalues.
MatrixF64 withEigenvalues(const VectorF64 &values, unsigned seed)
{
    MatrixF64 q = randomMatrixF64(values.size(), values.size(), seed);
    orthonormalizeColumns(q);
    return q * values.asDiagonal() * q.transpose();
}

GramOperator operatorOf(const Matrix &g)
{
    return [&g](const ConstMatrixRef &x, MatrixRef y) { multiply(x, g, y); };
}

}  // namespace

class TestDecomposition : public QObject {
    Q_OBJECT

private slots:
    void thinSvdAgreesWithJacobi_data()
    {
        QTest::addColumn<int>("rows");
        QTest::addColumn<int>("cols");
        QTest::newRow("tall") << 40 << 17;
        QTest::newRow("wide") << 13 << 31;
        QTest::newRow("square") << 20 << 20;
        QTest::newRow("row") << 1 << 6;
        QTest::newRow("column") << 6 << 1;
        QTest::newRow("no rows") << 0 << 4;
    }
    void thinSvdAgreesWithJacobi()
    {
        QFETCH(int, rows);
        QFETCH(int, cols);
        const MatrixF64 a = randomMatrixF64(rows, cols, 1);
        const Svd svd = thinSvd(a);
        const Index r = std::min(rows, cols);
        QCOMPARE(svd.u.rows(), Index(rows));
        QCOMPARE(svd.u.cols(), r);
        QCOMPARE(svd.vt.rows(), r);
        QCOMPARE(svd.vt.cols(), Index(cols));
        if (r == 0)
            return;
        QVERIFY((svd.u * svd.sigma.asDiagonal() * svd.vt - a).cwiseAbs().maxCoeff() < 1e-13);
        QVERIFY(orthonormalityError(svd.u) < 1e-13);
        QVERIFY(orthonormalityError(svd.vt.transpose()) < 1e-13);
        const Eigen::JacobiSVD<Eigen::MatrixXd> jacobi(a);
        QVERIFY((svd.sigma - jacobi.singularValues()).cwiseAbs().maxCoeff() < 1e-13 * svd.sigma[0]);
        QVERIFY((singularValues(a) - jacobi.singularValues()).cwiseAbs().maxCoeff() < 1e-13 * svd.sigma[0]);
    }

    void symmetricEigenRebuildsTheMatrix()
    {
        const MatrixF64 half = randomMatrixF64(30, 30, 2);
        const MatrixF64 g = half + half.transpose();
        const SymmetricEigen eigen = symmetricEigen(g);
        QVERIFY((eigen.vectors * eigen.values.asDiagonal() * eigen.vectors.transpose() - g).cwiseAbs().maxCoeff() < 1e-12);
        QVERIFY(std::is_sorted(eigen.values.begin(), eigen.values.end()));
        QVERIFY((symmetricEigenvalues(g) - eigen.values).cwiseAbs().maxCoeff() < 1e-12);
    }

    void theTwoStageValuesAgreeWithTheVectors()
    {
        const VectorF64 values = VectorF64::LinSpaced(1100, 0.0, 10.0);
        const MatrixF64 g = withEigenvalues(values, 3);
        QVERIFY((symmetricEigenvalues(g) - values).cwiseAbs().maxCoeff() < 1e-12);
    }

    void leadingVectorsAreEigenvectors_data()
    {
        QTest::addColumn<int>("n");
        QTest::addColumn<int>("k");
        QTest::newRow("few of many") << 120 << 7;
        QTest::newRow("half") << 40 << 20;
        QTest::newRow("most") << 40 << 33;
        QTest::newRow("all") << 25 << 25;
        QTest::newRow("none") << 25 << 0;
        QTest::newRow("more than a block of columns and half of them") << 77 << 38;
        QTest::newRow("most of a large one") << 1040 << 530;
        QTest::newRow("order one") << 1 << 1;
    }
    void leadingVectorsAreEigenvectors()
    {
        QFETCH(int, n);
        QFETCH(int, k);
        const MatrixF64 x = randomMatrixF64(2 * n, n, 4);
        const MatrixF64 g = x.transpose() * x;
        const SymmetricLeading leading = symmetricLeading(g, k);
        QCOMPARE(leading.values.size(), Index(n));
        QCOMPARE(leading.vectors.cols(), Index(k));
        QVERIFY(std::is_sorted(leading.values.begin(), leading.values.end(), std::greater<>()));
        QVERIFY((leading.values.reverse() - symmetricEigen(g).values).cwiseAbs().maxCoeff() < 1e-12 * leading.values[0]);
        if (k == 0)
            return;
        QVERIFY(orthonormalityError(leading.vectors) < 1e-12);
        const MatrixF64 residual = g * leading.vectors - leading.vectors * leading.values.head(k).asDiagonal();
        QVERIFY(residual.cwiseAbs().maxCoeff() < 1e-11 * leading.values[0]);
    }

    void leadingVectorsOfRepeatedValuesStayOrthogonal()
    {
        VectorF64 values = VectorF64::Ones(60);
        values.tail(30).setConstant(2.0);
        const MatrixF64 g = withEigenvalues(values, 5);
        const SymmetricLeading leading = symmetricLeading(g, 25);
        QVERIFY(orthonormalityError(leading.vectors) < 1e-12);
        QVERIFY((g * leading.vectors - 2.0 * leading.vectors).cwiseAbs().maxCoeff() < 1e-12);
    }

    void squareRootSquaredIsTheMatrix()
    {
        const MatrixF64 x = randomMatrixF64(10, 25, 6);  // rank 10 of 25
        const MatrixF64 r = x.transpose() * x;
        const MatrixF64 root = symmetricSqrt(r);
        QVERIFY((root * root - r).cwiseAbs().maxCoeff() < 1e-12 * r.cwiseAbs().maxCoeff());
        QVERIFY((root - root.transpose()).cwiseAbs().maxCoeff() < 1e-13 * root.cwiseAbs().maxCoeff());
    }

    void orthonormalColumnsKeepTheirDirections()
    {
        MatrixF64 q = randomMatrixF64(50, 50, 8).leftCols(12);
        orthonormalizeColumns(q);
        const MatrixF64 exact = q;
        q += 1e-9 * randomMatrixF64(50, 12, 9);
        orthonormalizeColumns(q);
        QVERIFY(orthonormalityError(q) < 1e-14);
        QVERIFY((q - exact).cwiseAbs().maxCoeff() < 1e-7);
    }

    void notFiniteIsANumericError_data()
    {
        QTest::addColumn<double>("bad");
        QTest::newRow("NaN") << std::numeric_limits<double>::quiet_NaN();
        QTest::newRow("infinity") << -std::numeric_limits<double>::infinity();
    }
    void notFiniteIsANumericError()
    {
        QFETCH(double, bad);
        MatrixF64 a = randomMatrixF64(5, 5, 10);
        a = (a + a.transpose()).eval();
        a(3, 2) = a(2, 3) = bad;
        for (const std::function<void()> &work : std::vector<std::function<void()>>{
                 [&] { thinSvd(a); }, [&] { singularValues(a); }, [&] { symmetricEigen(a); }, [&] { symmetricEigenvalues(a); },
                 [&] { symmetricLeading(a, 2); }, [&] { symmetricSqrt(a); }}) {
            ErrorCode code{};
            const std::string message = errorOf(work, &code);
            QVERIFY2(message.find("(2, 3)") != std::string::npos, message.c_str());
            QVERIFY(code == ErrorCode::Numeric);
        }
    }

    // Energy captured relative to the optimum. Flat: round-off noise only, the hardest case for an iteration.
    void krylovCapturesTheOptimalEnergy_data()
    {
        QTest::addColumn<int>("n");
        QTest::addColumn<int>("k");
        QTest::addColumn<double>("spread");
        QTest::addColumn<double>("least");
        QTest::newRow("steep, k 16") << 600 << 16 << 1.0 << 0.99999;
        QTest::newRow("moderate, k 32") << 600 << 32 << 0.5 << 0.9999;
        QTest::newRow("flat, k 32") << 600 << 32 << 0.0 << 0.999;
        QTest::newRow("flat, k 1") << 600 << 1 << 0.0 << 0.999;
        QTest::newRow("k above the block") << 500 << 100 << 0.5 << 0.999;
        QTest::newRow("k equal n") << 70 << 70 << 0.3 << 0.999999;
        QTest::newRow("n below the block") << 9 << 4 << 0.3 << 0.999999;
    }
    void krylovCapturesTheOptimalEnergy()
    {
        QFETCH(int, n);
        QFETCH(int, k);
        QFETCH(double, spread);
        QFETCH(double, least);
        std::mt19937_64 engine(11);
        std::normal_distribution<double> normal;
        MatrixF64 e = randomMatrixF64(n, n, 12);
        for (Index i = 0; i < n; ++i)
            e.row(i) *= std::exp(spread * normal(engine));
        const MatrixF64 g = e.transpose() * e;
        const Matrix gFloat = g.cast<float>();
        const LeadingSubspace found = leadingSubspace(n, k, operatorOf(gFloat), {}, {});
        QVERIFY(orthonormalityError(found.vectors.transpose()) < 1e-13);
        const double captured = (found.vectors * g * found.vectors.transpose()).trace();
        const double optimal = symmetricEigen(g).values.tail(k).sum();
        QVERIFY2(captured >= least * optimal, qPrintable(QString::number(captured / optimal, 'g', 10)));
        QVERIFY(captured <= optimal * (1 + 1e-10));
        // The vectors are a step ahead of the values.
        QVERIFY(found.values.sum() < captured + 1e-5 * optimal && found.values.sum() > captured - 5e-4 * optimal);
        // The bound holds, and says nearly as much as the truth.
        const double bound = leadingEnergyBound(found.vectors, operatorOf(gFloat), {});
        QVERIFY2(bound >= optimal * (1 - 1e-6) && bound < optimal * 1.02, qPrintable(QString::number(bound / optimal, 'g', 10)));
        QVERIFY(std::is_sorted(found.values.begin(), found.values.end(), std::greater<>()));
    }

    void theBoundOfTheEnergyHoldsForAnyVectors()
    {
        const MatrixF64 x = randomMatrixF64(300, 120, 16);
        const MatrixF64 g = x.transpose() * x;
        const Matrix gFloat = g.cast<float>();
        const double optimal = symmetricEigen(g).values.tail(10).sum();
        MatrixF64 any = randomMatrixF64(120, 10, 17);
        orthonormalizeColumns(any);
        QVERIFY(leadingEnergyBound(any.transpose(), operatorOf(gFloat), {}) >= optimal);
        const SymmetricLeading leading = symmetricLeading(g, 11);
        QVERIFY(std::abs(leadingEnergyBound(leading.vectors.leftCols(10).transpose(), operatorOf(gFloat), {}) / optimal - 1) < 1e-4);
        // The largest direction left out: what remains is seen all the same.
        QVERIFY(leadingEnergyBound(leading.vectors.rightCols(10).transpose(), operatorOf(gFloat), {}) >= optimal);
        QCOMPARE(leadingEnergyBound(MatrixF64::Identity(3, 5), operatorOf(Matrix::Zero(5, 5)), {}), 0.0);
    }

    void krylovSeesMoreCopiesOfAValueThanItsBlockIsWide()
    {
        VectorF64 values = VectorF64::Constant(300, 1e-3);
        values.tail(50).setConstant(1.0);
        const MatrixF64 g = withEigenvalues(values, 13);
        const Matrix gFloat = g.cast<float>();
        LeadingSubspaceOptions options;
        options.block = 16;
        const LeadingSubspace found = leadingSubspace(300, 50, operatorOf(gFloat), options, {});
        const double captured = (found.vectors * g * found.vectors.transpose()).trace();
        QVERIFY2(captured > 0.9999 * 50.0, qPrintable(QString("%1 in %2 blocks").arg(captured).arg(found.blocks)));
    }

    void krylovOfARankBelowKReturnsZerosAfterIt()
    {
        const MatrixF64 x = randomMatrixF64(5, 200, 14);
        const Matrix g = (x.transpose() * x).cast<float>();
        const LeadingSubspace found = leadingSubspace(200, 40, operatorOf(g), {}, {});
        QVERIFY(orthonormalityError(found.vectors.transpose()) < 1e-13);
        QVERIFY(found.values[4] > 1.0);
        QVERIFY(found.values.tail(35).maxCoeff() < 1e-5 * found.values[0]);
        const Matrix zero = Matrix::Zero(50, 50);
        const LeadingSubspace nothing = leadingSubspace(50, 3, operatorOf(zero), {}, {});
        QCOMPARE(nothing.values.maxCoeff(), 0.0);
        QVERIFY(orthonormalityError(nothing.vectors.transpose()) < 1e-13);
    }

    void krylovGivesTheSameBitsWithThreeThreads()
    {
        const Matrix e = randomError(900, 900, 15);
        ThreadPool three(3);
        const auto run = [&](const TaskContext &context) {
            return leadingSubspace(
                900, 20,
                [&](const ConstMatrixRef &x, MatrixRef y) {
                    Matrix t(x.rows(), 900);
                    multiplyTransposed(x, e, t, context);
                    multiply(t, e, y, context);
                },
                {}, context);
        };
        const LeadingSubspace alone = run({});
        const LeadingSubspace together = run({&three});
        QVERIFY(alone.vectors == together.vectors);
        QVERIFY(alone.values == together.values);
    }

    void krylovStopsWhenAsked()
    {
        std::stop_source source;
        int products = 0;
        const GramOperator gramOperator = [&](const ConstMatrixRef &x, MatrixRef y) {
            y = x;
            if (++products == 2)
                source.request_stop();
        };
        LeadingSubspaceOptions options;
        options.tolerance = 0;
        QVERIFY_EXCEPTION_THROWN(leadingSubspace(2000, 500, gramOperator, options, {nullptr, nullptr, source.get_token()}),
                                 Cancelled);
        QCOMPARE(products, 2);
    }

    void krylovReportsProductsThatAreNotFinite()
    {
        ErrorCode code{};
        const std::string message = errorOf(
            [&] {
                leadingSubspace(40, 3,
                                [](const ConstMatrixRef &x, MatrixRef y) {
                                    y = x;
                                    y(7, 0) = std::numeric_limits<float>::quiet_NaN();
                                },
                                {}, {});
            },
            &code);
        QVERIFY(code == ErrorCode::Numeric);
        QVERIFY(message.find("not finite") != std::string::npos);
    }
};

QTEST_GUILESS_MAIN(TestDecomposition)
#include "tst_decomposition.moc"
