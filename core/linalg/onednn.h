// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>
#include <cstdint>

#include "core/tensor/matrix.h"

namespace lqer {

// A thread enters oneDNN with one of these alive.
// It asks OpenMP for threads, and how many is a property of the thread that calls it: one.
// And no signal reaches the thread meanwhile, but those of its own faults: oneDNN 2.6.3's float kernels (gemm_f32, AVX and AVX-512) let the
// stack pointer point into a buffer on the heap, below which a handler's frame would then be written. A signal sent to the process goes
// to another thread, or waits for the end of the call.
class OneDnnCall {
public:
    OneDnnCall();
    ~OneDnnCall();
    OneDnnCall(const OneDnnCall &) = delete;
    OneDnnCall &operator=(const OneDnnCall &) = delete;

private:
    sigset_t m_before;
};

// True on x86 processors with AVX2 or more, where oneDNN brings its own code. Elsewhere it has plain loops only.
bool oneDnnMultipliesFloat();

// C = alpha op(A) op(B) + beta C, C (m, n), inner extent k, on the calling thread. Row-major with row strides; op transposes where asked.
void oneDnnGemm(bool transposeA, bool transposeB, Index m, Index n, Index k, float alpha, const float *a, Index lda, const float *b, Index ldb,
                float beta, float *c, Index ldc);

// G = A^T B in float, A (k, m) and B (k, n) of bfloat16 with the same row stride, on the calling thread.
void oneDnnBf16Gram(Index m, Index n, Index k, const std::uint16_t *a, const std::uint16_t *b, Index stride, float *g, Index ldg);

}  // namespace lqer
