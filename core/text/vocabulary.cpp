// SPDX-License-Identifier: Apache-2.0
#include "core/text/vocabulary.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"

namespace lqer {

namespace {

// Ids may leave gaps, as padded vocabularies do, but a file of three tokens must not ask for a table of 8 GB.
constexpr std::int64_t idsPerToken = 4;
constexpr std::int64_t idsAlwaysAllowed = 1024;

}  // namespace

void Vocabulary::add(std::string_view token, std::int64_t id)
{
    const auto fail = [&](std::string_view message) {
        throw Error(ErrorCode::Format, m_file, fmt::format("token '{}'", escaped(token, 60)), message);
    };
    if (id < 0 || id > std::numeric_limits<TokenId>::max())
        fail(fmt::format("id must be 0 ... 2^31-1, found {}", id));
    if (token.size() > longestToken)
        fail("token longer than 64 kB");
    const auto tokenId = static_cast<TokenId>(id);
    const auto [place, isNew] = m_byText.try_emplace(std::string(token), tokenId);
    if (!isNew)
        fail(fmt::format("has two ids, {} and {}", place->second, id));
    const auto [other, isFree] = m_open.try_emplace(tokenId, place->first);
    if (!isFree)
        fail(fmt::format("has id {}, which '{}' has too", id, escaped(other->second, 60)));
    m_largest = std::max(m_largest, id);
}

void Vocabulary::close(const std::vector<TokenId> &reserved)
{
    if (m_byText.empty())
        throw Error(ErrorCode::Format, m_file, {}, "vocabulary is empty");
    const std::int64_t allowed = std::max(idsPerToken * (count() + static_cast<std::int64_t>(reserved.size())), idsAlwaysAllowed);
    if (m_largest >= allowed)
        throw Error(ErrorCode::Format, m_file, {},
                    fmt::format("id {} is larger than {} tokens x {}", m_largest, m_byText.size(), idsPerToken));
    m_byId.assign(static_cast<std::size_t>(size()), {});
    std::vector<bool> used(m_byId.size());
    for (const TokenId id : reserved)
        if (id >= 0 && id < size())
            used[static_cast<std::size_t>(id)] = true;
    for (const auto &[id, token] : m_open) {
        m_byId[static_cast<std::size_t>(id)] = token;
        used[static_cast<std::size_t>(id)] = true;
    }
    m_open.clear();
    const auto begin = std::find(used.begin(), used.end(), false);
    if (begin != used.end()) {
        const auto end = std::find(begin, used.end(), true);
        const auto unused = std::count(used.begin(), used.end(), false);
        logWarning(fmt::format("{}: ids {}...{} unused ({} unused ids in all)", escaped(m_file), begin - used.begin(),
                               end - used.begin() - 1, unused));
    }
}

TokenId Vocabulary::find(std::string_view token) const
{
    const auto place = m_byText.find(token);
    return place == m_byText.end() ? none : place->second;
}

std::string_view Vocabulary::token(TokenId id) const
{
    LQER_ASSERT(m_open.empty());
    return id >= 0 && id < static_cast<TokenId>(m_byId.size()) ? m_byId[static_cast<std::size_t>(id)] : std::string_view();
}

}  // namespace lqer
