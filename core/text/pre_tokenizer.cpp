// SPDX-License-Identifier: Apache-2.0
#include "core/text/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/text/byte_level.h"
#include "core/text/pattern.h"
#include "core/text/unicode.h"

namespace lqer {

namespace {

// What becomes of the stretches a pattern matches. Names as in tokenizer.json.
enum class Delimiters { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous };

struct Stretch {
    TextRange range;
    bool isDelimiter = false;
};

Delimiters readDelimiters(const JsonReader &reader)
{
    using Name = std::pair<std::string_view, Delimiters>;
    static const std::array<Name, 5> names{Name{"Removed", Delimiters::Removed}, Name{"Isolated", Delimiters::Isolated},
                                           Name{"MergedWithPrevious", Delimiters::MergedWithPrevious},
                                           Name{"MergedWithNext", Delimiters::MergedWithNext},
                                           Name{"Contiguous", Delimiters::Contiguous}};
    for (const auto &[name, delimiters] : names)
        if (name == reader.string())
            return delimiters;
    reader.fail("must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, found '" + reader.string() + "'");
}

// The whole text as stretches inside and outside the matches.
std::vector<Stretch> stretchesOf(std::string_view text, const std::vector<TextRange> &matches)
{
    std::vector<Stretch> stretches;
    stretches.reserve(2 * matches.size() + 1);
    std::size_t done = 0;
    for (const TextRange &match : matches) {
        if (done < match.begin)
            stretches.push_back({{done, match.begin}, false});
        stretches.push_back({match, true});
        done = match.end;
    }
    if (done < text.size())
        stretches.push_back({{done, text.size()}, false});
    return stretches;
}

// Every single character that has the property.
template <typename Property>
std::vector<TextRange> charactersWith(std::string_view text, Property &&has)
{
    std::vector<TextRange> ranges;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t begin = at;
        if (has(nextCharacter(text, at)))
            ranges.push_back({begin, at});
    }
    return ranges;
}

// Mirrors NormalizedString::split of the tokenizers library, its treatment of matches side by side included.
std::vector<TextRange> rangesOf(const std::vector<Stretch> &stretches, Delimiters delimiters)
{
    std::vector<TextRange> ranges;
    ranges.reserve(stretches.size());
    bool previous = false;
    switch (delimiters) {
    case Delimiters::Removed:
        for (const Stretch &stretch : stretches)
            if (!stretch.isDelimiter)
                ranges.push_back(stretch.range);
        break;
    case Delimiters::Isolated:
        for (const Stretch &stretch : stretches)
            ranges.push_back(stretch.range);
        break;
    case Delimiters::Contiguous:
    case Delimiters::MergedWithPrevious:
        for (const Stretch &stretch : stretches) {
            const bool joins = delimiters == Delimiters::Contiguous ? stretch.isDelimiter == previous
                                                                    : stretch.isDelimiter && !previous;
            if (joins && !ranges.empty())
                ranges.back().end = stretch.range.end;
            else
                ranges.push_back(stretch.range);
            previous = stretch.isDelimiter;
        }
        break;
    case Delimiters::MergedWithNext:
        for (auto stretch = stretches.rbegin(); stretch != stretches.rend(); ++stretch) {
            if (stretch->isDelimiter && !previous && !ranges.empty())
                ranges.back().begin = stretch->range.begin;
            else
                ranges.push_back(stretch->range);
            previous = stretch->isDelimiter;
        }
        std::reverse(ranges.begin(), ranges.end());
        break;
    }
    return ranges;
}

void cut(const TextPiece &piece, const std::vector<TextRange> &matches, Delimiters delimiters, bool invert,
         std::vector<TextPiece> &out)
{
    std::vector<Stretch> stretches = stretchesOf(piece.text, matches);
    if (invert)
        for (Stretch &stretch : stretches)
            stretch.isDelimiter = !stretch.isDelimiter;
    for (const TextRange &range : rangesOf(stretches, delimiters))
        out.push_back({std::string(range.of(piece.text)), Vocabulary::none, piece.atStart && range.begin == 0});
}

template <typename Property>
PreTokenizer::Step cutAtCharacters(Property has, Delimiters delimiters)
{
    return [has, delimiters](const TextPiece &piece, std::vector<TextPiece> &out) {
        cut(piece, charactersWith(piece.text, has), delimiters, false, out);
    };
}

enum class PrependScheme { Always, First, Never };

PrependScheme readPrependScheme(const JsonReader &reader)
{
    const std::string scheme = reader.string("prepend_scheme", "always");
    if (scheme != "always" && scheme != "first" && scheme != "never")
        reader["prepend_scheme"].fail(fmt::format("must be always, first or never, found '{}'", scheme));
    // Older files say it this way; true says nothing more than the default.
    if (!reader.boolean("add_prefix_space", true)) {
        if (reader.has("prepend_scheme") && scheme != "never")
            reader["add_prefix_space"].fail(fmt::format("false contradicts prepend_scheme '{}'", scheme));
        return PrependScheme::Never;
    }
    return scheme == "always" ? PrependScheme::Always : scheme == "first" ? PrependScheme::First : PrependScheme::Never;
}

PreTokenizer::Step metaspace(const JsonReader &reader)
{
    const std::string mark = reader["replacement"].string();
    if (mark.empty() || characterLength(mark[0]) != mark.size())
        reader["replacement"].fail("must be one character");
    return [mark, scheme = readPrependScheme(reader), split = reader.boolean("split", true), space = Pattern::literal(" "),
            marks = Pattern::literal(mark)](const TextPiece &piece, std::vector<TextPiece> &out) {
        std::string text = space.replaceAll(piece.text, mark);
        if (!text.starts_with(mark)
            && (scheme == PrependScheme::Always || (scheme == PrependScheme::First && piece.atStart)))
            text.insert(0, mark);
        TextPiece marked{std::move(text), Vocabulary::none, piece.atStart};
        if (split)
            cut(marked, marks.matches(marked.text), Delimiters::MergedWithNext, false, out);
        else
            out.push_back(std::move(marked));
    };
}

PreTokenizer::Step fixedLength(std::int64_t length)
{
    return [length](const TextPiece &piece, std::vector<TextPiece> &out) {
        for (std::size_t at = 0; at < piece.text.size();) {
            const std::size_t begin = at;
            for (std::int64_t i = 0; i < length && at < piece.text.size(); ++i)
                at += characterLength(piece.text[at]);
            out.push_back({piece.text.substr(begin, at - begin), Vocabulary::none, piece.atStart && begin == 0});
        }
    };
}

PreTokenizer::Step cutByPattern(Pattern pattern, Delimiters delimiters, bool invert)
{
    return [pattern = std::move(pattern), delimiters, invert](const TextPiece &piece, std::vector<TextPiece> &out) {
        cut(piece, pattern.matches(piece.text), delimiters, invert, out);
    };
}

Pattern ownPattern(const std::string &expression)
{
    return Pattern::regex(expression, JsonReader(Json(), {}));
}

}  // namespace

