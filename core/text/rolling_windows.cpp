// SPDX-License-Identifier: Apache-2.0
#include "core/text/rolling_windows.h"

#include <algorithm>

#include "core/text/unicode.h"

namespace lqer {

std::vector<TokenWindow> rollingWindows(std::vector<TokenId> ids, TokenId prefix, std::int64_t length)
{
    const auto context = static_cast<std::size_t>(length);
    ids.insert(ids.begin(), prefix);
    std::vector<TokenWindow> windows;
    std::size_t scored = 1;
    while (scored < ids.size()) {
        const std::size_t end = std::min(scored + context, ids.size());
        // As much context as fits: `context` inputs and the last target.
        const std::size_t begin = end > context + 1 ? end - context - 1 : 0;
        TokenWindow window;
        window.ids.assign(ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.begin() + static_cast<std::ptrdiff_t>(end));
        window.firstScored = static_cast<std::int64_t>(scored - begin);
        windows.push_back(std::move(window));
        scored = end;
    }
    return windows;
}

std::int64_t countWords(std::string_view document)
{
    std::int64_t words = 1;
    bool inSpace = false;
    for (std::size_t at = 0; at < document.size();) {
        const char32_t c = nextCharacter(document, at);
        const bool space = isWhiteSpace(c) || (c >= 0x1C && c <= 0x1F);  // Python counts the information separators, too
        words += space && !inSpace ? 1 : 0;
        inSpace = space;
    }
    return words;
}

}  // namespace lqer
