// SPDX-License-Identifier: Apache-2.0
// lqer_bench [NAME...] [--json] [--full] [--scratch FOLDER] [--llama-bench PROGRAM] [--list]: measures ours beside named baselines.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "tests/bench/bench.h"

using namespace lqer;
using namespace lqer::bench;

int main(int argc, char **argv)
{
    CLI::App app("Measures LQER Studio's hot paths beside named baselines. Times are processor time of one thread unless a row says otherwise.");
    std::vector<std::string> names;
    Options options;
    options.scratch = std::filesystem::temp_directory_path() / "lqer_bench";
    bool json = false, list = false;
    app.add_option("name", names, "Benchmarks to run; without, all of them");
    app.add_flag("--json", json, "One JSON document instead of a table");
    app.add_flag("--full", options.full, "Also baselines and sizes that take many minutes");
    app.add_flag("--list", list, "Name the benchmarks and end");
    app.add_option("--llama-bench", options.llamaBench, "llama.cpp's llama-bench, for the forward pass")->check(CLI::ExistingFile);
    app.add_option("--scratch", options.scratch, "Where generated checkpoints lie")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    for (const std::string &name : names)
        if (std::none_of(allBenchmarks().begin(), allBenchmarks().end(), [&](const Benchmark &b) { return b.name == name; })) {
            fmt::print(stderr, "lqer_bench: there is no benchmark '{}'; --list names them\n", name);
            return 2;
        }
    if (list) {
        for (const Benchmark &benchmark : allBenchmarks())
            fmt::print("{:<14} {}\n", benchmark.name, benchmark.summary);
        return 0;
    }
    if (const char *core = std::getenv("OPENBLAS_CORETYPE"))  // baselines would be held back by it
        fmt::print(stderr, "lqer_bench: OPENBLAS_CORETYPE={} says which code OpenBLAS uses; unset it for what it would choose itself\n", core);
    try {
        std::filesystem::create_directories(options.scratch);
        Report report(json);
        for (const Benchmark &benchmark : allBenchmarks())
            if (names.empty() || std::find(names.begin(), names.end(), benchmark.name) != names.end()) {
                report.begin(std::string(benchmark.name));
                benchmark.run(report, options);
            }
        report.finish();
    } catch (const std::exception &error) {
        fmt::print(stderr, "lqer_bench: {}\n", error.what());
        return 2;
    }
    return 0;
}
