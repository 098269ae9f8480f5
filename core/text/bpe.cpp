// SPDX-License-Identifier: Apache-2.0
#include "core/text/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <queue>
#include <unordered_map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/text/unicode.h"

namespace lqer {

namespace {

constexpr std::uint64_t emptySlot = ~std::uint64_t{0};
constexpr std::size_t shortWord = 32;  // symbols; below, scanning for the best pair beats keeping a queue

std::uint64_t pairOf(TokenId left, TokenId right)
{
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}

std::size_t slotOf(std::uint64_t pair)
{
    return static_cast<std::size_t>((pair ^ pair >> 29) * 0x9E3779B97F4A7C15ULL >> 20);
}

// Places where a rule may apply, in order of rank and then of position. A plain heap of 10 million places misses the cache
// at every level; here each rank has its own list, mostly filled and emptied from left to right (10 million random letters:
// 1.5 s instead of 3.4 s).
class MergeQueue {
public:
    void push(std::uint32_t rank, std::int32_t position)
    {
        Bucket &bucket = m_buckets[rank];
        if (bucket.positions.empty()) {
            m_ranks.push(rank);
        } else if (position < bucket.positions.back()) {
            if (bucket.next > 0) {  // already being emptied: never sorted again, so that no input makes this quadratic
                m_late.push(static_cast<std::uint64_t>(rank) << 32 | static_cast<std::uint32_t>(position));
                return;
            }
            bucket.sorted = false;
        }
        bucket.positions.push_back(position);
    }

    bool pop(std::uint32_t &rank, std::int32_t &position)
    {
        while (!m_ranks.empty()) {
            rank = m_ranks.top();
            if (!m_current || m_currentRank != rank) {
                m_current = &m_buckets[rank];  // references into an unordered_map stay valid
                m_currentRank = rank;
            }
            if (m_current->next < m_current->positions.size())
                break;
            *m_current = {};
            m_ranks.pop();
        }
        if (m_ranks.empty() && m_late.empty())
            return false;
        if (!m_ranks.empty()) {
            if (!m_current->sorted) {
                std::sort(m_current->positions.begin(), m_current->positions.end());
                m_current->sorted = true;
            }
            position = m_current->positions[m_current->next];
            const std::uint64_t key = static_cast<std::uint64_t>(rank) << 32 | static_cast<std::uint32_t>(position);
            if (m_late.empty() || key <= m_late.top()) {
                ++m_current->next;
                return true;
            }
        }
        rank = static_cast<std::uint32_t>(m_late.top() >> 32);
        position = static_cast<std::int32_t>(m_late.top() & 0xFFFFFFFFU);
        m_late.pop();
        return true;
    }

private:
    struct Bucket {
        std::vector<std::int32_t> positions;
        std::size_t next = 0;
        bool sorted = true;
    };
    template <typename T>
    using Ascending = std::priority_queue<T, std::vector<T>, std::greater<>>;

