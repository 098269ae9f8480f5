// SPDX-License-Identifier: Apache-2.0
// Source of the keys and of what llama.cpp makes of them: its src/llama-vocab.cpp and convert_hf_to_gguf.py.
#include "core/export/gguf_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <unordered_map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/io/file.h"
#include "core/io/json.h"
#include "core/text/pipeline_tokenizer.h"
#include "core/text/sentencepiece_model.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

// enum llama_token_type.
enum TokenType : std::int32_t { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 };

constexpr std::string_view spaceMark = "\xE2\x96\x81";  // U+2581
constexpr std::uint64_t templateLimit = 16ULL << 20;

// How llama.cpp cuts text into words in front of byte-level BPE, by its name for it.
struct WordRule {
    const char *name;
    std::vector<const char *> expressions;  // one after another, every match a word of its own
    bool impliesWholeWords;                 // a word that is a token becomes that token, whatever the merges say
};

const std::vector<WordRule> &wordRules()
{
    constexpr const char *gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    static const std::vector<WordRule> rules{
        {"gpt-2", {gpt2}, false},
        {"llama-bpe",
         {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
          "|\\s+(?!\\S)|\\s+"},
         true},
        {"qwen2",
         {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
          "|\\s+(?!\\S)|\\s+"},
         false},
        {"smollm", {"\\p{N}", gpt2}, false},
        {"tekken",
         {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
          "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}"
          "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
         true},
    };
    return rules;
}

// Text on which the rules above, and whatever else there is, cut differently: contractions in both cases, numbers of one to five
// digits, marks before and behind line ends, runs of spaces, other scripts, combining marks.
constexpr std::string_view probe =
    "I'm we'll WE'LL don't it'S they've\n\n  two  spaces   and\ttabs \t x1 12 123 1234 12345 3.14159 v2.0!?...\n--> $x = {y: "
    "\"z\"};\r\n"
    " \n caf\xC3\xA9 na\xC3\xAFve Stra\xC3\x9F" "e \xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 camelCase HTTPServer ABCdef "
    "\xE4\xBD\xA0\xE5\xA5\xBD\xE4\xB8\x96\xE7\x95\x8C \xE0\xA4\xA8\xE0\xA4\xAE\xE0\xA4\xB8\xE0\xA5\x8D\xE0\xA4\xA4\xE0\xA5\x87 "
    "e\xCC\x81"
    " \xF0\x9F\x98\x80\xF0\x9F\x98\x80 a/b//c /// \xE2\x80\xA6 \xC2\xBD\xC2\xB2 www.x.org, (a) [b]   \n\n\n   end  ";

std::vector<std::string> wordsOf(const PreTokenizer &cutter, const std::string &text)
{
    std::vector<std::string> words;
    for (TextPiece &piece : cutter.apply({{text, Vocabulary::none, true}}))
        words.push_back(std::move(piece.text));
    return words;
}

const WordRule *findWordRule(const TokenizerParts &parts)
{
    const std::vector<std::string> words = wordsOf(parts.preTokenizer, std::string(probe));
    for (const WordRule &rule : wordRules()) {
        PreTokenizer cutter;
        for (const char *expression : rule.expressions)
            cutter.addIsolated(expression);
        cutter.addByteLevel(false, false);
        if (wordsOf(cutter, std::string(probe)) == words)
            return &rule;
    }
    return nullptr;
}

// Text behind normalizer and pre-tokenizer, put together again.
std::string markedText(const TokenizerParts &parts, std::string_view text)
{
    std::string joined;
    for (const std::string &word : wordsOf(parts.preTokenizer, parts.normalizer.apply(text)))
        joined += word;
    return joined;
}

class TokenizerKeys {
public:
    TokenizerKeys(const std::string &folder, std::int64_t rows)
        : m_folder(folder), m_rows(rows), m_parts(readTokenizer(folder))
    {
    }

    GgufTokenizer make()
    {
        const std::string mark(spaceMark);
        const std::string marked = markedText(m_parts, "a  b");
        const std::string inner = "a" + mark + mark + "b";
        if (m_parts.preTokenizer.isByteLevel())
            addByteLevel();
        else if (marked == mark + inner || marked == inner)
            addMarked(marked != inner);
        else
            throw Error(ErrorCode::Unsupported, m_folder, {},
                        fmt::format("llama.cpp has no tokenizer like this one ({}, neither byte-level nor with marks for spaces)",
                                    m_parts.origin));
        addSpecial();
        addTemplate();
        return std::move(m_made);
    }

private:
    void add(const char *key, GgufValue value)
    {
        m_made.keys.emplace_back(fmt::format("tokenizer.ggml.{}", key), std::move(value));
    }
    void differs(std::string sentence) { m_made.differences.push_back(std::move(sentence)); }

    void addByteLevel()
    {
        add("model", std::string("gpt2"));
        const WordRule *rule = findWordRule(m_parts);
        add("pre", std::string(rule ? rule->name : "default"));
        if (!rule)
            differs("llama.cpp knows no rule that cuts text into words as this tokenizer does; its default one is used, and "
                    "gives other "
                    "tokens for some texts.");
        else if (rule->impliesWholeWords != m_parts.bpe.ignoreMerges && !m_parts.merges.empty())
            differs(fmt::format("llama.cpp {} the merges of words that are tokens, this tokenizer does the opposite; rare words "
                                "may differ.",
                                rule->impliesWholeWords ? "ignores" : "applies"));
        if (m_parts.normalizer.apply(probe) != probe)
            differs("The tokenizer normalizes text first, llama.cpp does not: texts with combining characters may differ.");
        addTokens({});
        std::vector<std::string> merges;
        for (const BpeMerge &merge : m_parts.merges)
            merges.push_back(merge.left + ' ' + merge.right);
        add("merges", GgufArray(std::move(merges)));
    }

    // llama.cpp joins two neighbours that make a token together, the best score first. Scores are made from the merges' order;
    // where the merges leave out a way to make some token, llama.cpp takes it all the same.
    void addMarked(bool prefix)
    {
        add("model", std::string("llama"));
        add("pre", std::string("default"));
        std::unordered_map<std::string, float> scores;
        for (std::size_t rank = 0; rank < m_parts.merges.size(); ++rank)
            scores.emplace(m_parts.merges[rank].left + m_parts.merges[rank].right, -static_cast<float>(rank));
        addTokens(scores);
        add("add_space_prefix", prefix);

        SentencePieceModel model;
        for (TokenId id = 0; id < m_parts.vocabulary.size(); ++id) {
            const std::string piece(m_parts.vocabulary.token(id));
            const auto score = scores.find(piece);
            model.pieces.push_back({piece, score == scores.end() ? lowestScore() : score->second, {}});
        }
        std::set<std::pair<std::string, std::string>> known;
        for (const BpeMerge &merge : m_parts.merges)
            known.emplace(merge.left, merge.right);
        const auto all = mergesOf(model);
        const auto missing = std::count_if(all.begin(), all.end(), [&](const BpeMerge &merge) {
            return !known.contains({merge.left, merge.right});
        });
        if (missing > 0)
            differs(fmt::format("{} pairs of tokens make another token that this tokenizer has no rule for ({} rules); "
                                "llama.cpp joins them, "
                                "so some words may get other tokens there.", missing, m_parts.merges.size()));
        if (m_parts.vocabulary.find("<0x41>") == Vocabulary::none)
            differs("The vocabulary has no byte tokens: llama.cpp stops with an error at characters that are not in it, where "
                    "this tokenizer "
                    "says unknown.");
    }

    float lowestScore() const { return -static_cast<float>(m_parts.merges.size()) - 1; }

    // Scores only where llama.cpp reads them. Ids that no token has, up to the embedding's last row, become unused tokens.
    void addTokens(const std::unordered_map<std::string, float> &scores)
    {
        const auto count = static_cast<std::size_t>(m_rows);
        std::vector<std::string> tokens(count);
        std::vector<std::int32_t> types(count, Unused);
        std::vector<float> values(count, lowestScore());
        std::set<std::string, std::less<>> taken;
        for (std::size_t id = 0; id < count; ++id) {
            const std::string_view piece = m_parts.vocabulary.token(static_cast<TokenId>(id));
            if (piece.empty())
                continue;
            tokens[id] = piece;
            types[id] = piece == m_parts.bpe.unknownToken ? Unknown : isByte(piece) ? Byte : Normal;
            if (const auto score = scores.find(tokens[id]); score != scores.end())
                values[id] = score->second;
        }
        for (const AddedToken &token : m_parts.addedTokens) {
            if (token.id < 0 || token.id >= m_rows)
                continue;
            const auto id = static_cast<std::size_t>(token.id);
            tokens[id] = token.content;
            if (types[id] != Unknown)
                types[id] = token.special ? Control : UserDefined;
        }
        for (std::size_t id = 0; id < count; ++id)
            if (tokens[id].empty() || !taken.insert(tokens[id]).second) {
                tokens[id] = fmt::format("[PAD{}]", id);
                types[id] = Unused;
            }
        add("tokens", GgufArray(std::move(tokens)));
        if (!scores.empty() || !m_parts.preTokenizer.isByteLevel())
            add("scores", GgufArray(std::move(values)));
        add("token_type", GgufArray(std::move(types)));
    }
    bool isByte(std::string_view piece) const
    {
        constexpr std::string_view digits = "0123456789ABCDEF";
        return m_parts.bpe.byteFallback && piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with('>')
            && digits.find(piece[3]) != std::string_view::npos && digits.find(piece[4]) != std::string_view::npos;
    }

    void addSpecial()
    {
        const auto addId = [&](const char *key, std::optional<TokenId> id) {
            if (id && *id >= 0 && *id < m_rows)
                add(key, static_cast<std::uint32_t>(*id));
        };
        addId("bos_token_id", m_parts.bos);
        addId("eos_token_id", m_parts.eos);
        addId("padding_token_id", m_parts.pad);
        if (!m_parts.bpe.unknownToken.empty())
            addId("unknown_token_id", m_parts.vocabulary.find(m_parts.bpe.unknownToken));
        if (!m_parts.bos || !m_parts.eos)
            differs(fmt::format("The tokenizer names no token for the {} of a text; llama.cpp takes one of its own choice for "
                                "it.",
                                m_parts.bos ? "end" : m_parts.eos ? "beginning" : "beginning and the end"));
        const std::unique_ptr<Tokenizer> tokenizer = loadTokenizer(m_folder);
        add("add_bos_token", tokenizer->addsBos());
        const std::vector<TokenId> ids = tokenizer->encode("a", true);
        add("add_eos_token", m_parts.eos && ids.size() > 1 && ids.back() == *m_parts.eos);
    }

    void addTemplate()
    {
        const fs::path folder(m_folder);
        std::error_code ignored;
        std::string text;
        if (fs::exists(folder / "chat_template.jinja", ignored)) {
            text = readTextFile((folder / "chat_template.jinja").string(), templateLimit);
        } else if (fs::exists(folder / "tokenizer_config.json", ignored)) {
            const Json config = readJsonFile((folder / "tokenizer_config.json").string());
            const Json *found = config.isObject() ? config.find("chat_template") : nullptr;
            if (found && found->isString())
                text = found->asString();
        }
        if (!text.empty())
            m_made.keys.emplace_back("tokenizer.chat_template", std::move(text));
    }

    const std::string m_folder;
    const std::int64_t m_rows;
    const TokenizerParts m_parts;
    GgufTokenizer m_made;
};

}  // namespace

GgufTokenizer ggufTokenizer(const std::string &folder, std::int64_t rows)
{
    // A dangling link is there: reading it says what is wrong.
    constexpr const char *files[] = {"tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt"};
    const bool any = std::any_of(std::begin(files), std::end(files), [&](const char *name) {
        std::error_code ignored;
        return fs::symlink_status(fs::path(folder) / name, ignored).type() != fs::file_type::not_found;
    });
    if (any)
        return TokenizerKeys(folder, rows).make();
    return {{{"tokenizer.ggml.model", std::string("none")}},
            {"The original has no tokenizer files, so this file has no tokenizer: llama.cpp runs it on token ids only."}};
}

}  // namespace lqer
