// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/json.h"

namespace lqer::bench {

// One measured line: ours beside a named baseline that ran in the same process, in turn with it.
struct Row {
    std::string subject;   // what was computed, on which extents
    std::string unit;      // of both figures: "s" (less is better), else a rate
    double ours = 0;
    std::string baseline;  // "": none
    double reference = 0;
    double goal = 0;       // of ratio(); 0: none stated
    std::string note;      // how good the result is, what was left out

    // How many times better ours is; of a rate, the share of the baseline's.
    double ratio() const { return unit == "s" ? reference / ours : ours / reference; }
};

class Report {
public:
    explicit Report(bool json) : m_json(json) {}
    void begin(const std::string &benchmark);
    // Prints the row, or keeps it for the JSON document.
    void add(const Row &row);
    // Prints what is left to print.
    void finish() const;

private:
    bool m_json;
    std::string m_benchmark;
    Json m_rows = Json::array();
};

struct Options {
    bool full = false;    // also what takes minutes
    std::string scratch;  // an existing folder for generated checkpoints
    std::string llamaBench;  // llama.cpp's llama-bench; "": without that baseline
};

struct Benchmark {
    std::string_view name;
    std::string_view summary;
    void (*run)(Report &report, const Options &options);
};
const std::vector<Benchmark> &allBenchmarks();

// Seconds of processor time that the calling thread has had: other processes and threads do not count.
double threadClock();
// The same of one piece of work.
double threadSeconds(const std::function<void()> &work);
// Seconds by the clock.
double wallSeconds(const std::function<void()> &work);

struct Pair {
    double ours = 0;
    double baseline = 0;
};
// Runs both in turn and keeps the best time of each.
Pair alternate(int rounds, const std::function<void()> &ours, const std::function<void()> &baseline);
double best(int rounds, const std::function<void()> &work);

// What the machine can do at most, measured by loops of nothing else. One thread.
double peakFloatFlops();     // float multiply-adds from registers, flop/s
double peakBf16Flops();      // the same of pairs of bfloat16; 0 where the processor has none
double copyBandwidth();      // memcpy of 256 MB: bytes read and written per second

void benchDecomposition(Report &report, const Options &options);
void benchSpectrum(Report &report, const Options &options);
void benchKernels(Report &report, const Options &options);
void benchFormats(Report &report, const Options &options);
void benchForward(Report &report, const Options &options);
void benchGrowth(Report &report, const Options &options);
void benchStart(Report &report, const Options &options);

}  // namespace lqer::bench
