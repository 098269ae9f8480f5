// SPDX-License-Identifier: Apache-2.0
#include "app/cli/interrupt.h"

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/check.h"

namespace lqer::cli {

namespace {

// A handler may not take the locks that request_stop() takes, so it writes a byte and a thread acts on it. A blocked signal mask
// would not do: the threads of BLAS exist before main().
int wake[2] = {-1, -1};

void onSignal(int)
{
    const int saved = errno;
    const char byte = 's';
    [[maybe_unused]] const ssize_t written = ::write(wake[1], &byte, 1);
    errno = saved;
}

}  // namespace

Interrupt::Interrupt()
{
    LQER_ASSERT(wake[0] < 0);
    LQER_ASSERT(::pipe2(wake, O_CLOEXEC) == 0);
    m_watcher = std::thread([this] { watch(); });
    struct sigaction action = {};
    action.sa_handler = onSignal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
    std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit is an error of the write then, like a full disk
}

Interrupt::~Interrupt()
{
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    const char byte = 'q';
    while (::write(wake[1], &byte, 1) < 0 && errno == EINTR) {
    }
    m_watcher.join();
    ::close(wake[0]);
    ::close(wake[1]);
    wake[0] = wake[1] = -1;
}

void Interrupt::watch()
{
    char byte = 0;
    while (true) {
        const ssize_t count = ::read(wake[0], &byte, 1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0 || byte == 'q')
            return;
        if (m_stop.stop_requested())
            ::_exit(130);
        m_stop.request_stop();
    }
}

}  // namespace lqer::cli
