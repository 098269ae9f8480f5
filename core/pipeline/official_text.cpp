// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/official_text.h"

#include <cstdlib>

#include <fmt/format.h>

#include "core/base/error.h"

namespace lqer {

std::string officialDataFolder(const std::string &folder)
{
    const char *const environment = std::getenv("LQER_DATA");
    return !folder.empty() ? folder : environment ? environment : ".";
}

std::shared_ptr<const TokenWindows> officialWindows(const Engine &engine, const LoadedModel &model, const std::string &dataFolder,
    const LqerText &text, DataSplit split, const TaskContext &context, std::int64_t shards)
{
    const TextSource source = findDataSet(officialDataFolder(dataFolder), text.dataSet, split);
    WindowOptions options;
    options.convention = WindowConvention::Sharded;
    options.length = text.maxLength;
    options.shards = shards;
    options.maxRows = text.rawSamples;
    options.maxWindows = text.samples / text.batch * text.batch;
    options.batch = text.batch;
    auto windows = engine.windows(model, source, options, context);
    const auto found = static_cast<std::int64_t>(windows->windows.size());
    // The last batch may be smaller.
    if (options.maxWindows > 0 && (found + text.batch - 1) / text.batch * text.batch < options.maxWindows)
        throw Error(ErrorCode::Argument, source.path, {},
            fmt::format("num_samples asks for {} windows of {} tokens, there are {}", text.samples, text.maxLength, found));
    return windows;
}

std::optional<TokenId> paddingToken(const Tokenizer &tokenizer)
{
    const std::optional<TokenId> padding = tokenizer.padId();
    return padding && tokenizer.piece(*padding) != "<unk>" ? padding : tokenizer.eosId();
}

PerplexityOptions officialPerplexity(const LoadedModel &model, const LqerText &text)
{
    PerplexityOptions options;
    options.weighting = LossWeighting::Batch;
    options.batch = text.batch;
    if (model.tokenizer())
        options.unscored = paddingToken(*model.tokenizer());
    return options;
}

Json officialResult(const PerplexityReport &report)
{
    const std::int64_t batches = (report.windows + report.batch - 1) / report.batch;
    return Json::object()
        .set("loss", report.meanNll)
        .set("perplexity", report.perplexity)
        .set("num_samples", batches * report.batch)
        .set("seq_len", report.windowOptions.length)
        .set("batch_size", report.batch);
}

}  // namespace lqer
