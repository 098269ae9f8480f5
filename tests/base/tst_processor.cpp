// SPDX-License-Identifier: Apache-2.0
#include "core/base/processor.h"

#include <QtTest>

#include <cstring>
#include <random>
#include <vector>

using namespace lqer;

namespace {

// Multiplications, additions, divisions, a comparison and whole numbers, on more elements than vectors have.
void compute(const std::vector<float> &in, std::vector<float> &out)
{
    for (std::size_t i = 0; i < in.size(); ++i) {
        const float v = in[i];
        const float p = (v * 0.3F + 1.1F) * v - 0.7F;
        out[i] = (p > 0 ? p : -p) / (v * v + 1) + static_cast<float>(static_cast<int>(v * 8));
    }
}

}  // namespace

class TestProcessor : public QObject {
    Q_OBJECT

private slots:
    void allProcessorsGetTheSameBits()
    {
        std::mt19937 random(1);
        std::vector<float> in(1003);
        for (float &v : in)
            v = static_cast<float>(random()) / 1e8F - 20.0F;
        std::vector<float> plain(in.size()), dispatched(in.size());
        compute(in, plain);
        forProcessor([&] { compute(in, dispatched); });
        QVERIFY(std::memcmp(plain.data(), dispatched.data(), plain.size() * sizeof(float)) == 0);
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
        if (__builtin_cpu_supports("avx2")) {
            std::vector<float> narrow(in.size());
            auto work = [&] { compute(in, narrow); };
            runForAvx2(work);
            QVERIFY(std::memcmp(plain.data(), narrow.data(), plain.size() * sizeof(float)) == 0);
        }
#endif
    }
};

QTEST_GUILESS_MAIN(TestProcessor)
#include "tst_processor.moc"
