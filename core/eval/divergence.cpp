// SPDX-License-Identifier: Apache-2.0
#include "core/eval/divergence.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/eval/report_fields.h"
#include "core/linalg/gemm.h"

namespace lqer {

namespace {

// Positions whose scores over the vocabulary are computed in one product, for both models. A constant: it is part of their
// rounding.
constexpr Index headRows = 64;

// What one scored target contributes.
struct TargetDivergence {
    double kl = 0;
    double originalLog = 0;  // ln p(target)
    double changedLog = 0;   // ln q(target)
    bool sameTop = false;
};

double logSumExp(const ConstMatrixRef &scores, Index row, double largest)
{
    double sum = 0;
    for (Index v = 0; v < scores.cols(); ++v)
        sum += std::exp(static_cast<double>(scores(row, v)) - largest);
    return largest + std::log(sum);
}

TargetDivergence compareRow(const Matrix &original, const Matrix &changed, Index row, Index target)
{
    Index originalTop = 0;
    Index changedTop = 0;
    const double originalLargest = original.row(row).maxCoeff(&originalTop);
    const double changedLargest = changed.row(row).maxCoeff(&changedTop);
    const double originalSum = logSumExp(original, row, originalLargest);
    const double changedSum = logSumExp(changed, row, changedLargest);
    TargetDivergence result;
    for (Index v = 0; v < original.cols(); ++v) {
        const double p = static_cast<double>(original(row, v)) - originalSum;
        const double q = static_cast<double>(changed(row, v)) - changedSum;
        result.kl += std::exp(p) * (p - q);
    }
    result.originalLog = static_cast<double>(original(row, target)) - originalSum;
    result.changedLog = static_cast<double>(changed(row, target)) - changedSum;
    result.sameTop = originalTop == changedTop;
    return result;
}

// Value by value in order, so that the sums do not depend on threads.
class Moments {
public:
    void add(double value)
    {
        m_sum += value;
        m_squares += value * value;
        ++m_count;
    }
    MeanWithError mean() const
    {
        const auto count = static_cast<double>(m_count);
        const double average = m_sum / count;
        const double variance = m_count > 1 ? (m_squares / count - average * average) / (count - 1) : 0;
        return {average, std::sqrt(std::max(variance, 0.0))};
    }

private:
    double m_sum = 0;
    double m_squares = 0;
    std::int64_t m_count = 0;
};

// sorted: ascending, not empty. Between two values it is interpolated.
double percentile(const std::vector<double> &sorted, double fraction)
{
    const double place = fraction * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    const double weight = place - static_cast<double>(below);
    return (1 - weight) * sorted[below] + weight * sorted[above];
}

double correlation(const std::vector<TargetDivergence> &targets, double originalMean, double changedMean)
{
    double both = 0;
    double original = 0;
    double changed = 0;
    for (const TargetDivergence &target : targets) {
        const double p = target.originalLog - originalMean;
        const double q = target.changedLog - changedMean;
        both += p * q;
        original += p * p;
        changed += q * q;
    }
    return original > 0 && changed > 0 ? both / std::sqrt(original * changed) : 0.0;
}

DivergenceReport summarize(const std::vector<TargetDivergence> &targets)
{
    Moments kl, top, delta, squaredDelta, original, changed, logRatio;
    std::vector<double> sorted;
    sorted.reserve(targets.size());
    for (const TargetDivergence &target : targets) {
        const double step = std::exp(target.changedLog) - std::exp(target.originalLog);
        kl.add(target.kl);
        top.add(target.sameTop ? 1 : 0);
        delta.add(step);
        squaredDelta.add(step * step);
        original.add(-target.originalLog);
        changed.add(-target.changedLog);
        logRatio.add(target.originalLog - target.changedLog);
        sorted.push_back(target.kl);
    }
    std::ranges::sort(sorted);

    DivergenceReport report;
    report.tokens = static_cast<std::int64_t>(targets.size());
    report.kl = kl.mean();
    report.medianKl = percentile(sorted, 0.5);
    report.kl90 = percentile(sorted, 0.9);
    report.kl95 = percentile(sorted, 0.95);
    report.kl99 = percentile(sorted, 0.99);
    report.kl999 = percentile(sorted, 0.999);
    report.minKl = sorted.front();
    report.maxKl = sorted.back();
    report.topAgreement = top.mean();
    report.deltaP = delta.mean();
    // The error of a square root: half the error of the mean square over the root.
    const MeanWithError square = squaredDelta.mean();
    const double root = std::sqrt(square.mean);
    report.rmsDeltaP = {root, root > 0 ? 0.5 * square.standardError / root : 0.0};
    report.logProbabilityCorrelation = correlation(targets, -original.mean().mean, -changed.mean().mean);
    report.originalPerplexity = std::exp(original.mean().mean);
    report.perplexity = std::exp(changed.mean().mean);
    report.logRatio = logRatio.mean();
    const double ratio = std::exp(report.logRatio.mean);
    report.ratio = {ratio, ratio * report.logRatio.standardError};
    return report;
}

// The scored rows of one window, in order.
void compareWindow(const TokenWindow &window, const Matrix &original, const Matrix &changed, const Matrix &head,
                   const std::string &name, std::vector<TargetDivergence> &targets, const TaskContext &context)
{
    // Row r holds the scores of the token at r + 1.
    const Index first = window.firstScored - 1;
    const Index count = static_cast<Index>(window.ids.size()) - 1 - first;
    if (count <= 0)
        return;
    const std::size_t begin = targets.size();
    targets.resize(begin + static_cast<std::size_t>(count));
    parallelFor(context, count, headRows, [&](Index from, Index to) {
        Matrix p(to - from, head.rows());
        Matrix q(to - from, head.rows());
        multiplyTransposed(original.middleRows(first + from, to - from), head, p);
        multiplyTransposed(changed.middleRows(first + from, to - from), head, q);
        for (Index row = 0; row < to - from; ++row) {
            const Index place = from + row;
            const auto target = static_cast<Index>(window.ids[static_cast<std::size_t>(first + place + 1)]);
            const TargetDivergence divergence = compareRow(p, q, row, target);
            if (!std::isfinite(divergence.kl))
                throw Error(ErrorCode::Numeric, "", fmt::format("{}, position {}", name, first + place),
                            "the model's scores are not finite");
            targets[begin + static_cast<std::size_t>(place)] = divergence;
        }
    });
}

}  // namespace

DivergenceReport evaluateDivergence(const Transformer &model, const TokenWindows &windows, ForwardHooks &changed,
                                    const DivergenceOptions &options, const TaskContext &context)
{
    const auto started = std::chrono::steady_clock::now();
    const std::span<const TokenWindow> all = windows.windows;
    for (std::size_t w = 0; w < all.size(); ++w) {
        if (all[w].firstScored < 1)
            throw Error(ErrorCode::Argument, "", fmt::format("window {}", w),
                        "the first token has nothing before it to score it by");
    }
    if (windows.scoredTokens() <= 0)
        throw Error(ErrorCode::Argument, windows.source, "", "there is no token to score");
    context.beginStage("comparing with the original model",
                       2 * model.forwardSteps(all.size(), options.forward, false) + all.size());

    const Matrix head = model.readHead(context);
    const std::size_t step = options.forward.group == 0 ? std::max<std::size_t>(all.size(), 1) : options.forward.group;
    std::vector<TargetDivergence> targets;
    for (std::size_t begin = 0; begin < all.size(); begin += step) {
        const std::span<const TokenWindow> group = all.subspan(begin, std::min(step, all.size() - begin));
        const auto hiddenStates = [&](ForwardHooks &hooks) {
            std::vector<Matrix> states(group.size());
            model.finalHidden(
                group, hooks, options.forward, [&](std::size_t w, Matrix hidden) { states[w] = std::move(hidden); }, context);
            return states;
        };
        ForwardHooks unchanged;
        const std::vector<Matrix> originalStates = hiddenStates(unchanged);
        const std::vector<Matrix> changedStates = hiddenStates(changed);
        for (std::size_t w = 0; w < group.size(); ++w) {
            compareWindow(group[w], originalStates[w], changedStates[w], head, fmt::format("window {}", begin + w), targets,
                          context.silent());
            context.advance();
        }
    }
    DivergenceReport report = summarize(targets);
    report.windowOptions = windows.options;
    report.source = windows.source;
    report.dataHash = windows.hash;
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    return report;
}

Json DivergenceReport::toJson() const
{
    Json json = Json::object();
    json.set("window_options", windowOptionsToJson(windowOptions));
    json.set("source", source);
    json.set("data_hash", dataHash);
    json.set("tokens", tokens);
    json.set("kl", meanToJson(kl));
    json.set("median_kl", medianKl);
    json.set("kl_90", kl90);
    json.set("kl_95", kl95);
    json.set("kl_99", kl99);
    json.set("kl_99.9", kl999);
    json.set("max_kl", maxKl);
    json.set("min_kl", minKl);
    json.set("top_agreement", meanToJson(topAgreement));
    json.set("delta_p", meanToJson(deltaP));
    json.set("rms_delta_p", meanToJson(rmsDeltaP));
    json.set("log_probability_correlation", logProbabilityCorrelation);
    json.set("original_perplexity", originalPerplexity);
    json.set("perplexity", perplexity);
    json.set("log_ratio", meanToJson(logRatio));
    json.set("ratio", meanToJson(ratio));
    json.set("seconds", seconds);
    return json;
}

DivergenceReport DivergenceReport::fromJson(const JsonReader &json)
{
    DivergenceReport report;
    report.windowOptions = windowOptionsFromJson(json["window_options"]);
    report.source = json["source"].string();
    report.dataHash = json["data_hash"].string();
    report.tokens = readCount(json, "tokens");
    report.kl = meanFromJson(json["kl"]);
    report.medianKl = readNumber(json, "median_kl");
    report.kl90 = readNumber(json, "kl_90");
    report.kl95 = readNumber(json, "kl_95");
    report.kl99 = readNumber(json, "kl_99");
    report.kl999 = readNumber(json, "kl_99.9");
    report.maxKl = readNumber(json, "max_kl");
    report.minKl = readNumber(json, "min_kl");
    report.topAgreement = meanFromJson(json["top_agreement"]);
    report.deltaP = meanFromJson(json["delta_p"]);
    report.rmsDeltaP = meanFromJson(json["rms_delta_p"]);
    report.logProbabilityCorrelation = readNumber(json, "log_probability_correlation");
    report.originalPerplexity = readNumber(json, "original_perplexity");
    report.perplexity = readNumber(json, "perplexity");
    report.logRatio = meanFromJson(json["log_ratio"]);
    report.ratio = meanFromJson(json["ratio"]);
    report.seconds = readNumber(json, "seconds");
    return report;
}

}  // namespace lqer
