// SPDX-License-Identifier: Apache-2.0
#include "core/text/added_tokens.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/text/unicode.h"

namespace lqer {

namespace {

constexpr std::size_t longestAddedToken = 4096;  // bytes

// The last character of a text that is not empty.
std::string_view lastCharacter(std::string_view text)
{
    std::size_t at = text.size() - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80)
        --at;
    return text.substr(at);
}

bool isWordCharacter(std::string_view character)
{
    static const Pattern word = Pattern::regex("\\w", JsonReader(Json(), {}));
    return !word.matches(character).empty();
}

std::size_t whiteSpaceAtEnd(std::string_view text)
{
    std::size_t bytes = 0;
    while (bytes < text.size()) {
        const std::string_view last = lastCharacter(text.substr(0, text.size() - bytes));
        std::size_t at = 0;
        if (!isWhiteSpace(nextCharacter(last, at)))
            break;
        bytes += last.size();
    }
    return bytes;
}

std::size_t whiteSpaceAtBegin(std::string_view text)
{
    std::size_t bytes = 0;
    while (bytes < text.size()) {
        std::size_t at = bytes;
        if (!isWhiteSpace(nextCharacter(text, at)))
            break;
        bytes = at;
    }
    return bytes;
}

}  // namespace

void AddedTokens::Trie::add(std::string_view text, std::size_t token)
{
    std::uint32_t node = 0;
    for (const char byte : text) {
        const std::uint64_t edge = static_cast<std::uint64_t>(node) << 8 | static_cast<unsigned char>(byte);
        const auto [place, isNew] = m_edges.try_emplace(edge, static_cast<std::uint32_t>(m_tokenOf.size()));
        if (isNew)
            m_tokenOf.push_back(std::string_view::npos);
        node = place->second;
    }
    m_tokenOf[node] = token;
    m_begins[static_cast<unsigned char>(text[0])] = true;
}

std::size_t AddedTokens::Trie::longest(std::string_view text, std::size_t at, std::size_t &end) const
{
    std::size_t token = std::string_view::npos;
    std::uint32_t node = 0;
    for (std::size_t i = at; i < text.size(); ++i) {
        const auto edge = m_edges.find(static_cast<std::uint64_t>(node) << 8 | static_cast<unsigned char>(text[i]));
        if (edge == m_edges.end())
            break;
        node = edge->second;
        if (m_tokenOf[node] != std::string_view::npos) {
            token = m_tokenOf[node];
            end = i + 1;
        }
    }
    return token;
}

std::size_t AddedTokens::Trie::candidate(std::string_view text, std::size_t at) const
{
    while (at < text.size() && !m_begins[static_cast<unsigned char>(text[at])])
        ++at;
    return at;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer &normalizer, const std::string &file)
{
    std::unordered_map<std::string, std::size_t> byContent;
    for (AddedToken &token : tokens) {
        const auto fail = [&](std::string_view message) {
            throw Error(ErrorCode::Format, file, fmt::format("added token '{}'", escaped(token.content, 60)), message);
        };
        if (token.content.empty())
            fail(fmt::format("id {} has no content", token.id));
        if (token.content.size() > longestAddedToken)
            fail(fmt::format("has {} bytes, at most {} are allowed", token.content.size(), longestAddedToken));
        const auto [place, isNew] = byContent.try_emplace(token.content, m_tokens.size());
        if (!isNew) {
            if (m_tokens[place->second].id != token.id)
                fail(fmt::format("has two ids, {} and {}", m_tokens[place->second].id, token.id));
            m_tokens[place->second] = std::move(token);
            continue;
        }
        const auto [other, isFree] = m_byId.try_emplace(token.id, m_tokens.size());
        if (!isFree)
            fail(fmt::format("has id {}, which '{}' has too", token.id, escaped(m_tokens[other->second].content, 60)));
        m_tokens.push_back(std::move(token));
    }
    for (std::size_t i = 0; i < m_tokens.size(); ++i) {
        const std::string text = m_tokens[i].normalized ? normalizer.apply(m_tokens[i].content) : m_tokens[i].content;
        if (!text.empty())
            (m_tokens[i].normalized ? m_normalized : m_raw).add(text, i);
    }
}

const AddedToken *AddedTokens::find(TokenId id) const
{
    const auto place = m_byId.find(id);
    return place == m_byId.end() ? nullptr : &m_tokens[place->second];
}

const AddedToken *AddedTokens::find(std::string_view content) const
{
    const auto place = std::find_if(m_tokens.begin(), m_tokens.end(), [&](const AddedToken &t) { return t.content == content; });
    return place == m_tokens.end() ? nullptr : &*place;
}

std::int64_t AddedTokens::size() const
{
    std::int64_t size = 0;
    for (const AddedToken &token : m_tokens)
        size = std::max<std::int64_t>(size, token.id + 1);
    return size;
}

std::vector<TextSection> AddedTokens::split(std::string_view text, const Trie &trie) const
{
    std::vector<TextSection> sections;
    if (text.empty())
        return sections;
    if (trie.empty())
        return {{text, Vocabulary::none}};
    std::size_t done = 0;
    for (std::size_t at = trie.candidate(text, 0); at < text.size();) {
        std::size_t stop = at;
        const std::size_t index = trie.longest(text, at, stop);
        if (index == std::string_view::npos) {
            at = trie.candidate(text, at + 1);
            continue;
        }
        std::size_t start = at;
        at = trie.candidate(text, stop);
        const AddedToken &token = m_tokens[index];
        if (token.singleWord) {
            const std::string_view before = text.substr(0, start);
            const std::string_view behind = text.substr(stop);
            if ((!before.empty() && isWordCharacter(lastCharacter(before)))
                || (!behind.empty() && isWordCharacter(behind.substr(0, characterLength(behind[0])))))
                continue;
        }
        // White space that an earlier token swallowed is gone; a token that lies in it is found all the same.
        if (token.lstrip)
            start = std::min(std::max(start - whiteSpaceAtEnd(text.substr(0, start)), done), stop);
        if (token.rstrip)
            stop += whiteSpaceAtBegin(text.substr(stop));
        if (done < start)
            sections.push_back({text.substr(done, start - done), Vocabulary::none});
        sections.push_back({text.substr(start, stop - start), token.id});
        done = stop;
    }
    if (done < text.size())
        sections.push_back({text.substr(done), Vocabulary::none});
    return sections;
}

}  // namespace lqer
