// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/onednn.h"

#include <omp.h>

#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.h>

#include "core/base/error.h"

namespace lqer {

namespace {

void check(dnnl_status_t status, Index m, Index n, Index k)
{
    if (status == dnnl_out_of_memory)
        throw Error(ErrorCode::Memory, fmt::format("not enough memory for a product of {}x{} and {}x{}", m, k, k, n));
    if (status != dnnl_success)
        throw Error(ErrorCode::Numeric,
                    fmt::format("product of {}x{} and {}x{} failed (oneDNN status {})", m, k, k, n, static_cast<int>(status)));
}

}  // namespace

OneDnnCall::OneDnnCall()
{
    thread_local const bool done = [] {
        omp_set_num_threads(1);
        return true;
    }();
    static_cast<void>(done);
    sigset_t held;
    sigfillset(&held);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS})
        sigdelset(&held, fault);
    pthread_sigmask(SIG_BLOCK, &held, &m_before);
}

OneDnnCall::~OneDnnCall()
{
    pthread_sigmask(SIG_SETMASK, &m_before, nullptr);
}

bool oneDnnMultipliesFloat()
{
    static const bool known = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2;
    return known;
}

void oneDnnGemm(bool transposeA, bool transposeB, Index m, Index n, Index k, float alpha, const float *a, Index lda, const float *b, Index ldb,
                float beta, float *c, Index ldc)
{
    const OneDnnCall call;
    check(dnnl_sgemm(transposeA ? 'T' : 'N', transposeB ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc), m, n, k);
}

}  // namespace lqer