PreTokenizer PreTokenizer::fromJson(const JsonReader &reader)
{
    PreTokenizer preTokenizer;
    preTokenizer.addFromJson(reader);
    return preTokenizer;
}

void PreTokenizer::addByteLevel(bool prefixSpace, bool cutWords)
{
    m_byteLevel = true;
    if (prefixSpace)
        add([](const TextPiece &piece, std::vector<TextPiece> &out) {
            out.push_back({piece.text.starts_with(' ') ? piece.text : " " + piece.text, Vocabulary::none, piece.atStart});
        });
    if (cutWords)
        addIsolated("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");
    add([](const TextPiece &piece, std::vector<TextPiece> &out) {
        out.push_back({bytesToCharacters(piece.text), Vocabulary::none, piece.atStart});
    });
}

void PreTokenizer::addIsolated(const std::string &expression)
{
    add(cutByPattern(ownPattern(expression), Delimiters::Isolated, false));
}

void PreTokenizer::addFromJson(const JsonReader &reader)
{
    const std::string &type = reader["type"].string();
    if (type == "Sequence") {
        const JsonReader members = reader["pretokenizers"];
        for (std::size_t i = 0; i < members.size(); ++i)
            addFromJson(members.at(i));
    } else if (type == "ByteLevel") {
        addByteLevel(reader["add_prefix_space"].boolean(), reader.boolean("use_regex", true));
    } else if (type == "Split") {
        add(cutByPattern(Pattern::fromJson(reader["pattern"]), readDelimiters(reader["behavior"]), reader["invert"].boolean()));
    } else if (type == "Metaspace") {
        add(metaspace(reader));
    } else if (type == "Digits") {
        add(cutAtCharacters(isNumeric, reader["individual_digits"].boolean() ? Delimiters::Isolated : Delimiters::Contiguous));
    } else if (type == "Punctuation") {
        add(cutAtCharacters(isPunctuation, reader.has("behavior") ? readDelimiters(reader["behavior"]) : Delimiters::Isolated));
    } else if (type == "Whitespace") {
        add(cutByPattern(ownPattern("\\w+|[^\\w\\s]+"), Delimiters::Removed, true));
    } else if (type == "WhitespaceSplit") {
        add(cutAtCharacters(isWhiteSpace, Delimiters::Removed));
    } else if (type == "FixedLength") {
        if (reader.has("length") && reader["length"].integer(INT64_MIN, INT64_MAX) < 1)
            reader["length"].fail("length must be >= 1");
        add(fixedLength(reader.integer("length", 1, INT64_MAX, 5)));
    } else {
        throw Error(ErrorCode::Unsupported, reader.file(), fmt::format("key '{}'", reader.path()),
                    fmt::format("pre_tokenizer '{}' is not supported", escaped(type, 60)));
    }
}

std::vector<TextPiece> PreTokenizer::apply(std::vector<TextPiece> pieces) const
{
    for (const Step &step : m_steps) {
        std::vector<TextPiece> next;
        next.reserve(pieces.size());
        for (TextPiece &piece : pieces) {
            if (piece.id != Vocabulary::none)
                next.push_back(std::move(piece));
            else if (!piece.text.empty())
                step(piece, next);
        }
        pieces = std::move(next);
    }
    std::erase_if(pieces, [](const TextPiece &piece) { return piece.id == Vocabulary::none && piece.text.empty(); });
    return pieces;
}

}  // namespace lqer
