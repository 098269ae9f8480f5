// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/tensor/matrix.h"

namespace lqer {

// Called before oneDNN on any thread: it asks OpenMP for threads, and how many is a property of the thread that calls it.
void useSingleThreadedOneDnn();

// True on x86 processors with AVX2 or more, where oneDNN brings its own code. Elsewhere it has plain loops only.
bool oneDnnMultipliesFloat();

// C = alpha op(A) op(B) + beta C, C (m, n), inner extent k, on the calling thread. Row-major with row strides; op transposes where asked.
void oneDnnGemm(bool transposeA, bool transposeB, Index m, Index n, Index k, float alpha, const float *a, Index lda, const float *b, Index ldb,
                float beta, float *c, Index ldc);

}  // namespace lqer
