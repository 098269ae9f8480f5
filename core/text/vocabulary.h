// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/text/tokenizer.h"

namespace lqer {

// Lookup by string_view in maps of strings.
struct StringHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

// Token strings and their ids, both ways.
class Vocabulary {
public:
    static constexpr TokenId none = -1;
    static constexpr std::size_t longestToken = 64 * 1024;  // bytes

    // `file` is for messages.
    explicit Vocabulary(std::string file) : m_file(std::move(file)) {}
    Vocabulary(const Vocabulary &) = delete;  // m_byId points into m_byText
    Vocabulary &operator=(const Vocabulary &) = delete;
    Vocabulary(Vocabulary &&) = default;
    Vocabulary &operator=(Vocabulary &&) = default;

    // Throws Error(Format): id outside 0 ... 2^31-1, token longer than 64 kB, token or id taken.
    void add(std::string_view token, std::int64_t id);
    // To be called after the last add(): throws Error(Format) if there are no tokens or if the largest id is out of all
    // proportion to their number (a table by id would be huge), and warns of unused ids. `reserved`: ids that count as tokens
    // although they are none here.
    void close(const std::vector<TokenId> &reserved = {});

    TokenId find(std::string_view token) const;
    // "" for an unused id.
    std::string_view token(TokenId id) const;
    std::int64_t count() const { return static_cast<std::int64_t>(m_byText.size()); }
    // Largest id + 1.
    std::int64_t size() const { return m_largest + 1; }
    const std::string &file() const { return m_file; }

private:
    std::string m_file;
    std::unordered_map<std::string, TokenId, StringHash, std::equal_to<>> m_byText;
    std::unordered_map<TokenId, std::string_view> m_open;  // before close()
    std::vector<std::string_view> m_byId;
    std::int64_t m_largest = -1;
};

}  // namespace lqer
