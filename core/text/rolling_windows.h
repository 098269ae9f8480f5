// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "core/text/token_windows.h"

namespace lqer {

// lm-eval's rolling windows over one document (lm_eval.utils.get_rolling_token_windows with context_len 1, made disjoint): every id is scored once.
// `prefix` stands in front of the document; a window has up to length + 1 ids, the last of which is only a target.
std::vector<TokenWindow> rollingWindows(std::vector<TokenId> ids, TokenId prefix, std::int64_t length);

// len(re.split(r"\s+", document)) of Python: runs of white space plus one, so that an empty text has one word.
std::int64_t countWords(std::string_view document);

}  // namespace lqer
