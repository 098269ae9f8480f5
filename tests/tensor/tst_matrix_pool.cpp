// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/matrix_pool.h"

#include <QtTest>

#include <thread>
#include <vector>

using namespace lqer;

class TestMatrixPool : public QObject {
    Q_OBJECT

private slots:
    void whatIsGivenBackServesAgain()
    {
        MatrixPool pool;
        const float *first = nullptr;
        {
            PooledMatrix matrix = pool.take(20, 30);
            QCOMPARE(matrix->rows(), Index(20));
            QCOMPARE(matrix->cols(), Index(30));
            first = matrix->data();
            QCOMPARE(pool.idle(), Index(0));
        }
        QCOMPARE(pool.idle(), Index(600));
        const PooledMatrix again = pool.take(60, 10);
        QVERIFY(again->data() == first);
        QCOMPARE(again->rows(), Index(60));
        QCOMPARE(pool.idle(), Index(0));
        const PooledMatrix other = pool.take(60, 10);
        QVERIFY(other->data() != first);
    }

    void whatIsMovedOnGoesBackOnce()
    {
        MatrixPool pool;
        {
            std::vector<PooledMatrix> kept;
            PooledMatrix matrix = pool.take(4, 5);
            kept.push_back(std::move(matrix));
            QVERIFY(!matrix);  // NOLINT(bugprone-use-after-move)
            matrix = pool.take(2, 3);
            QCOMPARE(pool.idle(), Index(0));
        }
        QCOMPARE(pool.idle(), Index(26));
    }

    // Windows of ever other lengths, as tasks have them.
    void sizesThatDoNotComeBackDoNotPileUp()
    {
        MatrixPool pool;
        for (Index length = 1; length <= 200; ++length) {
            const PooledMatrix a = pool.take(length, 7), b = pool.take(length, 11);
            QVERIFY(pool.idle() + a->size() + b->size() <= 2 * length * 18);
        }
        const PooledMatrix last = pool.take(200, 18);
        QVERIFY(pool.idle() <= 200 * 18);
    }

    void threadsShareIt()
    {
        MatrixPool pool;
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&pool, t] {
                for (int i = 0; i < 500; ++i) {
                    const PooledMatrix mine = [&] {
                        PooledMatrix matrix = pool.take(1 + i % 3, 8);
                        matrix->setConstant(static_cast<float>(t));
                        return matrix;
                    }();
                    if (!(mine->array() == static_cast<float>(t)).all())
                        std::abort();
                }
            });
        threads.clear();
        QVERIFY(pool.idle() <= 2 * 4 * 24);
    }
};

QTEST_GUILESS_MAIN(TestMatrixPool)
#include "tst_matrix_pool.moc"
