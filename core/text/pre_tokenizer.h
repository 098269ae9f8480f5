// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/io/json.h"
#include "core/text/vocabulary.h"

namespace lqer {

// A part of the text on its way to the model: a word, or an added token that is done already.
struct TextPiece {
    std::string text;
    TokenId id = Vocabulary::none;  // of an added token
    bool atStart = false;           // the text begins with it
};

// How normalized text is cut into the words that the model encodes one by one: the steps of tokenizer.json's "pre_tokenizer".
// Added tokens pass untouched; empty pieces vanish.
class PreTokenizer {
public:
    using Step = std::function<void(const TextPiece &piece, std::vector<TextPiece> &out)>;

    PreTokenizer() = default;  // cuts nothing
    // Throws Error(Unsupported) naming an unknown type.
    static PreTokenizer fromJson(const JsonReader &reader);
    void add(Step step) { m_steps.push_back(std::move(step)); }

    // GPT-2's: cut by its expression if `cut`, then bytes as characters. A space goes in front of every piece that lacks one
    // if `prefixSpace`.
    void addByteLevel(bool prefixSpace, bool cut);
    // Cut by an expression, every match a word of its own.
    void addIsolated(const std::string &expression);
    bool isByteLevel() const { return m_byteLevel; }

    std::vector<TextPiece> apply(std::vector<TextPiece> pieces) const;

private:
    void addFromJson(const JsonReader &reader);

    std::vector<Step> m_steps;
    bool m_byteLevel = false;
};

}  // namespace lqer
