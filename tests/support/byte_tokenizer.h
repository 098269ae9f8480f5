// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/tokenizer.h"

namespace lqer::test {

// A byte is a token (its value + 10), BOS is 1, EOS 2: windows can be read off the text.
class ByteTokenizer final : public Tokenizer {
public:
    explicit ByteTokenizer(bool bos = true, bool eos = true) : m_bos(bos), m_eos(eos) {}
    std::vector<TokenId> encode(std::string_view text, bool addSpecial) const override
    {
        std::vector<TokenId> ids;
        if (addSpecial && m_bos)
            ids.push_back(1);
        for (const char c : text)
            ids.push_back(static_cast<unsigned char>(c) + 10);
        return ids;
    }
    // BOS as "^", EOS as "$".
    std::string decode(const std::vector<TokenId> &ids, bool) const override
    {
        std::string text;
        for (const TokenId id : ids)
            text += id == 1 ? '^' : id == 2 ? '$' : static_cast<char>(id - 10);
        return text;
    }
    std::int64_t size() const override { return 266; }
    std::optional<TokenId> bosId() const override { return m_bos ? std::optional<TokenId>(1) : std::nullopt; }
    std::optional<TokenId> eosId() const override { return m_eos ? std::optional<TokenId>(2) : std::nullopt; }
    std::optional<TokenId> padId() const override { return std::nullopt; }
    bool addsBos() const override { return m_bos; }
    std::string description() const override { return "bytes"; }
    std::string piece(TokenId) const override { return {}; }

private:
    bool m_bos;
    bool m_eos;
};

}  // namespace lqer::test
