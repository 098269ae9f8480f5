// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer_json.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/json.h"

namespace lqer {

namespace {

constexpr std::size_t mostMerges = 4'000'000;

std::string nullableString(const JsonReader &reader, std::string_view key)
{
    return reader.has(key) ? reader[key].string() : std::string();
}

// "a b" in older files, ["a", "b"] in newer ones.
std::vector<BpeMerge> readMerges(const JsonReader &reader)
{
    const std::size_t count = reader.size();
    if (count > mostMerges)
        reader.fail(fmt::format("has {} merges, at most {} are allowed", count, mostMerges));
    std::vector<BpeMerge> merges;
    merges.reserve(count);
    const Json::Array &list = reader.value().asArray();
    for (std::size_t i = 0; i < count; ++i) {
        const Json &merge = list[i];
        if (merge.isString()) {
            const std::string &text = merge.asString();
            const std::size_t space = text.find(' ');
            if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
                merges.push_back({text.substr(0, space), text.substr(space + 1)});
                continue;
            }
        } else if (merge.isArray() && merge.asArray().size() == 2) {
            const Json &left = merge.asArray()[0];
            const Json &right = merge.asArray()[1];
            if (left.isString() && right.isString()) {
                merges.push_back({left.asString(), right.asString()});
                continue;
            }
        }
        throw Error(ErrorCode::Format, reader.file(), fmt::format("merge #{}", i + 1), "is not a pair");
    }
    return merges;
}

std::vector<AddedToken> readAddedTokens(const JsonReader &reader)
{
    std::vector<AddedToken> tokens;
    for (std::size_t i = 0; i < reader.size(); ++i) {
        const JsonReader member = reader.at(i);
        AddedToken token;
        token.id = static_cast<TokenId>(member["id"].integer(0, std::numeric_limits<TokenId>::max()));
        token.content = member["content"].string();
        token.special = member.boolean("special", false);
        token.normalized = member.boolean("normalized", !token.special);
        token.singleWord = member.boolean("single_word", false);
        token.lstrip = member.boolean("lstrip", false);
        token.rstrip = member.boolean("rstrip", false);
        tokens.push_back(std::move(token));
    }
    return tokens;
}

void readModel(const JsonReader &model, TokenizerParts &parts)
{
    const std::string type = model.string("type", "BPE");  // very old files do not say
    if (type != "BPE")
        throw Error(ErrorCode::Unsupported, model.file(), "key 'model.type'",
                    fmt::format("tokenizer type '{}' is not supported yet (supported: BPE)", escaped(type, 60)));
    const JsonReader vocabulary = model["vocab"];
    vocabulary.has({});  // it is an object, or this says so
    for (const auto &[token, id] : vocabulary.value().asObject()) {
        if (!id.isInteger())
            throw Error(ErrorCode::Format, model.file(), fmt::format("token '{}'", escaped(token, 60)),
                        fmt::format("id must be 0 ... 2^31-1, found {}", id.dump()));
        parts.vocabulary.add(token, id.asInteger());
    }
    if (model.has("dropout") && model["dropout"].number() != 0.0)
        throw Error(ErrorCode::Unsupported, model.file(), "key 'model.dropout'",
                    "dropout makes tokens random, which is not supported");
    parts.bpe.unknownToken = nullableString(model, "unk_token");
    parts.bpe.continuingSubwordPrefix = nullableString(model, "continuing_subword_prefix");
    parts.bpe.endOfWordSuffix = nullableString(model, "end_of_word_suffix");
    parts.bpe.fuseUnknown = model.boolean("fuse_unk", false);
    parts.bpe.byteFallback = model.boolean("byte_fallback", false);
    parts.bpe.ignoreMerges = model.boolean("ignore_merges", false);
    parts.merges = readMerges(model["merges"]);
}

void checkTruncation(const JsonReader &truncation)
{
    const std::int64_t longest = truncation["max_length"].integer(0, std::numeric_limits<std::int64_t>::max());
    const std::int64_t stride = truncation.integer("stride", 0, std::numeric_limits<std::int64_t>::max(), 0);
    if (stride > 0 && stride >= longest)
        truncation.fail(fmt::format("stride must be < max_length, found {} and {}", stride, longest));
}

// The id of a special token named by the configuration; it becomes an added token if it is none yet.
std::optional<TokenId> resolve(TokenizerParts &parts, const TokenizerConfig &config, const TokenizerConfig::SpecialToken &special,
                               std::string_view name, std::optional<TokenId> fromModel)
{
    std::int64_t size = parts.vocabulary.size();
    for (const AddedToken &added : parts.addedTokens)
        size = std::max<std::int64_t>(size, added.id + 1);
    if (!special.stated)
        return fromModel && *fromModel < size ? fromModel : std::nullopt;
    if (!special.token)
        return std::nullopt;
    const auto added = std::find_if(parts.addedTokens.begin(), parts.addedTokens.end(),
                                    [&](const AddedToken &token) { return token.content == special.token->content; });
    if (added != parts.addedTokens.end()) {
        added->special = true;
        return added->id;
    }
    AddedToken token = *special.token;
    token.id = parts.vocabulary.find(token.content);
    if (token.id == Vocabulary::none) {
        logWarning(fmt::format("{}: {} '{}' is not in the vocabulary and is ignored", escaped(config.file), name,
                               escaped(token.content, 60)));
        return std::nullopt;
    }
    parts.addedTokens.push_back(token);
    return token.id;
}

}  // namespace

