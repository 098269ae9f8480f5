// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <limits>

#include <fmt/format.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "core/base/clock.h"

namespace lqer::bench {

const std::vector<Benchmark> &allBenchmarks()
{
    static const std::vector<Benchmark> all = {
        {"decomposition", "rank-64 correction of a layer: quantize, error, factors; against the official steps", benchDecomposition},
        {"spectrum", "all singular values of an error, against LAPACK gesdd", benchSpectrum},
        {"kernels", "products, R accumulation: share of the processor's peak", benchKernels},
        {"formats", "quantizers and dequantizers: share of the memory's bandwidth", benchFormats},
        {"forward", "tokens per second of generated LLaMA-shaped models", benchForward},
        {"growth", "calibrate, decompose, evaluate at three sizes of each extent: exponents, predictions", benchGrowth},
        {"start", "opening a checkpoint of 13.5 GB, reopening a project of 224 layers", benchStart},
    };
    return all;
}

void Report::begin(const std::string &benchmark)
{
    m_benchmark = benchmark;
    if (!m_json)
        fmt::print("\n{}\n{:<58} {:>10} {:>10} {:>9} {:>7}  {}\n", benchmark, "", "ours", "baseline", "ratio", "goal", "baseline; remarks");
    std::fflush(stdout);
}

void Report::add(const Row &row)
{
    const bool compared = !row.baseline.empty();
    m_rows.append(Json::object()
                      .set("benchmark", m_benchmark)
                      .set("subject", row.subject)
                      .set("unit", row.unit)
                      .set("ours", row.ours)
                      .set("baseline", row.baseline)
                      .set("reference", compared ? Json(row.reference) : Json())
                      .set("ratio", compared ? Json(row.ratio()) : Json())
                      .set("goal", row.goal > 0 ? Json(row.goal) : Json())
                      .set("note", row.note));
    if (m_json)
        return;
    const auto figure = [&](double value) { return fmt::format("{:.4g} {}", value, row.unit); };
    fmt::print("{:<58} {:>10} {:>10} {:>9} {:>7}  {}{}{}\n", row.subject, figure(row.ours), compared ? figure(row.reference) : "",
               compared ? fmt::format("{:.3g}x", row.ratio()) : "", row.goal > 0 ? fmt::format("{:.3g}x", row.goal) : "", row.baseline,
               compared && !row.note.empty() ? "; " : "", row.note);
    std::fflush(stdout);
}

void Report::finish() const
{
    if (m_json)
        fmt::print("{}\n", m_rows.dump(1));
}

double threadClock()
{
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double threadSeconds(const std::function<void()> &work)
{
    const double begin = threadClock();
    work();
    return threadClock() - begin;
}

double wallSeconds(const std::function<void()> &work)
{
    const Stopwatch watch;
    work();
    return watch.seconds();
}

Pair alternate(int rounds, const std::function<void()> &ours, const std::function<void()> &baseline)
{
    Pair pair{std::numeric_limits<double>::max(), std::numeric_limits<double>::max()};
    for (int i = 0; i < rounds; ++i) {
        pair.ours = std::min(pair.ours, threadSeconds(ours));
        pair.baseline = std::min(pair.baseline, threadSeconds(baseline));
    }
    return pair;
}

double best(int rounds, const std::function<void()> &work)
{
    double seconds = std::numeric_limits<double>::max();
    for (int i = 0; i < rounds; ++i)
        seconds = std::min(seconds, threadSeconds(work));
    return seconds;
}

double copyBandwidth()
{
    const std::vector<char> from(256U << 20U, 1);
    std::vector<char> to(from.size());
    const double seconds = best(5, [&] { std::memcpy(to.data(), from.data(), from.size()); });
    return 2 * static_cast<double>(from.size()) / seconds;
}

namespace {

constexpr int registers = 12;
constexpr int steps = 4'000'000;

typedef float Lanes8 __attribute__((vector_size(32)));
typedef float Lanes16 __attribute__((vector_size(64)));

// Chains of multiply-adds that do not wait for each other.
template <typename Lanes>
[[gnu::always_inline]] inline float multiplyAdds(float seed)
{
    Lanes sums[registers];
    for (int i = 0; i < registers; ++i)
        sums[i] = Lanes{} + seed * static_cast<float>(i);
    const Lanes factor = Lanes{} + 0.999F;
    const Lanes term = Lanes{} + 1e-3F;
    for (int step = 0; step < steps; ++step)
        for (int i = 0; i < registers; ++i)
            sums[i] = sums[i] * factor + term;
    float total = 0;
    for (int i = 0; i < registers; ++i)
        total += sums[i][0];
    return total;
}

[[gnu::target("avx512f"), gnu::optimize("fp-contract=fast")]] float multiplyAddsAvx512(float seed) { return multiplyAdds<Lanes16>(seed); }
[[gnu::target("avx2,fma"), gnu::optimize("fp-contract=fast")]] float multiplyAddsAvx2(float seed) { return multiplyAdds<Lanes8>(seed); }

#ifdef __x86_64__
// Each step multiplies and adds 32 pairs.
[[gnu::target("avx512f,avx512bf16")]] float pairsOfBf16(int seed)
{
    __m512 sums[registers];
    for (int i = 0; i < registers; ++i)
        sums[i] = _mm512_set1_ps(static_cast<float>(i));
    const auto factor = reinterpret_cast<__m512bh>(_mm512_set1_epi32(seed));
    for (int step = 0; step < steps; ++step)
        for (int i = 0; i < registers; ++i)
            sums[i] = _mm512_dpbf16_ps(sums[i], factor, factor);
    float total = 0;
    for (int i = 0; i < registers; ++i)
        total += _mm512_cvtss_f32(sums[i]);
    return total;
}
#endif

}  // namespace

double peakBf16Flops()
{
#ifdef __x86_64__
    static const double peak = [] {
        if (!__builtin_cpu_supports("avx512bf16"))
            return 0.0;
        volatile float kept = 0;
        const double seconds = best(5, [&] { kept = pairsOfBf16(0x00000001); });
        return 2.0 * 32 * registers * steps / seconds;
    }();
    return peak;
#else
    return 0;
#endif
}

double peakFloatFlops()
{
    static const double peak = [] {
        const bool wide = __builtin_cpu_supports("avx512f");
        volatile float kept = 0;
        const double seconds = best(5, [&] { kept = wide ? multiplyAddsAvx512(1.0F) : multiplyAddsAvx2(1.0F); });
        return 2.0 * (wide ? 16 : 8) * registers * steps / seconds;
    }();
    return peak;
}

}  // namespace lqer::bench
