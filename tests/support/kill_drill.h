// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>
#include <exception>
#include <functional>
#include <random>

#include <sys/wait.h>
#include <unistd.h>

namespace lqer::test {

struct KillDrill {
    int kills = 0;
    int exit = 0;  // status of the one that was let go
};

// Starts a process again and again and kills each at a random moment, until one has ended by itself. The moments lie about `wait` times
// `seconds`, what an undisturbed one takes, and get `later` by the factor after each: the end is reached however the load of the machine
// changes. start: forks, in a program with one thread. afterEach: between two of them, and at the end.
inline KillDrill killUntilDone(const std::function<pid_t()> &start, std::mt19937 &random, double seconds, double wait, double later,
                               const std::function<void()> &afterEach = {})
{
    KillDrill drill;
    for (bool running = true; running; wait *= later) {
        const pid_t child = start();
        ::usleep(static_cast<useconds_t>(seconds * 1e6 * wait * (0.5 + static_cast<double>(random()) / 4294967296.0)));
        ::kill(child, SIGKILL);
        int status = 0;
        ::waitpid(child, &status, 0);
        running = WIFSIGNALED(status);
        drill.kills += running ? 1 : 0;
        drill.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        if (afterEach)
            afterEach();
    }
    return drill;
}

// `work` in a process of its own, which ends with 0, or with 2 if it throws.
inline pid_t forked(const std::function<void()> &work)
{
    const pid_t child = ::fork();
    if (child != 0)
        return child;
    try {
        work();
    } catch (const std::exception &) {
        ::_exit(2);
    }
    ::_exit(0);
}

}  // namespace lqer::test