void applyTokenizerConfig(TokenizerParts &parts, const TokenizerConfig &config)
{
    for (AddedToken token : config.addedTokens) {
        const auto same = std::find_if(parts.addedTokens.begin(), parts.addedTokens.end(),
                                       [&](const AddedToken &added) { return added.content == token.content; });
        const TokenId known = same != parts.addedTokens.end() ? same->id : parts.vocabulary.find(token.content);
        if (known != Vocabulary::none && known != token.id) {
            logWarning(fmt::format("{}: '{}' has id {} here and {} in {}; the latter counts", escaped(config.file),
                                   escaped(token.content, 60), token.id, known, escaped(parts.vocabulary.file())));
            token.id = known;
        }
        if (same != parts.addedTokens.end())
            *same = std::move(token);
        else
            parts.addedTokens.push_back(std::move(token));
    }
    parts.bos = resolve(parts, config, config.bos, "bos_token", config.modelBos);
    parts.eos = resolve(parts, config, config.eos, "eos_token", config.modelEos);
    parts.pad = resolve(parts, config, config.pad, "pad_token", config.modelPad);
    resolve(parts, config, config.unknown, "unk_token", std::nullopt);
}

PostProcessor beginAndEnd(const TokenizerParts &parts, bool addBos, bool addEos)
{
    const auto id = [&](bool wanted, const std::optional<TokenId> &token, const char *name) -> std::vector<TokenId> {
        if (!wanted)
            return {};
        if (!token)
            throw Error(ErrorCode::Format, parts.vocabulary.file(), {},
                        fmt::format("add_{0}_token is true, but there is no {0}_token", name));
        return {*token};
    };
    return PostProcessor::around(id(addBos, parts.bos, "bos"), id(addEos, parts.eos, "eos"));
}

TokenizerParts readTokenizerJson(const std::string &path, const TokenizerConfig &config)
{
    const Json json = readJsonFile(path);
    const JsonReader reader(json, path);
    TokenizerParts parts(path);
    parts.origin = "tokenizer.json";
    readModel(reader["model"], parts);
    std::vector<TokenId> addedIds;
    if (reader.has("added_tokens"))
        parts.addedTokens = readAddedTokens(reader["added_tokens"]);
    for (AddedToken &token : parts.addedTokens) {
        const TokenId known = parts.vocabulary.find(token.content);
        if (known != Vocabulary::none && known != token.id) {
            logWarning(fmt::format("{}: added token '{}' has id {}, the vocabulary says {}; the latter counts", escaped(path),
                                   escaped(token.content, 60), token.id, known));
            token.id = known;
        }
        addedIds.push_back(token.id);
    }
    parts.vocabulary.close(addedIds);
    applyTokenizerConfig(parts, config);
    checkVocabularySize(parts, config.modelVocabulary);

    std::int64_t size = parts.vocabulary.size();
    for (const AddedToken &token : parts.addedTokens)
        size = std::max<std::int64_t>(size, token.id + 1);
    if (reader.has("normalizer"))
        parts.normalizer = Normalizer::fromJson(reader["normalizer"]);
    if (reader.has("pre_tokenizer")) {
        // transformers' fast tokenizers put the configuration's flag over the file's.
        Json preTokenizer = *json.find("pre_tokenizer");
        if (config.addPrefixSpace && reader["pre_tokenizer"].string("type", "") == "ByteLevel")
            preTokenizer.set("add_prefix_space", *config.addPrefixSpace);
        parts.preTokenizer = PreTokenizer::fromJson(JsonReader(preTokenizer, path, "pre_tokenizer"));
    }
    if (reader.has("post_processor"))
        parts.postProcessor = PostProcessor::fromJson(reader["post_processor"], size);
    if (reader.has("decoder"))
        parts.decoder = Decoder::fromJson(reader["decoder"]);
    if (reader.has("truncation"))
        checkTruncation(reader["truncation"]);
    if (reader.has("padding"))
        reader["padding"].integer("pad_id", 0, size - 1, 0);

    // transformers' LlamaTokenizerFast rebuilds the template from these two; other classes follow the file.
    if (config.isLlama() && (config.addBos || config.addEos)) {
        parts.postProcessor = beginAndEnd(parts, config.addBos.value_or(true), config.addEos.value_or(false));
    } else if (config.addBos.value_or(false) && parts.postProcessor.apply({}).empty()) {
        logWarning(fmt::format("{}: add_bos_token is true, but tokenizer.json adds no token and is followed",
                               escaped(config.file)));
    }
    return parts;
}

}  // namespace lqer
