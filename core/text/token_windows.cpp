// SPDX-License-Identifier: Apache-2.0
#include "core/text/token_windows.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/npy.h"
#include "core/text/rolling_windows.h"

namespace lqer {

namespace {

constexpr std::size_t rowsPerBatch = 1000;  // default of datasets.map(batched=True)

constexpr std::array<std::pair<WindowConvention, std::string_view>, 6> conventionNames{{
    {WindowConvention::Joined, "joined"},
    {WindowConvention::BosPerWindow, "bos-per-window"},
    {WindowConvention::Sharded, "sharded"},
    {WindowConvention::Strided, "strided"},
    {WindowConvention::WordPerplexity, "word-perplexity"},
    {WindowConvention::Tokens, "tokens"},
}};

void checkOptions(const WindowOptions &options)
{
    const auto require = [](bool met, std::string_view message) {
        if (!met)
            throw Error(ErrorCode::Argument, std::string(message));
    };
    require(options.length >= 2, fmt::format("a window must have at least 2 tokens, found {}", options.length));
    require(options.maxWindows >= 0, fmt::format("the number of windows must not be negative, found {}", options.maxWindows));
    require(options.maxRows >= 0, fmt::format("the number of rows must not be negative, found {}", options.maxRows));
    require(options.batch >= 1, fmt::format("a batch must have at least 1 window, found {}", options.batch));
    if (options.convention == WindowConvention::Strided)
        require(options.stride >= 1 && options.stride < options.length,
                fmt::format("the stride must be at least 1 and below the window's {} tokens, found {}", options.length,
                            options.stride));
    if (options.convention == WindowConvention::Sharded)
        require(options.shards >= 1, fmt::format("the number of shards must be at least 1, found {}", options.shards));
}

std::string join(std::span<const std::string> rows)
{
    return fmt::format("{}", fmt::join(rows, "\n\n"));
}

bool isFull(const TokenWindows &result)
{
    return result.options.maxWindows > 0 && static_cast<std::int64_t>(result.windows.size()) >= result.options.maxWindows;
}

// Consecutive windows of `length` ids with `front` before each; the tail is dropped.
void appendConsecutive(std::span<const TokenId> ids, std::int64_t length, const std::vector<TokenId> &front, TokenWindows &result)
{
    const auto step = static_cast<std::size_t>(length) - front.size();
    for (std::size_t at = 0; ids.size() - at >= step && !isFull(result); at += step) {
        TokenWindow window;
        window.ids = front;
        window.ids.insert(window.ids.end(), ids.begin() + static_cast<std::ptrdiff_t>(at),
                          ids.begin() + static_cast<std::ptrdiff_t>(at + step));
        result.windows.push_back(std::move(window));
    }
}

// Bounds of `count` things in `parts` contiguous parts, the first ones longer by one: datasets.Dataset.shard(contiguous=True).
std::vector<std::pair<std::size_t, std::size_t>> contiguousParts(std::size_t count, std::size_t parts)
{
    std::vector<std::pair<std::size_t, std::size_t>> bounds;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < parts; ++i) {
        const std::size_t size = count / parts + (i < count % parts ? 1 : 0);
        bounds.emplace_back(begin, begin + size);
        begin += size;
    }
    return bounds;
}

void makeSharded(const TextSource &source, const Tokenizer &tokenizer, TokenWindows &result)
{
    std::vector<std::string> rows = readRows(source, result.options.maxRows);
    result.rows = static_cast<std::int64_t>(rows.size());
    // The WikiText loader yields "" for a line of white space only, and other lines with their line feed.
    if (!isJsonLines(source))
        for (std::string &row : rows)
            if (row.find_first_not_of(" \t\r\n") == std::string::npos)
                row.clear();
    const auto shardCount = [&](std::size_t things) { return std::min(static_cast<std::size_t>(result.options.shards), things); };

    // First map: one list of ids per batch of rows, special tokens included.
    std::vector<std::vector<TokenId>> lists;
    for (const auto &[begin, end] : contiguousParts(rows.size(), shardCount(rows.size())))
        for (std::size_t at = begin; at < end; at += rowsPerBatch)
            lists.push_back(tokenizer.encode(join(std::span(rows).subspan(at, std::min(rowsPerBatch, end - at))), true));
    for (const std::vector<TokenId> &list : lists)
        result.totalIds += static_cast<std::int64_t>(list.size());

    // Second map, sharded anew over the lists: each shard's (batch of) lists is one sequence, cut to length.
    for (const auto &[begin, end] : contiguousParts(lists.size(), shardCount(lists.size()))) {
        for (std::size_t at = begin; at < end; at += rowsPerBatch) {
            std::vector<TokenId> ids;
            for (std::size_t i = at; i < std::min(at + rowsPerBatch, end); ++i)
                ids.insert(ids.end(), lists[i].begin(), lists[i].end());
            // The official code keeps such a remainder as one short window and then fails: all windows must be of one length.
            // Dropping it like every other remainder is what it would do if it went on.
            if (static_cast<std::int64_t>(ids.size()) < result.options.length)
                logWarning(fmt::format("{}: a shard has {} tokens, fewer than a window of {}; they are not used",
                                       escaped(source.path), ids.size(), result.options.length));
            appendConsecutive(ids, result.options.length, {}, result);
        }
    }
}

void makeStrided(std::span<const TokenId> ids, TokenWindows &result)
{
    const auto length = static_cast<std::size_t>(result.options.length);
    const auto stride = static_cast<std::size_t>(result.options.stride);
    std::size_t scored = 1;  // ids before this one are scored or never will be
    for (std::size_t begin = 0; scored < ids.size() && !isFull(result); begin += stride) {
        const std::size_t end = std::min(begin + length, ids.size());
        TokenWindow window;
        window.ids.assign(ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.begin() + static_cast<std::ptrdiff_t>(end));
        window.firstScored = static_cast<std::int64_t>(scored - begin);
        result.windows.push_back(std::move(window));
        scored = end;
    }
}

void makeWordPerplexity(const TextSource &source, const Tokenizer &tokenizer, TokenWindows &result)
{
    const std::optional<TokenId> prefix = tokenizer.bosId() ? tokenizer.bosId() : tokenizer.eosId();
    if (!prefix)
        throw Error(ErrorCode::Argument, source.path, {}, "word perplexity needs a tokenizer with a BOS or an EOS token");
    for (const std::string &document : readDocuments(source, result.options.maxRows, &result.rows)) {
        if (isFull(result))
            break;
        std::vector<TokenId> ids = tokenizer.encode(document, false);
        result.words += countWords(document);
        result.bytes += static_cast<std::int64_t>(document.size());
        result.totalIds += static_cast<std::int64_t>(ids.size());
        for (TokenWindow &window : rollingWindows(std::move(ids), *prefix, result.options.length)) {
            if (isFull(result))
                break;
            result.windows.push_back(std::move(window));
        }
    }
    if (result.scoredTokens() < result.totalIds || isFull(result)) {
        logWarning(fmt::format("{}: {} windows may not hold the whole text, so there is no perplexity per word",
                               escaped(source.path), result.options.maxWindows));
        result.words = 0;
        result.bytes = 0;
    }
}

std::string hashOf(const TokenWindows &result)
{
    const WindowOptions &options = result.options;
    Hasher hasher;
    hasher.add(fmt::format("{} length {} stride {} shards {} windows {} batch {}", toString(options.convention), options.length,
                           options.stride, options.shards, options.maxWindows, options.batch));
    if (options.maxRows > 0)
        hasher.add(fmt::format("rows {}", options.maxRows));
    for (const TokenWindow &window : result.windows) {
        const std::array<std::int64_t, 2> head{static_cast<std::int64_t>(window.ids.size()), window.firstScored};
        hasher.add(std::as_bytes(std::span(head)));
        hasher.add(std::as_bytes(std::span(window.ids)));
    }
    return hasher.hex();
}

// Checks `ids` (rows x columns) and cuts each row into windows.
template <typename Id>
void cutRows(std::span<const std::byte> bytes, std::int64_t rows, std::int64_t columns, std::int64_t vocabularySize,
             const std::string &path, TokenWindows &result)
{
    const std::int64_t length = std::min(result.options.length, columns);
    std::vector<TokenId> row(static_cast<std::size_t>(columns));
    for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < columns; ++c) {
            Id id = 0;
            std::memcpy(&id, bytes.data() + static_cast<std::size_t>(r * columns + c) * sizeof(Id), sizeof(Id));
            if (id < 0 || id >= vocabularySize)
                throw Error(ErrorCode::Format, path, fmt::format("row {}, column {}", r, c),
                            fmt::format("token id {} is outside the vocabulary [0, {})", id, vocabularySize));
            row[static_cast<std::size_t>(c)] = static_cast<TokenId>(id);
        }
        appendConsecutive(row, length, {}, result);
    }
}

}  // namespace

