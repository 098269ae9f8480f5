// SPDX-License-Identifier: Apache-2.0
// golden_check DIR: runs every case of DIR/index.json through the engine's public functions. The last line is
// "N passed, M failed"; the exit code is 0 if M is 0, 1 if not, 2 if the set cannot be read, 77 if there is no set to run.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "tests/golden/golden_case.h"
#include "tests/support/shared_data.h"

namespace {

using namespace lqer;
using namespace lqer::golden;

const CaseRunner *runnerFor(const std::vector<CaseRunner> &all, std::string_view function)
{
    const CaseRunner *best = nullptr;
    for (const CaseRunner &runner : all)
        if (function.starts_with(runner.prefix) && (!best || runner.prefix.size() > best->prefix.size()))
            best = &runner;
    return best;
}

// The verdict, or nothing if the case is optional and the engine refuses its extreme values.
std::optional<Verdict> runCase(const Case &golden, const std::vector<CaseRunner> &all)
{
    Verdict verdict;
    const CaseRunner *runner = runnerFor(all, golden.function());
    if (!runner) {
        verdict.fail("nothing runs this function");
        return verdict;
    }
    try {
        runner->run(golden, verdict);
    } catch (const Error &error) {
        if (golden.optional() && (error.code() == ErrorCode::Numeric || error.code() == ErrorCode::Unsupported))
            return std::nullopt;
        verdict.fail(error.what());
    } catch (const std::exception &error) {
        verdict.fail(error.what());
    }
    return verdict;
}

int check(const std::string &folder)
{
    const std::string indexPath = folder + "/index.json";
    const Json index = readJsonFile(indexPath);
    const JsonReader cases = JsonReader(index, indexPath)["cases"];
    const std::vector<CaseRunner> all = runners();

    std::size_t passed = 0, failed = 0;
    std::vector<std::string> skipped;
    for (std::size_t i = 0; i < cases.size(); ++i) {
        std::string name = fmt::format("case {}", i);
        std::vector<std::string> faults;
        try {
            const Case golden(cases.at(i), folder);
            name = fmt::format("{} ({})", escaped(golden.name()), escaped(golden.function()));
            const std::optional<Verdict> verdict = runCase(golden, all);
            if (!verdict) {
                skipped.push_back(golden.name());
                continue;
            }
            faults = verdict->faults();
        } catch (const Error &error) {
            faults.emplace_back(error.what());
        }
        ++(faults.empty() ? passed : failed);
        for (const std::string &fault : faults)
            fmt::print("FAIL {}: {}\n", name, fault);
    }
    if (!skipped.empty())
        fmt::print("{} optional skipped: {}\n", skipped.size(), fmt::join(skipped, ", "));
    fmt::print("{} passed, {} failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char **argv)
{
    if (argc > 2) {
        fmt::print(stderr, "usage: golden_check [DIR]\n");
        return 2;
    }
    std::string folder = argc == 2 ? argv[1] : "";
    if (folder.empty()) {
        if (test::sharedFolder().empty()) {
            fmt::print("skipped: shared test data not found: set LQER_SHARED or put it at ../shared beside the project\n");
            return 77;
        }
        folder = test::sharedFolder() + "/golden";
    }
    try {
        return check(folder);
    } catch (const std::exception &error) {
        fmt::print(stderr, "golden_check: {}\n", error.what());
        return 2;
    }
}
