// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/sites.h"

namespace re2 {
class RE2;
}

namespace lqer {

// A regular expression on module names, compiled once; it must match the whole name (Python's re.fullmatch, numerics.md C.3).
// RE2 syntax: linear time, no look-around, no back-references. A value; equality is textual.
class NamePattern {
public:
    static constexpr std::size_t maxLength = 256;  // characters of a pattern

    NamePattern() : NamePattern(".*") { }
    explicit NamePattern(std::string text);

    const std::string &text() const { return m_text; }
    // What is wrong with the pattern, with the place in it; "" if it can be used.
    const std::string &error() const { return m_error; }
    // Throws Error(Argument) for a pattern that cannot be used.
    bool matches(std::string_view name) const;

    friend bool operator==(const NamePattern &x, const NamePattern &y) { return x.m_text == y.m_text; }

private:
    std::string m_text;
    std::string m_error;
    std::shared_ptr<const re2::RE2> m_compiled;
};

// Blocks first..last, both included.
struct LayerRange {
    std::int64_t first = 0;
    std::int64_t last = 0;
    friend bool operator==(const LayerRange &, const LayerRange &) = default;
};

// Which layers a rule is about: name pattern, and role, and block; what is left empty does not restrict.
struct LayerSelector {
    NamePattern pattern;
    std::vector<LinearRole> roles;
    std::vector<LayerRange> blocks;

    bool matches(const LinearSite &site) const;
    // A block's attention products by their module name ("model.layers.3.self_attn"). A selector with roles is about linear
    // layers only.
    bool matchesAttention(std::int64_t layer, std::string_view module) const;
    friend bool operator==(const LayerSelector &, const LayerSelector &) = default;
};

// Module name of a block's attention, where its query (or fused) projection sits: "model.layers.3.self_attn"; "" if the block
// has no such layer.
std::string attentionModule(std::span<const LinearSite> sites, std::int64_t layer);

// Throws Error(Argument) naming the known roles.
LinearRole linearRoleFromString(std::string_view name);

// The one pattern that matches the whole name, as QERA's configuration looks layers up: none gives nullopt, two or more throw
// Error(Argument) even if one of them is more specific. Patterns are used as they are, so an alias such as "default-1" is one
// too.
std::optional<std::string> findMatchedPattern(std::span<const std::string> patterns, std::string_view name);

}  // namespace lqer
