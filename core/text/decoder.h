// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/io/json.h"

namespace lqer {

// Token strings back to text: the steps of tokenizer.json's "decoder". The text is what the last step leaves, joined.
class Decoder {
public:
    using Step = std::function<void(std::vector<std::string> &tokens)>;

    // Tokens joined by spaces, what a tokenizer without a decoder does.
    Decoder();
    // An unknown type is a warning, and its tokens are only joined: decoding is never needed to measure a model.
    static Decoder fromJson(const JsonReader &reader);
    static Decoder byteLevel();
    // "▁" is a space, <0x41> a byte; with `stripSpace` the first space of the text is not its own.
    static Decoder sentencePiece(bool stripSpace);

    std::string apply(std::vector<std::string> tokens) const;

private:
    explicit Decoder(std::vector<Step> steps) : m_steps(std::move(steps)) {}
    void addFromJson(const JsonReader &reader);

    std::vector<Step> m_steps;
};

}  // namespace lqer
