// SPDX-License-Identifier: Apache-2.0
#include "core/text/vocab_merges.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/file.h"
#include "core/io/json.h"
#include "core/text/tokenizer_json.h"
#include "core/text/unicode.h"

namespace lqer {

namespace {

constexpr std::uint64_t mergesLimit = 256ULL << 20;

// One pair a line, in order of rank, behind "#version: 0.2".
std::vector<BpeMerge> readMergesText(const std::string &path)
{
    const std::string text = readTextFile(path, mergesLimit);
    std::size_t badByte = 0;
    if (!isValidUtf8(text, &badByte))
        throw Error(ErrorCode::Format, path, fmt::format("byte {}", badByte), "invalid UTF-8");
    std::vector<BpeMerge> merges;
    std::size_t number = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        std::string_view line = std::string_view(text).substr(at, end - at);
        at = end + 1;
        ++number;
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        if (line.starts_with("#version") || (line.empty() && at >= text.size()))
            continue;
        const std::size_t space = line.find(' ');
        if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
            throw Error(ErrorCode::Format, path, fmt::format("line {}", number), "is not a pair");
        merges.push_back({std::string(line.substr(0, space)), std::string(line.substr(space + 1))});
    }
    return merges;
}

void readVocabulary(const std::string &path, Vocabulary &vocabulary)
{
    const Json json = readJsonFile(path);
    const JsonReader reader(json, path);
    reader.has({});  // it is an object, or this says so
    for (const auto &[token, id] : json.asObject()) {
        if (!id.isInteger())
            throw Error(ErrorCode::Format, path, fmt::format("token '{}'", escaped(token, 60)),
                        fmt::format("id must be 0 ... 2^31-1, found {}", id.dump()));
        vocabulary.add(token, id.asInteger());
    }
    vocabulary.close();
}

}  // namespace

TokenizerParts readVocabMerges(const std::string &vocabPath, const std::string &mergesPath, TokenizerConfig config)
{
    const bool qwen = config.tokenizerClass == "Qwen2Tokenizer";
    if (!qwen && !config.tokenizerClass.empty() && config.tokenizerClass != "GPT2Tokenizer"
        && config.tokenizerClass != "PreTrainedTokenizer")
        throw Error(ErrorCode::Unsupported, config.file, "key 'tokenizer_class'",
                    fmt::format("vocab.json and merges.txt of a {} are not supported (supported: GPT2Tokenizer, Qwen2Tokenizer)",
                                escaped(config.tokenizerClass, 60)));
    TokenizerParts parts(vocabPath);
    parts.origin = "vocab.json + merges.txt";
    readVocabulary(vocabPath, parts.vocabulary);
    parts.merges = readMergesText(mergesPath);

    // Both classes' default for what the files leave open.
    AddedToken endOfText;
    endOfText.content = "<|endoftext|>";
    endOfText.special = true;
    if (parts.vocabulary.find(endOfText.content) != Vocabulary::none)
        for (TokenizerConfig::SpecialToken *special : {&config.bos, &config.eos, &config.unknown})
            if (!special->stated && !(qwen && special == &config.bos))
                *special = {true, endOfText};
    applyTokenizerConfig(parts, config);
    checkVocabularySize(parts, config.modelVocabulary);

    if (qwen) {
        parts.normalizer.add([](std::string &&text) { return normalize(text, NormalForm::C); });
        parts.preTokenizer.addIsolated("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
                                       "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+");
        parts.preTokenizer.addByteLevel(false, false);
    } else {
        parts.preTokenizer.addByteLevel(config.addPrefixSpace.value_or(false), true);
        if (config.addBos.value_or(false))  // OPT: </s> in front
            parts.postProcessor = beginAndEnd(parts, true, false);
    }
    parts.decoder = Decoder::byteLevel();
    return parts;
}

}  // namespace lqer