std::string toString(WindowConvention convention)
{
    for (const auto &[known, name] : conventionNames)
        if (known == convention)
            return std::string(name);
    return "unknown";
}

WindowConvention windowConventionFromString(std::string_view name)
{
    std::vector<std::string> names;
    for (const auto &[convention, known] : conventionNames) {
        if (known == name)
            return convention;
        names.emplace_back(known);
    }
    const std::string near = nearest(name, names);
    throw Error(ErrorCode::Argument,
                fmt::format("window convention '{}' is not known (known: {}){}", name, fmt::join(names, ", "),
                            near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

std::int64_t TokenWindows::scoredTokens() const
{
    std::int64_t count = 0;
    for (const TokenWindow &window : windows)
        count += std::max<std::int64_t>(0, static_cast<std::int64_t>(window.ids.size()) - window.firstScored);
    return count;
}

std::string TokenWindows::provenance() const
{
    if (dataSet.empty() && options.maxRows == 0)
        return source;
    std::string text;
    if (!dataSet.empty())
        text = fmt::format("{}, {} split, ", dataSet, split);
    return text + fmt::format("{} rows of {}", rows, source);
}

TokenWindows makeWindows(const TextSource &source, const Tokenizer &tokenizer, const WindowOptions &options)
{
    checkOptions(options);
    TokenWindows result;
    result.options = options;
    result.source = source.path;
    result.dataSet = source.dataSet;
    result.split = source.split;
    std::int64_t bytes = 0;
    const auto wholeText = [&](bool addSpecial) {
        const std::string text = join(readDocuments(source, result.options.maxRows, &result.rows));
        bytes = static_cast<std::int64_t>(text.size());
        std::vector<TokenId> ids = tokenizer.encode(text, addSpecial);
        result.totalIds = static_cast<std::int64_t>(ids.size());
        return ids;
    };
    switch (options.convention) {
    case WindowConvention::Joined:
        appendConsecutive(wholeText(true), options.length, {}, result);
        break;
    case WindowConvention::BosPerWindow:
        if (!tokenizer.bosId())
            throw Error(ErrorCode::Argument, source.path, {}, "BOS per window needs a tokenizer with a BOS token");
        appendConsecutive(wholeText(false), options.length, {*tokenizer.bosId()}, result);
        break;
    case WindowConvention::Sharded:
        makeSharded(source, tokenizer, result);
        break;
    case WindowConvention::Strided:
        makeStrided(wholeText(true), result);
        if (tokenizer.addsBos() && result.scoredTokens() + 1 == result.totalIds)
            result.bytes = bytes;
        break;
    case WindowConvention::WordPerplexity:
        makeWordPerplexity(source, tokenizer, result);
        break;
    case WindowConvention::Tokens:
        throw Error(ErrorCode::Argument, source.path, {}, "windows of token ids are read from an .npy file, not made from text");
    }
    if (result.windows.empty())
        throw Error(ErrorCode::Argument, source.path, {},
                    fmt::format("has {} tokens, too few for one window of {}{}", result.totalIds, options.length,
                                options.convention == WindowConvention::Sharded
                                    ? " in any shard: use fewer shards or shorter windows"
                                    : ": use shorter windows"));
    result.hash = hashOf(result);
    return result;
}

TokenWindows readTokenWindows(const std::string &npyPath, const WindowOptions &options, std::int64_t vocabularySize)
{
    TokenWindows result;
    result.options = options;
    result.options.convention = WindowConvention::Tokens;
    result.source = npyPath;
    checkOptions(result.options);
    const Tensor tensor = readNpy(npyPath);
    const Shape &shape = tensor.shape();
    if (shape.size() != 1 && shape.size() != 2)
        throw Error(ErrorCode::Shape, npyPath, {}, fmt::format("has {} dimensions, token ids have 1 or 2", shape.size()));
    const std::int64_t rows = shape.size() == 2 ? shape[0] : 1;
    const std::int64_t columns = shape.back();
    if (rows == 0 || columns < 2)
        throw Error(ErrorCode::Shape, npyPath, {},
                    fmt::format("{} rows of {} token ids give no window of at least 2", rows, columns));
    switch (tensor.dtype()) {
    case DType::I32: cutRows<std::int32_t>(tensor.bytes(), rows, columns, vocabularySize, npyPath, result); break;
    case DType::I64: cutRows<std::int64_t>(tensor.bytes(), rows, columns, vocabularySize, npyPath, result); break;
    default:
        throw Error(ErrorCode::Unsupported, npyPath, {},
                    fmt::format("holds {}, token ids must be I32 or I64", toString(tensor.dtype())));
    }
    result.totalIds = rows * columns;
    result.hash = hashOf(result);
    return result;
}

}  // namespace lqer
