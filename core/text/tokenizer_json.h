// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/text/pipeline_tokenizer.h"
#include "core/text/tokenizer_config.h"

namespace lqer {

// tokenizer.json of the tokenizers library with a model of type BPE. Truncation and padding are checked and then ignored, as
// transformers does unless it is asked for them. Throws Error(Format | Unsupported) naming the key (reliability.md 4 TK).
TokenizerParts readTokenizerJson(const std::string &path, const TokenizerConfig &config);

// What the configuration files add, for every kind of tokenizer file: added tokens, and which tokens are special. `parts` has
// its vocabulary and its own added tokens.
void applyTokenizerConfig(TokenizerParts &parts, const TokenizerConfig &config);
// BOS in front and EOS behind. Throws Error(Format) if one of them is wanted but not known.
PostProcessor beginAndEnd(const TokenizerParts &parts, bool addBos, bool addEos);

}  // namespace lqer
