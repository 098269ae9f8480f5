// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer_config.h"

#include <charconv>
#include <filesystem>
#include <limits>

#include <fmt/format.h>

#include "core/io/json.h"

namespace lqer {

namespace {

constexpr std::int64_t mostIds = std::numeric_limits<TokenId>::max();

// "bos_token": a string, an object with the token's properties, or null.
void readSpecial(const JsonReader &reader, std::string_view key, TokenizerConfig::SpecialToken &special)
{
    if (special.stated || !reader.value().find(key))
        return;
    special.stated = true;
    if (!reader.has(key))
        return;
    const JsonReader member = reader[key];
    AddedToken token;
    token.special = true;
    if (member.value().isObject()) {
        token.content = member["content"].string();
        token.normalized = member.boolean("normalized", false);
        token.singleWord = member.boolean("single_word", false);
        token.lstrip = member.boolean("lstrip", false);
        token.rstrip = member.boolean("rstrip", false);
    } else {
        token.content = member.string();
    }
    if (!token.content.empty())
        special.token = token;
}

void readSpecials(const JsonReader &reader, TokenizerConfig &config)
{
    readSpecial(reader, "bos_token", config.bos);
    readSpecial(reader, "eos_token", config.eos);
    readSpecial(reader, "unk_token", config.unknown);
    readSpecial(reader, "pad_token", config.pad);
}

std::optional<bool> readFlag(const JsonReader &reader, std::string_view key)
{
    return reader.has(key) ? std::optional(reader[key].boolean()) : std::nullopt;
}

// {"32000": {"content": ...}}
void readAddedTokens(const JsonReader &reader, TokenizerConfig &config)
{
    reader.has({});  // it is an object, or this says so
    for (const auto &[key, unused] : reader.value().asObject()) {
        const JsonReader member = reader[key];
        AddedToken token;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token.id);
        if (error != std::errc() || end != key.data() + key.size() || token.id < 0)
            member.fail("is not a token id (0 ... 2^31-1)");
        token.content = member["content"].string();
        token.special = member.boolean("special", false);
        token.normalized = member.boolean("normalized", !token.special);
        token.singleWord = member.boolean("single_word", false);
        token.lstrip = member.boolean("lstrip", false);
        token.rstrip = member.boolean("rstrip", false);
        config.addedTokens.push_back(std::move(token));
    }
}

// added_tokens.json: {"<pad>": 32000}
void readAddedTokensFile(const std::string &path, TokenizerConfig &config)
{
    const Json json = readJsonFile(path);
    const JsonReader reader(json, path);
    reader.has({});
    for (const auto &[content, unused] : json.asObject()) {
        AddedToken token;
        token.content = content;
        token.id = static_cast<TokenId>(reader[content].integer(0, mostIds));
        token.normalized = true;
        config.addedTokens.push_back(std::move(token));
    }
}

// One id, or a list of which the first counts (several ends of text).
std::optional<TokenId> readModelId(const JsonReader &reader, std::string_view key)
{
    if (!reader.has(key))
        return std::nullopt;
    const JsonReader member = reader[key];
    if (member.value().isArray() && member.size() == 0)
        return std::nullopt;
    // -1 stands for "none" in some files.
    const std::int64_t id = (member.value().isArray() ? member.at(0) : member).integer(-1, mostIds);
    return id < 0 ? std::nullopt : std::optional(static_cast<TokenId>(id));
}

void readModelConfig(const std::string &path, TokenizerConfig &config)
{
    const Json json = readJsonFile(path);
    const JsonReader reader(json, path);
    if (reader.has("vocab_size"))
        config.modelVocabulary = reader["vocab_size"].integer(1, mostIds);
    config.modelBos = readModelId(reader, "bos_token_id");
    config.modelEos = readModelId(reader, "eos_token_id");
    config.modelPad = readModelId(reader, "pad_token_id");
}

}  // namespace

TokenizerConfig readTokenizerConfig(const std::string &folder)
{
    const auto path = [&](const char *name) { return (std::filesystem::path(folder) / name).string(); };
    const auto exists = [](const std::string &name) { return std::filesystem::exists(name); };

    TokenizerConfig config;
    config.file = path("tokenizer_config.json");
    if (exists(config.file)) {
        const Json json = readJsonFile(config.file);
        const JsonReader reader(json, config.file);
        config.tokenizerClass = reader.string("tokenizer_class", "");
        if (config.tokenizerClass.ends_with("Fast"))
            config.tokenizerClass.resize(config.tokenizerClass.size() - 4);
        readSpecials(reader, config);
        config.addBos = readFlag(reader, "add_bos_token");
        config.addEos = readFlag(reader, "add_eos_token");
        config.addPrefixSpace = readFlag(reader, "add_prefix_space");
        config.legacy = reader.boolean("legacy", true);
        if (reader.has("added_tokens_decoder"))
            readAddedTokens(reader["added_tokens_decoder"], config);
    }
    if (const std::string file = path("special_tokens_map.json"); exists(file)) {
        const Json json = readJsonFile(file);
        readSpecials(JsonReader(json, file), config);
    }
    if (const std::string file = path("added_tokens.json"); config.addedTokens.empty() && exists(file))
        readAddedTokensFile(file, config);
    if (const std::string file = path("config.json"); exists(file))
        readModelConfig(file, config);
    return config;
}

}  // namespace lqer
