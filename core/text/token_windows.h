// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/text/text_source.h"
#include "core/text/tokenizer.h"

namespace lqer {

// How text becomes the windows that are scored. Every report names the convention.
enum class WindowConvention {
    Joined,         // GPTQ: the whole text once (BOS once at the start if the tokenizer adds it), consecutive windows, tail
                    // dropped. The documents of a JSONL file are joined by a blank line.
    BosPerWindow,   // the whole text without BOS, chunks of length-1, BOS in front of each, tail dropped
    Sharded,        // LQER and QERA as executed: contiguous shards of rows, batches of 1000 rows joined by a blank line, BOS
                    // per batch, remainder of each shard dropped (numerics.md E.1)
    Strided,        // windows overlap; only the last `stride` targets of each later window are scored, and of the last one, which
                    // may be shorter, those that are left
    WordPerplexity, // lm-eval: rolling windows over each document, every token scored once, perplexity per word. `length` is the
                    // model's context: a window has up to length+1 ids, because the last one is only a target.
    Tokens,         // ids given by the caller (an .npy file), one row a window or one row cut into windows
};

struct WindowOptions {
    WindowConvention convention = WindowConvention::Joined;
    std::int64_t length = 2048;    // tokens a window
    std::int64_t stride = 0;       // Strided only
    std::int64_t shards = 8;       // Sharded only
    std::int64_t maxWindows = 0;   // 0: all
    std::int64_t batch = 1;        // windows per batch, where the convention weights by batch
    std::int64_t maxRows = 0;      // of the source: only the first ones (the papers' num_raw_samples); 0: all
    friend bool operator==(const WindowOptions &, const WindowOptions &) = default;
};

std::string toString(WindowConvention convention);
// Throws Error(Argument) naming the known ones.
WindowConvention windowConventionFromString(std::string_view name);

// One sequence that is run from position 0, and which of its targets count.
struct TokenWindow {
    std::vector<TokenId> ids;
    std::int64_t firstScored = 1;  // targets ids[firstScored ...] are scored, each given everything before it
};

struct TokenWindows {
    std::vector<TokenWindow> windows;
    WindowOptions options;
    std::string source;            // file, for the report
    std::string dataSet;           // "wikitext2" where it was found by name; else ""
    std::string split;             // "test"
    std::int64_t rows = 0;         // of the source that were used: lines, or documents of JSON lines; 0 for token ids
    std::string hash;              // of the ids and options: provenance of statistics and reports
    std::int64_t totalIds = 0;     // before the tail was dropped
    std::int64_t words = 0;        // WordPerplexity: white-space separated words of the source
    std::int64_t bytes = 0;        // of the source, where all of it is scored (WordPerplexity; Strided with BOS); else 0
    std::int64_t scoredTokens() const;
    // Where the tokens come from, in one line: "wikitext2, train split, 4096 rows of PATH"; PATH alone where it was given by its path and used whole.
    std::string provenance() const;
};

// Throws Error(Argument) for options that make no sense, a text too short for one window, or a convention that needs a BOS
// the tokenizer does not have.
TokenWindows makeWindows(const TextSource &source, const Tokenizer &tokenizer, const WindowOptions &options);
// Ids from an .npy file of int32 or int64, one or two dimensions. Each row is a window; rows longer than options.length are cut
// into windows of that length, the tail dropped. Ids outside [0, vocabularySize) are an Error naming row and column.
TokenWindows readTokenWindows(const std::string &npyPath, const WindowOptions &options, std::int64_t vocabularySize);

}  // namespace lqer
