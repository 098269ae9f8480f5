// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "core/io/json.h"
#include "core/text/tokenizer.h"

namespace lqer {

// Where special tokens go around the ids of one text: the templates of tokenizer.json's "post_processor".
class PostProcessor {
public:
    PostProcessor() = default;  // adds nothing
    // Special ids must be below `size`. Throws Error(Format) "template needs '[CLS]'", Error(Unsupported) for an unknown type.
    static PostProcessor fromJson(const JsonReader &reader, std::int64_t size);
    // before, text, after.
    static PostProcessor around(std::vector<TokenId> before, std::vector<TokenId> after);

    std::vector<TokenId> apply(std::vector<TokenId> ids) const;

private:
    // A special token, or the text if `id` is -1.
    struct Item {
        TokenId id = -1;
    };
    using Template = std::vector<Item>;

    void addFromJson(const JsonReader &reader, std::int64_t size);

    std::vector<Template> m_templates;  // applied one after the other
};

}  // namespace lqer
