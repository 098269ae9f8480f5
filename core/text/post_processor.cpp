// SPDX-License-Identifier: Apache-2.0
#include "core/text/post_processor.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer {

namespace {

TokenId readId(const JsonReader &reader, std::int64_t size)
{
    return static_cast<TokenId>(reader.integer(0, size - 1));
}

}  // namespace

PostProcessor PostProcessor::fromJson(const JsonReader &reader, std::int64_t size)
{
    PostProcessor processor;
    processor.addFromJson(reader, size);
    return processor;
}

PostProcessor PostProcessor::around(std::vector<TokenId> before, std::vector<TokenId> after)
{
    PostProcessor processor;
    Template items;
    for (const TokenId id : before)
        items.push_back({id});
    items.push_back({});
    for (const TokenId id : after)
        items.push_back({id});
    processor.m_templates.push_back(std::move(items));
    return processor;
}

void PostProcessor::addFromJson(const JsonReader &reader, std::int64_t size)
{
    const std::string &type = reader["type"].string();
    if (type == "Sequence") {
        const JsonReader members = reader["processors"];
        for (std::size_t i = 0; i < members.size(); ++i)
            addFromJson(members.at(i), size);
    } else if (type == "ByteLevel") {
        // It only trims the offsets of tokens, which nobody here asks for.
    } else if (type == "TemplateProcessing") {
        const JsonReader pieces = reader["single"];
        Template items;
        for (std::size_t i = 0; i < pieces.size(); ++i) {
            const JsonReader piece = pieces.at(i);
            if (piece.has("Sequence")) {
                if (piece["Sequence"]["id"].string() == "A")
                    items.push_back({});
                continue;
            }
            const JsonReader special = piece["SpecialToken"]["id"];
            if (!reader.has("special_tokens") || !reader["special_tokens"].has(special.string()))
                special.fail(fmt::format("template needs '{}', which special_tokens lacks", escaped(special.string(), 60)));
            const JsonReader ids = reader["special_tokens"][special.string()]["ids"];
            for (std::size_t k = 0; k < ids.size(); ++k)
                items.push_back({readId(ids.at(k), size)});
        }
        m_templates.push_back(std::move(items));
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
        m_templates.push_back({{readId(reader["cls"].at(1), size)}, {}, {readId(reader["sep"].at(1), size)}});
    } else {
        throw Error(ErrorCode::Unsupported, reader.file(), fmt::format("key '{}'", reader.path()),
                    fmt::format("post_processor '{}' is not supported", escaped(type, 60)));
    }
}

std::vector<TokenId> PostProcessor::apply(std::vector<TokenId> ids) const
{
    for (const Template &items : m_templates) {
        std::vector<TokenId> result;
        result.reserve(ids.size() + items.size());
        for (const Item &item : items) {
            if (item.id >= 0)
                result.push_back(item.id);
            else
                result.insert(result.end(), ids.begin(), ids.end());
        }
        ids = std::move(result);
    }
    return ids;
}

}  // namespace lqer
