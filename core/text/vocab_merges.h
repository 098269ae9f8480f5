// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/text/pipeline_tokenizer.h"
#include "core/text/tokenizer_config.h"

namespace lqer {

// vocab.json and merges.txt, the files of transformers' GPT2Tokenizer (GPT-2, OPT) and Qwen2Tokenizer: byte-level BPE, with
// what transformers' converters put around it. Throws Error(Format | Unsupported) naming file and line.
TokenizerParts readVocabMerges(const std::string &vocabPath, const std::string &mergesPath, TokenizerConfig config);

}  // namespace lqer