    std::unordered_map<std::uint32_t, Bucket> m_buckets;
    Ascending<std::uint32_t> m_ranks;  // of the buckets that are not empty
    Ascending<std::uint64_t> m_late;   // rank, position
    Bucket *m_current = nullptr;
    std::uint32_t m_currentRank = 0;
};

}  // namespace

Bpe::Bpe(const Vocabulary &vocabulary, const std::vector<BpeMerge> &merges, BpeOptions options)
    : m_vocabulary(&vocabulary), m_options(std::move(options))
{
    if (!m_options.unknownToken.empty()) {
        m_unknown = vocabulary.find(m_options.unknownToken);
        if (m_unknown == Vocabulary::none)
            logWarning(fmt::format("{}: unk_token '{}' is not in the vocabulary", escaped(vocabulary.file()),
                                   escaped(m_options.unknownToken, 60)));
    }
    for (std::size_t c = 0; c < m_asciiIds.size(); ++c) {
        const char character = static_cast<char>(c);
        m_asciiIds[c] = vocabulary.find(std::string_view(&character, 1));
    }
    std::vector<std::string> missing;
    for (std::size_t byte = 0; byte < m_byteIds.size(); ++byte) {
        const std::string token = fmt::format("<0x{:02X}>", byte);
        m_byteIds[byte] = vocabulary.find(token);
        if (m_byteIds[byte] == Vocabulary::none)
            missing.push_back(token);
    }
    if (m_options.byteFallback && !missing.empty())
        logWarning(fmt::format("{}: byte tokens missing: {}{}; characters that need them become {}", escaped(vocabulary.file()),
                               missing.front(), missing.size() > 1 ? fmt::format(" and {} more", missing.size() - 1) : "",
                               m_options.unknownToken.empty() ? "nothing" : escaped(m_options.unknownToken, 60)));
    buildRules(merges);
}

void Bpe::buildRules(const std::vector<BpeMerge> &merges)
{
    const std::size_t slots = std::bit_ceil(2 * merges.size() + 2);
    m_slotMask = slots - 1;
    m_rules.assign(slots, {emptySlot, 0, Vocabulary::none});
    const std::string &prefix = m_options.continuingSubwordPrefix;
    for (std::size_t i = 0; i < merges.size(); ++i) {
        const auto fail = [&](std::string_view message) {
            throw Error(ErrorCode::Format, m_vocabulary->file(), fmt::format("merge #{}", i + 1), message);
        };
        const auto idOf = [&](std::string_view token) {
            if (token.size() > Vocabulary::longestToken)
                fail("token longer than 64 kB");
            const TokenId id = m_vocabulary->find(token);
            if (id == Vocabulary::none)
                fail(fmt::format("'{}' is not in the vocabulary", escaped(token, 60)));
            return id;
        };
        const TokenId left = idOf(merges[i].left);
        const TokenId right = idOf(merges[i].right);
        if (merges[i].right.size() < prefix.size())
            fail(fmt::format("'{}' is shorter than the prefix '{}'", escaped(merges[i].right, 60), escaped(prefix, 60)));
        const TokenId merged = idOf(merges[i].left + merges[i].right.substr(prefix.size()));
        insert({pairOf(left, right), static_cast<std::uint32_t>(i), merged});
    }
}

// The later of two rules for one pair counts, as in the tokenizers library.
void Bpe::insert(const Rule &rule)
{
    std::size_t slot = slotOf(rule.pair) & m_slotMask;
    while (m_rules[slot].pair != emptySlot && m_rules[slot].pair != rule.pair)
        slot = (slot + 1) & m_slotMask;
    m_rules[slot] = rule;
}

const Bpe::Rule *Bpe::find(TokenId left, TokenId right) const
{
    const std::uint64_t pair = pairOf(left, right);
    std::size_t slot = slotOf(pair) & m_slotMask;
    while (m_rules[slot].pair != emptySlot) {
        if (m_rules[slot].pair == pair)
            return &m_rules[slot];
        slot = (slot + 1) & m_slotMask;
    }
    return nullptr;
}

TokenId Bpe::unknownId() const
{
    if (m_unknown == Vocabulary::none)
        throw Error(ErrorCode::Format, m_vocabulary->file(), {},
                    fmt::format("the text needs unk_token '{}', which is not in the vocabulary", m_options.unknownToken));
    return m_unknown;
}

TokenId Bpe::characterId(std::string_view character, bool first, bool last) const
{
    const bool prefixed = !first && !m_options.continuingSubwordPrefix.empty();
    const bool suffixed = last && !m_options.endOfWordSuffix.empty();
    if (prefixed || suffixed)
        return m_vocabulary->find((prefixed ? m_options.continuingSubwordPrefix : "") + std::string(character)
                                  + (suffixed ? m_options.endOfWordSuffix : ""));
    const auto byte = static_cast<unsigned char>(character[0]);
    return byte < m_asciiIds.size() ? m_asciiIds[byte] : m_vocabulary->find(character);
}

void Bpe::appendCharacters(std::string_view word, std::vector<TokenId> &ids) const
{
    bool pendingUnknown = false;
    for (std::size_t at = 0; at < word.size();) {
        const std::size_t length = characterLength(word[at]);
        const std::string_view character = word.substr(at, length);
        const TokenId id = characterId(character, at == 0, at + length == word.size());
        at += length;
        if (id != Vocabulary::none) {
            if (pendingUnknown)
                ids.push_back(unknownId());
            pendingUnknown = false;
            ids.push_back(id);
            continue;
        }
        const auto byteId = [this](char byte) { return m_byteIds[static_cast<unsigned char>(byte)]; };
        if (m_options.byteFallback
            && std::none_of(character.begin(), character.end(), [&](char b) { return byteId(b) == Vocabulary::none; })) {
            // Bytes overtake an unknown token that still waits to be fused: the tokenizers library does so.
            std::transform(character.begin(), character.end(), std::back_inserter(ids), byteId);
            continue;
        }
        if (m_options.unknownToken.empty())
            continue;
        if (pendingUnknown && !m_options.fuseUnknown)
            ids.push_back(unknownId());
        pendingUnknown = true;
    }
    if (pendingUnknown)
        ids.push_back(unknownId());
}

void Bpe::encode(std::string_view word, std::vector<TokenId> &ids) const
{
    if (word.empty())
        return;
    if (word.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
        throw Error(ErrorCode::Unsupported, m_vocabulary->file(), {},
                    "a text of more than 2 GB without a break cannot be tokenized");
    if (m_options.ignoreMerges) {
        const TokenId id = m_vocabulary->find(word);
        if (id != Vocabulary::none) {
            ids.push_back(id);
            return;
        }
    }
    const std::size_t first = ids.size();
    appendCharacters(word, ids);
    if (ids.size() - first <= shortWord)
        mergeShort(ids, first);
    else
        mergeLong(ids, first);
}

void Bpe::mergeShort(std::vector<TokenId> &ids, std::size_t first) const
{
    constexpr std::uint32_t noRank = std::numeric_limits<std::uint32_t>::max();
    std::array<std::uint32_t, shortWord> ranks{};  // of the pair (i, i + 1)
    std::array<TokenId, shortWord> merged{};
    std::size_t count = ids.size() - first;
    TokenId *symbols = ids.data() + first;
    const auto rate = [&](std::size_t i) {
        const Rule *rule = i + 1 < count ? find(symbols[i], symbols[i + 1]) : nullptr;
        ranks[i] = rule ? rule->rank : noRank;
        merged[i] = rule ? rule->merged : Vocabulary::none;
    };
    for (std::size_t i = 0; i < count; ++i)
        rate(i);
    while (count > 1) {
        const auto end = ranks.begin() + static_cast<std::ptrdiff_t>(count);
        const auto best = static_cast<std::size_t>(std::min_element(ranks.begin(), end) - ranks.begin());
        if (ranks[best] == noRank)
            break;
        symbols[best] = merged[best];
        for (std::size_t i = best + 1; i + 1 < count; ++i) {
            symbols[i] = symbols[i + 1];
            ranks[i] = ranks[i + 1];
            merged[i] = merged[i + 1];
        }
        --count;
        rate(best);
        if (best > 0)
            rate(best - 1);
    }
    ids.resize(first + count);
}

void Bpe::mergeLong(std::vector<TokenId> &ids, std::size_t first) const
{
    const auto count = static_cast<std::int32_t>(ids.size() - first);
    TokenId *symbols = ids.data() + first;
    // A symbol swallowed by its left neighbour is `none`; the others know their living neighbours.
    std::vector<std::int32_t> next(ids.size() - first);
    std::vector<std::int32_t> previous(ids.size() - first);
    MergeQueue queue;
    const auto offer = [&](std::int32_t left, std::int32_t right) {
        if (const Rule *rule = find(symbols[left], symbols[right]))
            queue.push(rule->rank, left);
    };
    for (std::int32_t i = 0; i < count; ++i) {
        next[static_cast<std::size_t>(i)] = i + 1;
        previous[static_cast<std::size_t>(i)] = i - 1;
        if (i + 1 < count)
            offer(i, i + 1);
    }
    std::uint32_t rank = 0;
    std::int32_t left = 0;
    while (queue.pop(rank, left)) {
        const std::int32_t right = next[static_cast<std::size_t>(left)];
        if (symbols[left] == Vocabulary::none || right == count)
            continue;
        const Rule *rule = find(symbols[left], symbols[right]);
        if (!rule || rule->rank != rank)  // the pair this place was queued for is gone
            continue;
        symbols[left] = rule->merged;
        symbols[right] = Vocabulary::none;
        const std::int32_t after = next[static_cast<std::size_t>(right)];
        next[static_cast<std::size_t>(left)] = after;
        if (after < count) {
            previous[static_cast<std::size_t>(after)] = left;
            offer(left, after);
        }
        if (previous[static_cast<std::size_t>(left)] >= 0)
            offer(previous[static_cast<std::size_t>(left)], left);
    }
    ids.erase(std::remove(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end(), Vocabulary::none), ids.end());
}

}  // namespace lqer
