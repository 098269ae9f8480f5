// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer.h"

#include <filesystem>

#include "core/base/error.h"
#include "core/text/pipeline_tokenizer.h"
#include "core/text/sentencepiece_model.h"
#include "core/text/tokenizer_config.h"
#include "core/text/tokenizer_json.h"
#include "core/text/vocab_merges.h"

namespace lqer {

TokenizerParts readTokenizer(const std::string &folder)
{
    const auto path = [&](const char *name) { return (std::filesystem::path(folder) / name).string(); };
    // A dangling link is there, too: reading it says what is wrong.
    const auto exists = [&](const char *name) {
        return std::filesystem::symlink_status(path(name)).type() != std::filesystem::file_type::not_found;
    };
    if (!std::filesystem::is_directory(folder))
        throw Error(ErrorCode::NotFound, folder, {}, std::filesystem::exists(folder) ? "is not a folder" : "does not exist");
    const bool hasJson = exists("tokenizer.json");
    const bool hasModel = exists("tokenizer.model");
    const bool hasVocabulary = exists("vocab.json");
    const bool hasMerges = exists("merges.txt");
    if (!hasJson && !hasModel && !(hasVocabulary && hasMerges)) {
        std::string message = "no tokenizer: looked for tokenizer.json, tokenizer.model, vocab.json with merges.txt";
        if (hasVocabulary || hasMerges)
            message += hasVocabulary ? "; merges.txt is missing beside vocab.json" : "; vocab.json is missing beside merges.txt";
        throw Error(ErrorCode::NotFound, folder, {}, message);
    }
    const TokenizerConfig config = readTokenizerConfig(folder);
    if (hasJson)
        return readTokenizerJson(path("tokenizer.json"), config);
    if (hasModel)
        return readSentencePieceTokenizer(path("tokenizer.model"), config);
    return readVocabMerges(path("vocab.json"), path("merges.txt"), config);
}

std::unique_ptr<Tokenizer> loadTokenizer(const std::string &folder)
{
    return std::make_unique<PipelineTokenizer>(readTokenizer(folder));
}

}  // namespace lqer
