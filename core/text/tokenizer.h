// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lqer {

using TokenId = std::int32_t;

// Text to token ids and back, as the Hugging Face tokenizer of the same files does. Immutable, thread-safe.
class Tokenizer {
public:
    virtual ~Tokenizer() = default;

    // addSpecial: let the post-processor add BOS/EOS as the model's own tokenizer does by default. Special tokens that stand
    // in the text are recognised as such. Throws Error(Format) for text that is not UTF-8, naming the byte, and
    // Error(Unsupported) for more than 512 MiB at once.
    virtual std::vector<TokenId> encode(std::string_view text, bool addSpecial) const = 0;
    // The text of ids; ids that are no tokens are left out. As the tokenizers library decodes: without the spaces that
    // transformers takes away in front of punctuation where clean_up_tokenization_spaces is set.
    virtual std::string decode(const std::vector<TokenId> &ids, bool skipSpecial) const = 0;
    // Largest id + 1.
    virtual std::int64_t size() const = 0;
    virtual std::optional<TokenId> bosId() const = 0;
    virtual std::optional<TokenId> eosId() const = 0;
    virtual std::optional<TokenId> padId() const = 0;
    // True if encode(text, true) puts BOS in front.
    virtual bool addsBos() const = 0;
    // "byte-level BPE (tokenizer.json), 50257 tokens"
    virtual std::string description() const = 0;
    // The piece of an id, as the vocabulary has it; "" for an unused id. For exporters.
    virtual std::string piece(TokenId id) const = 0;
};

// Reads the folder's tokenizer.json, else tokenizer.model (SentencePiece), else vocab.json + merges.txt; tokenizer_config.json,
// special_tokens_map.json and config.json complete them. Throws Error(NotFound) listing what was looked for, Error(Format)
// or Error(Unsupported) naming file and place (reliability.md 4 TK).
std::unique_ptr<Tokenizer> loadTokenizer(const std::string &folder);

}  // namespace lqer
