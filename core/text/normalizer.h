// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/json.h"
#include "core/text/pattern.h"

namespace lqer {

// What is done to the text before it is cut into words: the steps of tokenizer.json's "normalizer".
class Normalizer {
public:
    using Step = std::function<std::string(std::string &&)>;

    Normalizer() = default;  // changes nothing
    // Throws Error(Unsupported) naming an unknown type.
    static Normalizer fromJson(const JsonReader &reader);
    void add(Step step) { m_steps.push_back(std::move(step)); }

    std::string apply(std::string_view text) const;

private:
    void addFromJson(const JsonReader &reader);

    std::vector<Step> m_steps;
};

}  // namespace lqer
