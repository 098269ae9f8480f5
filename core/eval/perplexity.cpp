// SPDX-License-Identifier: Apache-2.0
#include "core/eval/perplexity.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numbers>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/eval/format.h"
#include "core/eval/report_fields.h"

namespace lqer {

namespace {

// One draw of the estimate: a window, or a batch of them.
struct LossSum {
    double nll = 0;
    std::int64_t tokens = 0;
};

// Standard error of sum(nll) / sum(tokens) over independent draws of unequal size: the ratio estimator, linearised. For draws of
// one size it is the standard deviation of the mean.
double standardErrorOfRatio(const std::vector<LossSum> &draws, double ratio, double tokens)
{
    if (draws.size() < 2)
        return 0;
    double squares = 0;
    for (const LossSum &draw : draws) {
        const double residual = draw.nll - ratio * static_cast<double>(draw.tokens);
        squares += residual * residual;
    }
    const auto count = static_cast<double>(draws.size());
    return std::sqrt(count / (count - 1) * squares) / tokens;
}

double standardErrorOfMean(const std::vector<double> &values, double mean)
{
    if (values.size() < 2)
        return 0;
    double squares = 0;
    for (const double value : values)
        squares += (value - mean) * (value - mean);
    const auto count = static_cast<double>(values.size());
    return std::sqrt(squares / (count - 1) / count);
}

std::int64_t targetCount(const TokenWindow &window)
{
    return std::max<std::int64_t>(static_cast<std::int64_t>(window.ids.size()) - window.firstScored, 0);
}

std::vector<LossSum> windowLosses(const TokenWindows &windows, std::span<const std::vector<float>> logProbabilities,
                                  std::optional<TokenId> unscored)
{
    std::vector<LossSum> losses;
    for (std::size_t w = 0; w < logProbabilities.size(); ++w) {
        const TokenWindow &window = windows.windows[w];
        LossSum loss;
        for (std::size_t i = 0; i < logProbabilities[w].size(); ++i) {
            const std::size_t position = static_cast<std::size_t>(window.firstScored) + i;
            if (unscored && window.ids[position] == *unscored)
                continue;
            const double value = logProbabilities[w][i];
            if (!std::isfinite(value))
                throw Error(ErrorCode::Numeric, windows.source, fmt::format("window {}, token {}", w, position),
                            fmt::format("the model's log-probability is {}", value));
            loss.nll -= value;
            ++loss.tokens;
        }
        losses.push_back(loss);
    }
    return losses;
}

// Mean loss of each batch of consecutive windows.
std::vector<double> batchMeans(const std::vector<LossSum> &windows, std::int64_t batch, const std::string &source)
{
    std::vector<double> means;
    const auto step = static_cast<std::size_t>(batch);
    for (std::size_t begin = 0; begin < windows.size(); begin += step) {
        LossSum sum;
        for (std::size_t w = begin; w < std::min(begin + step, windows.size()); ++w) {
            sum.nll += windows[w].nll;
            sum.tokens += windows[w].tokens;
        }
        if (sum.tokens == 0)
            throw Error(ErrorCode::Argument, source, fmt::format("batch {}", means.size()), "no token of the batch is scored");
        means.push_back(sum.nll / static_cast<double>(sum.tokens));
    }
    return means;
}

// Windows that the options let through: with batch weighting and a number of samples, whole batches only.
std::size_t windowsToRun(const TokenWindows &windows, const PerplexityOptions &options)
{
    const std::size_t all = windows.windows.size();
    if (options.weighting != LossWeighting::Batch)
        return all;
    if (options.batch < 1)
        throw Error(ErrorCode::Argument, fmt::format("a batch has at least one window, {} was given", options.batch));
    if (options.samples == 0)
        return all;
    const std::int64_t batches = (static_cast<std::int64_t>(all) + options.batch - 1) / options.batch;
    if (options.samples < options.batch || options.samples / options.batch > batches)
        throw Error(ErrorCode::Argument, windows.source, "",
                    fmt::format("{} samples were asked for; with batches of {} there are {} to {}", options.samples,
                                options.batch, options.batch, options.batch * batches));
    return std::min(all, static_cast<std::size_t>(options.samples / options.batch * options.batch));
}

PerplexityReport summarize(const TokenWindows &windows, std::span<const std::vector<float>> logProbabilities,
                           const PerplexityOptions &options)
{
    const std::vector<LossSum> losses = windowLosses(windows, logProbabilities, options.unscored);
    PerplexityReport report;
    report.windowOptions = windows.options;
    report.source = windows.source;
    report.dataSet = windows.dataSet;
    report.split = windows.split;
    report.rows = windows.rows;
    report.dataHash = windows.hash;
    report.weighting = options.weighting;
    report.unscored = options.unscored;
    report.precision = options.forward.precision;
    report.windows = static_cast<std::int64_t>(losses.size());
    std::vector<LossSum> draws;
    for (const LossSum &loss : losses) {
        report.totalNll += loss.nll;
        report.tokens += loss.tokens;
        report.windowNll.push_back(loss.tokens ? loss.nll / static_cast<double>(loss.tokens) : 0.0);
        report.windowTokens.push_back(loss.tokens);
        if (loss.tokens)
            draws.push_back(loss);
    }
    if (report.tokens == 0)
        return report;
    const auto tokens = static_cast<double>(report.tokens);
    double error = 0;
    if (options.weighting == LossWeighting::Batch) {
        report.batch = options.batch;
        const std::vector<double> means = batchMeans(losses, options.batch, windows.source);
        report.meanNll = batchLoss(means, options.batch).loss;
        error = standardErrorOfMean(means, report.meanNll);
    } else {
        report.meanNll = report.totalNll / tokens;
        error = standardErrorOfRatio(draws, report.meanNll, tokens);
    }
    report.perplexity = std::exp(report.meanNll);
    report.standardError = report.perplexity * error;
    report.bitsPerToken = report.totalNll / tokens / std::numbers::ln2;
    if (logProbabilities.size() == windows.windows.size()) {  // words and bytes are counts of the whole source
        report.words = windows.words;
        report.bytes = windows.bytes;
    }
    if (report.words > 0) {
        report.bitsPerWord = report.totalNll / static_cast<double>(report.words) / std::numbers::ln2;
        report.wordPerplexity = std::exp(report.totalNll / static_cast<double>(report.words));
    }
    if (report.bytes > 0)
        report.bitsPerByte = report.totalNll / static_cast<double>(report.bytes) / std::numbers::ln2;
    return report;
}

PerplexityReport finalSummary(const TokenWindows &windows, std::span<const std::vector<float>> logProbabilities,
                              const PerplexityOptions &options)
{
    PerplexityReport report = summarize(windows, logProbabilities, options);
    if (report.tokens == 0)
        throw Error(ErrorCode::Argument, windows.source, "", "there is no token to score");
    return report;
}

}  // namespace

std::string_view toString(LossWeighting weighting)
{
    return weighting == LossWeighting::Token ? "token" : "batch";
}

LossWeighting lossWeightingFromString(std::string_view name)
{
    for (const LossWeighting weighting : {LossWeighting::Token, LossWeighting::Batch}) {
        if (toString(weighting) == name)
            return weighting;
    }
    throw Error(ErrorCode::Argument, fmt::format("unknown weighting '{}', known are: token, batch", escaped(name)));
}

double PerplexityReport::headline() const
{
    return windowOptions.convention == WindowConvention::WordPerplexity && words > 0 ? wordPerplexity : perplexity;
}

BatchLoss batchLoss(std::span<const double> means, std::int64_t batch, std::optional<std::int64_t> samples)
{
    if (means.empty() || batch < 1)
        throw Error(ErrorCode::Argument, "a mean over batches needs at least one batch of at least one window");
    auto count = static_cast<std::int64_t>(means.size());
    if (samples) {
        if (*samples < batch || *samples > batch * count)
            throw Error(ErrorCode::Argument,
                        fmt::format("{} samples were asked for; there are {} to {}", *samples, batch, batch * count));
        count = *samples / batch;
    }
    // As the official code: every batch, the last partial one too, counts batch x length tokens.
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i)
        sum += means[static_cast<std::size_t>(i)];
    BatchLoss result;
    result.loss = sum / static_cast<double>(count);
    result.perplexity = std::exp(result.loss);
    result.samples = count * batch;
    return result;
}

