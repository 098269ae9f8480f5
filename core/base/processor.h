// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace lqer {

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)

// Everything `work` calls is compiled into these, once for each kind of processor. Multiplications and additions stay apart
// (-ffp-contract=off), so all of them give the same bits.
template <typename Work>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"), gnu::flatten]] void runForAvx512(Work &work)
{
    work();
}

template <typename Work>
[[gnu::target("avx2"), gnu::flatten]] void runForAvx2(Work &work)
{
    work();
}

// Runs a loop over many elements in the widest vectors that this processor has. `work` is a lambda whose loops the compiler can
// make vectors of.
template <typename Work>
void forProcessor(Work work)
{
    static const bool avx512 = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
                               && __builtin_cpu_supports("avx512vl");
    static const bool avx2 = __builtin_cpu_supports("avx2");
    if (avx512)
        runForAvx512(work);
    else if (avx2)
        runForAvx2(work);
    else
        work();
}

#else

template <typename Work>
void forProcessor(Work work)
{
    work();
}

#endif

}  // namespace lqer
