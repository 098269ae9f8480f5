// SPDX-License-Identifier: Apache-2.0
#include "core/text/pipeline_tokenizer.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"

namespace lqer {

namespace {

constexpr std::size_t longestText = std::size_t{512} << 20;  // bytes; merging needs about 20 times as much memory
// Words met before in the same text, so that frequent ones are merged once.
constexpr std::size_t mostCachedWords = 1 << 16;
constexpr std::size_t longestCachedWord = 64;  // bytes

}  // namespace

PipelineTokenizer::PipelineTokenizer(TokenizerParts parts)
    : m_parts(std::move(parts)), m_bpe(m_parts.vocabulary, m_parts.merges, m_parts.bpe),
      m_addedTokens(std::move(m_parts.addedTokens), m_parts.normalizer, m_parts.vocabulary.file())
{
    m_parts.merges = {};
    const std::vector<TokenId> ofNothing = m_parts.postProcessor.apply({});
    m_addsBos = m_parts.bos && !ofNothing.empty() && ofNothing.front() == *m_parts.bos;
}

std::vector<TextPiece> PipelineTokenizer::pieces(std::string_view text) const
{
    std::vector<TextPiece> pieces;
    for (const TextSection &raw : m_addedTokens.splitRaw(text)) {
        const bool atStart = raw.text.data() == text.data();
        if (raw.id != Vocabulary::none) {
            pieces.push_back({{}, raw.id, atStart});
            continue;
        }
        const std::string normalized = m_parts.normalizer.apply(raw.text);
        for (const TextSection &section : m_addedTokens.splitNormalized(normalized))
            pieces.push_back({std::string(section.id == Vocabulary::none ? section.text : std::string_view()), section.id,
                              atStart && section.text.data() == normalized.data()});
    }
    return m_parts.preTokenizer.apply(std::move(pieces));
}

std::vector<TokenId> PipelineTokenizer::encode(std::string_view text, bool addSpecial) const
{
    if (text.size() > longestText)
        throw Error(ErrorCode::Unsupported,
                    fmt::format("a text of {} is too long to be tokenized in one piece (at most {})",
                                formatBytes(static_cast<double>(text.size())), formatBytes(static_cast<double>(longestText))));
    std::size_t badByte = 0;
    if (!isValidUtf8(text, &badByte))
        throw Error(ErrorCode::Format, "text", fmt::format("byte {}", badByte), "invalid UTF-8");

    std::vector<TokenId> ids;
    ids.reserve(text.size() / 3);
    struct CachedWord {
        std::size_t begin = 0;  // its ids in `ids`
        std::size_t count = 0;
    };
    std::unordered_map<std::string, CachedWord, StringHash, std::equal_to<>> cache;
    for (const TextPiece &piece : pieces(text)) {
        if (piece.id != Vocabulary::none) {
            ids.push_back(piece.id);
            continue;
        }
        const auto known = cache.find(std::string_view(piece.text));
        const std::size_t begin = ids.size();
        if (known != cache.end()) {
            for (std::size_t i = 0; i < known->second.count; ++i)
                ids.push_back(ids[known->second.begin + i]);
            continue;
        }
        m_bpe.encode(piece.text, ids);
        if (piece.text.size() <= longestCachedWord && cache.size() < mostCachedWords)
            cache.emplace(piece.text, CachedWord{begin, ids.size() - begin});
    }
    return addSpecial ? m_parts.postProcessor.apply(std::move(ids)) : ids;
}

std::string PipelineTokenizer::decode(const std::vector<TokenId> &ids, bool skipSpecial) const
{
    std::vector<std::string> tokens;
    tokens.reserve(ids.size());
    for (const TokenId id : ids) {
        const AddedToken *added = m_addedTokens.find(id);
        if (added && skipSpecial && added->special)
            continue;
        std::string token = piece(id);
        if (!token.empty())
            tokens.push_back(std::move(token));
    }
    return m_parts.decoder.apply(std::move(tokens));
}

std::int64_t PipelineTokenizer::size() const
{
    return std::max(m_parts.vocabulary.size(), m_addedTokens.size());
}

std::string PipelineTokenizer::description() const
{
    const char *kind = m_parts.preTokenizer.isByteLevel() ? "byte-level BPE"
                       : m_parts.bpe.byteFallback         ? "SentencePiece-style BPE with byte fallback"
                                                          : "BPE";
    return fmt::format("{} ({}), {} tokens", kind, m_parts.origin, size());
}

std::string PipelineTokenizer::piece(TokenId id) const
{
    const AddedToken *added = m_addedTokens.find(id);
    return added ? added->content : std::string(m_parts.vocabulary.token(id));
}

void checkVocabularySize(const TokenizerParts &parts, std::optional<std::int64_t> rows)
{
    if (!rows)
        return;
    if (parts.vocabulary.size() > *rows)
        throw Error(ErrorCode::Format, parts.vocabulary.file(), {},
                    fmt::format("tokenizer has {} tokens, embedding has {} rows (config.json, vocab_size)",
                                parts.vocabulary.size(), *rows));
    for (const AddedToken &token : parts.addedTokens)
        if (token.id >= *rows)
            logWarning(fmt::format("{}: added token '{}' has id {}, embedding has {} rows: a text with it cannot be run",
                                   escaped(parts.vocabulary.file()), escaped(token.content, 60), token.id, *rows));
}

}  // namespace lqer