PerplexityReport evaluatePerplexity(const Transformer &model, const TokenWindows &windows, ForwardHooks &hooks,
                                    const PerplexityOptions &options, const TaskContext &context)
{
    const auto started = std::chrono::steady_clock::now();
    const std::span<const TokenWindow> run = std::span(windows.windows).first(windowsToRun(windows, options));
    std::vector<std::vector<float>> logProbabilities;
    const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count(); };
    const auto afterWindow = [&](std::size_t, std::vector<float> scores) {
        logProbabilities.push_back(std::move(scores));
        const std::size_t finished = logProbabilities.size();
        const bool groupEnds = options.forward.group > 0 && finished % options.forward.group == 0;
        if (!groupEnds || finished == run.size())
            return;
        const std::size_t whole = options.weighting == LossWeighting::Batch ? static_cast<std::size_t>(options.batch) : 1;
        PerplexityReport running = summarize(windows, std::span(logProbabilities).first(finished / whole * whole), options);
        if (running.tokens == 0)
            return;
        running.seconds = elapsed();
        context.setDetail(
            fmt::format("perplexity {} after {} of {} windows", formatPerplexity(running.headline()), finished, run.size()));
        if (options.afterGroup)
            options.afterGroup(running);
    };
    context.beginStage("evaluating perplexity", model.forwardSteps(run.size(), options.forward, true));
    model.logProbabilities(run, hooks, options.forward, afterWindow, context);

    PerplexityReport report = finalSummary(windows, logProbabilities, options);
    report.seconds = elapsed();
    if (options.keepLogProbabilities)
        report.logProbabilities = std::move(logProbabilities);
    return report;
}

