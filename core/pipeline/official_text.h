// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/engine/engine.h"
#include "core/pipeline/lqer_config.h"
#include "core/text/data_sets.h"

namespace lqer {

// Where data sets by name are: the folder itself unless it is "", else the environment's LQER_DATA, else the current one.
std::string officialDataFolder(const std::string &folder);

// The windows of a data set as LQER's and QERA's code cuts them: shards of rows (QERA's num_workers, 8 in LQER), batches of 1000 rows, remainders dropped
// (numerics.md E.1). The folder is option --data's, else the environment's LQER_DATA, else the current one. Throws
// Error(Argument) if text.samples asks for more windows than there are.
std::shared_ptr<const TokenWindows> officialWindows(const Engine &engine, const LoadedModel &model, const std::string &dataFolder,
    const LqerText &text, DataSplit split, const TaskContext &context, std::int64_t shards = 8);

// Whose targets their collator leaves out: the padding token, which they set to EOS where the tokenizer has none or "<unk>".
std::optional<TokenId> paddingToken(const Tokenizer &tokenizer);

// Perplexity as their evaluate_perplexity computes it over these windows: every batch weighs the same.
PerplexityOptions officialPerplexity(const LoadedModel &model, const LqerText &text);
// What it returns: {loss, perplexity, num_samples, seq_len, batch_size}; a last, smaller batch is counted as a full one.
Json officialResult(const PerplexityReport &report);

}  // namespace lqer
