// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/onednn.h"

#include <QtTest>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <memory>
#include <thread>

#include <pthread.h>
#include <ucontext.h>

#include "core/linalg/float_weight.h"
#include "tests/linalg/random_matrix.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// Of the thread that multiplies, for the handler.
std::uintptr_t stackBegin = 0, stackEnd = 0;
std::atomic<long> handled = 0, outside = 0;

void onSignal(int, siginfo_t *, void *context)
{
#ifdef __x86_64__
    const auto pointer = static_cast<std::uintptr_t>(static_cast<const ucontext_t *>(context)->uc_mcontext.gregs[REG_RSP]);
    if (pointer < stackBegin || pointer > stackEnd)
        ++outside;
#else
    static_cast<void>(context);
#endif
    ++handled;
}

}  // namespace

class TestOneDnn : public QObject {
    Q_OBJECT

private slots:
    void noSignalMeetsABorrowedStackPointer_data()
    {
        QTest::addColumn<bool>("packed");
        QTest::newRow("product of two matrices") << false;
        QTest::newRow("product with a packed weight") << true;
    }
    // A handler's frame lies below the stack pointer: where that points into a buffer, the frame overwrites what lies before the buffer.
    void noSignalMeetsABorrowedStackPointer()
    {
        QFETCH(bool, packed);
        if (!oneDnnMultipliesFloat())
            QSKIP("oneDNN has no code of its own for this processor");
        const Matrix a = randomMatrix(96, 384, 1), b = randomMatrix(384, 384, 2);
        Matrix c(a.rows(), b.cols());
        const FloatWeight weight(b.transpose());

        pthread_attr_t attributes;
        QCOMPARE(pthread_getattr_np(pthread_self(), &attributes), 0);
        void *stack = nullptr;
        std::size_t bytes = 0;
        QCOMPARE(pthread_attr_getstack(&attributes, &stack, &bytes), 0);
        pthread_attr_destroy(&attributes);
        stackBegin = reinterpret_cast<std::uintptr_t>(stack);
        stackEnd = stackBegin + bytes;
        handled = outside = 0;
        // On a stack of its own, so that the test survives what it looks for.
        const auto handlerStack = std::make_unique<char[]>(1 << 16);
        stack_t own = {}, before = {};
        own.ss_sp = handlerStack.get();
        own.ss_size = 1 << 16;
        QCOMPARE(sigaltstack(&own, &before), 0);
        struct sigaction action = {}, old = {};
        action.sa_sigaction = onSignal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
        QCOMPARE(sigaction(SIGUSR1, &action, &old), 0);

        constexpr long enough = 100;
        std::atomic<long> begun = 0;  // products
        const pthread_t multiplying = pthread_self();
        std::thread sender([&] {
            for (long sent = 0, last = 0; sent < enough; ++sent) {
                // Each into another product, at another moment.
                while (handled < sent || begun == last)
                    std::this_thread::yield();
                last = begun;
                for (long wait = 0; wait < sent % 8; ++wait)
                    std::this_thread::yield();
                pthread_kill(multiplying, SIGUSR1);
            }
        });
        while (handled < enough) {
            ++begun;
            if (packed)
                weight.multiply(a, c);
            else
                oneDnnGemm(false, false, a.rows(), b.cols(), b.rows(), 1.0F, a.data(), a.cols(), b.data(), b.cols(), 0.0F, c.data(), c.cols());
        }
        sender.join();
        sigaction(SIGUSR1, &old, nullptr);
        sigaltstack(&before, nullptr);
        QCOMPARE(outside.load(), 0L);
        QVERIFY((c - a * b).norm() < 1e-4F * c.norm());
    }
};

QTEST_GUILESS_MAIN(TestOneDnn)
#include "tst_onednn.moc"
