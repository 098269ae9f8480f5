// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/text/added_tokens.h"
#include "core/text/bpe.h"
#include "core/text/decoder.h"
#include "core/text/normalizer.h"
#include "core/text/post_processor.h"
#include "core/text/pre_tokenizer.h"
#include "core/text/tokenizer.h"
#include "core/text/vocabulary.h"

namespace lqer {

// The steps of a tokenizer in the order in which the text passes them, whatever files they came from.
struct TokenizerParts {
    explicit TokenizerParts(std::string file) : vocabulary(std::move(file)) {}

    Vocabulary vocabulary;  // closed
    std::vector<BpeMerge> merges;
    BpeOptions bpe;
    std::vector<AddedToken> addedTokens;
    Normalizer normalizer;
    PreTokenizer preTokenizer;
    PostProcessor postProcessor;
    Decoder decoder;
    std::optional<TokenId> bos;
    std::optional<TokenId> eos;
    std::optional<TokenId> pad;
    std::string origin;  // "tokenizer.json"
};

// What loadTokenizer() makes its tokenizer of, from the same files and with the same errors: for exporters to other formats.
TokenizerParts readTokenizer(const std::string &folder);

// added tokens -> normalizer -> pre-tokenizer -> BPE -> post-processor, and the decoder back.
class PipelineTokenizer final : public Tokenizer {
public:
    explicit PipelineTokenizer(TokenizerParts parts);

    std::vector<TokenId> encode(std::string_view text, bool addSpecial) const override;
    std::string decode(const std::vector<TokenId> &ids, bool skipSpecial) const override;
    std::int64_t size() const override;
    std::optional<TokenId> bosId() const override { return m_parts.bos; }
    std::optional<TokenId> eosId() const override { return m_parts.eos; }
    std::optional<TokenId> padId() const override { return m_parts.pad; }
    bool addsBos() const override { return m_addsBos; }
    std::string description() const override;
    std::string piece(TokenId id) const override;

private:
    std::vector<TextPiece> pieces(std::string_view text) const;

    TokenizerParts m_parts;
    Bpe m_bpe;
    AddedTokens m_addedTokens;
    bool m_addsBos = false;
};

// Checks that the parts fit the model's embedding (`rows`; nullopt: unknown). Tokens of the vocabulary beyond it are an
// Error(Format); added tokens beyond it are a warning, because padding tokens of fine-tunes often lie there unused.
void checkVocabularySize(const TokenizerParts &parts, std::optional<std::int64_t> rows);

}  // namespace lqer
