// SPDX-License-Identifier: Apache-2.0
#include "core/recipe/layer_selector.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <re2/re2.h>

#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer {

namespace {

constexpr std::array allRoles = {LinearRole::Query, LinearRole::Key, LinearRole::Value,     LinearRole::Output,
                                 LinearRole::Gate,  LinearRole::Up,  LinearRole::Down,      LinearRole::FusedQkv,
                                 LinearRole::Fc1,   LinearRole::Fc2, LinearRole::ProjectIn, LinearRole::ProjectOut};

bool contains(const std::vector<LayerRange> &blocks, std::int64_t layer)
{
    return blocks.empty()
        || std::ranges::any_of(blocks, [&](const LayerRange &range) { return range.first <= layer && layer <= range.last; });
}

}  // namespace

NamePattern::NamePattern(std::string text) : m_text(std::move(text))
{
    if (m_text.size() > maxLength) {
        m_error = fmt::format("pattern of {} characters is longer than {}", m_text.size(), maxLength);
        return;
    }
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(1 << 20);  // program and automaton: enough for any pattern of 256 characters without nested repeats
    auto compiled = std::make_shared<const re2::RE2>(m_text, options);
    if (compiled->ok()) {
        m_compiled = std::move(compiled);
        return;
    }
    const std::string &piece = compiled->error_arg();
    const std::size_t place = piece.empty() ? std::string::npos : m_text.find(piece);
    const std::string where = place == std::string::npos ? std::string() : fmt::format(" at character {}", place + 1);
    m_error = fmt::format("invalid pattern{}: {}", where, escaped(compiled->error()));
}

bool NamePattern::matches(std::string_view name) const
{
    if (!m_error.empty())
        throw Error(ErrorCode::Argument, fmt::format("pattern '{}': {}", escaped(m_text), m_error));
    return re2::RE2::FullMatch(re2::StringPiece(name.data(), name.size()), *m_compiled);
}

bool LayerSelector::matches(const LinearSite &site) const
{
    const bool roleFits = roles.empty() || std::ranges::find(roles, site.role) != roles.end();
    return roleFits && contains(blocks, site.layer) && pattern.matches(site.name);
}

bool LayerSelector::matchesAttention(std::int64_t layer, std::string_view module) const
{
    return roles.empty() && contains(blocks, layer) && pattern.matches(module);
}

std::string attentionModule(std::span<const LinearSite> sites, std::int64_t layer)
{
    const auto site = std::ranges::find_if(sites, [&](const LinearSite &candidate) {
        return candidate.layer == layer && (candidate.role == LinearRole::Query || candidate.role == LinearRole::FusedQkv);
    });
    if (site == sites.end())
        return {};
    const std::size_t dot = site->name.rfind('.');
    return dot == std::string::npos ? std::string() : site->name.substr(0, dot);
}

LinearRole linearRoleFromString(std::string_view name)
{
    std::string known;
    for (const LinearRole role : allRoles) {
        if (toString(role) == name)
            return role;
        known += fmt::format("{}{}", known.empty() ? "" : ", ", toString(role));
    }
    throw Error(ErrorCode::Argument, fmt::format("unknown role '{}', known are: {}", escaped(name), known));
}

std::optional<std::string> findMatchedPattern(std::span<const std::string> patterns, std::string_view name)
{
    std::optional<std::string> found;
    for (const std::string &pattern : patterns) {
        if (!NamePattern(pattern).matches(name))
            continue;
        if (found)
            throw Error(
                ErrorCode::Argument,
                fmt::format("'{}' is matched by two patterns: '{}' and '{}'", escaped(name), escaped(*found), escaped(pattern)));
        found = pattern;
    }
    return found;
}

}  // namespace lqer