PerplexityReport summarizeLogProbabilities(const TokenWindows &windows, std::span<const std::vector<float>> logProbabilities,
                                           const PerplexityOptions &options)
{
    if (logProbabilities.size() != windows.windows.size())
        throw Error(ErrorCode::Shape, windows.source, "",
                    fmt::format("log-probabilities of {} windows, expected {}", logProbabilities.size(), windows.windows.size()));
    for (std::size_t w = 0; w < logProbabilities.size(); ++w) {
        const TokenWindow &window = windows.windows[w];
        if (static_cast<std::int64_t>(logProbabilities[w].size()) != targetCount(window))
            throw Error(ErrorCode::Shape, windows.source, fmt::format("window {}", w),
                        fmt::format("{} log-probabilities, expected {}", logProbabilities[w].size(), targetCount(window)));
    }
    PerplexityReport report = finalSummary(windows, logProbabilities.first(windowsToRun(windows, options)), options);
    if (options.keepLogProbabilities)
        report.logProbabilities.assign(logProbabilities.begin(), logProbabilities.begin() + report.windows);
    return report;
}

Json PerplexityReport::toJson() const
{
    Json json = Json::object();
    json.set("window_options", windowOptionsToJson(windowOptions));
    json.set("source", source);
    json.set("data_set", dataSet);
    json.set("split", split);
    json.set("rows", rows);
    json.set("data_hash", dataHash);
    json.set("weighting", toString(weighting));
    json.set("batch", batch);
    json.set("unscored", unscored ? Json(static_cast<std::int64_t>(*unscored)) : Json());
    json.set("precision", toString(precision));
    json.set("windows", windows);
    json.set("tokens", tokens);
    json.set("words", words);
    json.set("bytes", bytes);
    json.set("mean_nll", meanNll);
    json.set("perplexity", perplexity);
    json.set("standard_error", standardError);
    json.set("total_nll", totalNll);
    json.set("bits_per_token", bitsPerToken);
    json.set("bits_per_word", bitsPerWord);
    json.set("bits_per_byte", bitsPerByte);
    json.set("word_perplexity", wordPerplexity);
    json.set("seconds", seconds);
    Json nll = Json::array();
    for (const double value : windowNll)
        nll.append(value);
    json.set("window_nll", std::move(nll));
    Json counts = Json::array();
    for (const std::int64_t value : windowTokens)
        counts.append(value);
    json.set("window_tokens", std::move(counts));
    return json;
}

PerplexityReport PerplexityReport::fromJson(const JsonReader &json)
{
    PerplexityReport report;
    report.windowOptions = windowOptionsFromJson(json["window_options"]);
    report.source = json["source"].string();
    report.dataSet = json.string("data_set", "");  // this and the next two: not in reports from before there were names
    report.split = json.string("split", "");
    report.rows = json.integer("rows", 0, std::numeric_limits<std::int64_t>::max(), 0);
    report.dataHash = json["data_hash"].string();
    const std::string &weighting = json["weighting"].string();
    if (weighting != "token" && weighting != "batch")
        json["weighting"].fail("must be \"token\" or \"batch\"");
    report.weighting = lossWeightingFromString(weighting);
    report.batch = readCount(json, "batch");
    if (json.has("unscored"))
        report.unscored = static_cast<TokenId>(json["unscored"].integer(0, std::numeric_limits<TokenId>::max()));
    if (json.has("precision"))  // reports from before there was a choice
        report.precision = precisionFromString(json["precision"].string());
    report.windows = readCount(json, "windows");
    report.tokens = readCount(json, "tokens");
    report.words = readCount(json, "words");
    report.bytes = readCount(json, "bytes");
    report.meanNll = readNumber(json, "mean_nll");
    report.perplexity = readNumber(json, "perplexity");
    report.standardError = readNumber(json, "standard_error");
    report.totalNll = readNumber(json, "total_nll");
    report.bitsPerToken = readNumber(json, "bits_per_token");
    report.bitsPerWord = readNumber(json, "bits_per_word");
    report.bitsPerByte = readNumber(json, "bits_per_byte");
    report.wordPerplexity = readNumber(json, "word_perplexity");
    report.seconds = readNumber(json, "seconds");
    const JsonReader nll = json["window_nll"];
    for (std::size_t i = 0; i < nll.size(); ++i)
        report.windowNll.push_back(nll.at(i).number());
    const JsonReader counts = json["window_tokens"];
    for (std::size_t i = 0; i < counts.size(); ++i)
        report.windowTokens.push_back(counts.at(i).integer(0, std::numeric_limits<std::int64_t>::max()));
    return report;
}

}  // namespace lqer
