// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/qera_recipe.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <re2/re2.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/pipeline/config_keys.h"

namespace lqer {

namespace {

// An entry of qera_config, decided. A linear layer's has settings, an attention product's its two operands.
struct Entry {
    bool isLinear = true;
    LayerSettings settings;
    FormatSpec left, right;
};

// What the official quantizers take where a table says nothing: block_fp has defaults of its own, mxint and minifloat have none.
FormatSpec quantizerFrom(const JsonReader &table)
{
    if (!table.value().isObject())
        table.fail("must be a quantizer, {name: ...}");
    const std::string name = table["name"].string();
    Json complete = table.value();
    if (name == "block_fp") {
        if (!table.has("width"))
            complete.set("width", 12);
        if (!table.has("block_size"))
            complete.set("block_size", Json(Json::Array{16}));
        if (table.value().find("block_size") && table.value().find("block_size")->isInteger())
            complete.set("block_size", Json(Json::Array{*table.value().find("block_size")}));
    }
    for (const auto &[owner, keys] : std::initializer_list<std::pair<std::string_view, std::vector<std::string_view>>>{
             {"mxint", {"width", "block_size", "block_axis"}},
             {"normalfloat", {"num_bits", "block_size"}},
             {"minifloat", {"width", "exponent_width"}},
             {"integer", {"fp_min", "fp_max", "n_bits", "is_affine"}}})
        for (const std::string_view key : keys)
            if (name == owner && !table.has(key))
                table.fail(fmt::format("{} needs {}", name, key));
    return FormatSpec::fromJson(JsonReader(complete, table.file(), table.path()));
}

Entry entryFrom(const JsonReader &table)
{
    Entry entry;
    const std::string name = table["name"].string();
    if (name == "flexible") {
        checkKeys(table, {{"name", "x_quantizer", "w_quantizer"}, {}});
        entry.isLinear = false;
        entry.left = quantizerFrom(table["x_quantizer"]);
        entry.right = quantizerFrom(table["w_quantizer"]);
        return entry;
    }
    if (name != "qera")
        table["name"].fail(
            fmt::format("must be qera (linear layers) or flexible (attention products), found '{}'", escaped(name, 40)));
    checkKeys(
        table,
        {{"name", "rank", "is_ptq", "x_quantizer", "w_quantizer", "b_quantizer", "A_out_quantizer", "B_out_quantizer", "bypass"},
         {}});
    LayerSettings &settings = entry.settings;
    settings.quantize = !flagFrom(table, "bypass", false);
    flagFrom(table, "is_ptq", false);  // only says when the weight is quantized
    const FormatSpec x = quantizerFrom(table["x_quantizer"]);
    settings.weight = quantizerFrom(table["w_quantizer"]);
    settings.activation = x;
    settings.bias = table.has("b_quantizer") ? quantizerFrom(table["b_quantizer"]) : x;
    settings.b = x;  // numerics.md C.2; A is never quantized
    if (table.has("A_out_quantizer"))
        settings.xa = quantizerFrom(table["A_out_quantizer"]);
    if (table.has("B_out_quantizer"))
        settings.xab = quantizerFrom(table["B_out_quantizer"]);
    settings.rank = table["rank"].integer(0, 1'000'000'000);
    return entry;
}

// The names of a block's two attention products, under its attention module: LLaMA's and those like it, and OPT's.
constexpr std::array<std::array<std::string_view, 2>, 2> productNames = {{{"matmul_0", "bmm_0"}, {"matmul_1", "bmm_1"}}};

void setProduct(AttentionSettings &attention, std::size_t product, const Entry &entry)
{
    (product == 0 ? attention.query : attention.probabilities) = entry.left;
    (product == 0 ? attention.key : attention.value) = entry.right;
}

// A pattern of attention products as one of attention modules: "...self_attn\.(matmul_0|matmul_1)" without its end.
struct ModulePattern {
    std::string pattern;
    std::array<bool, 2> products{};
};
std::optional<ModulePattern> modulePattern(const std::string &pattern)
{
    static const RE2 form(R"((.*)\\\.(?:\(([a-z0-9_|]+)\)|([a-z]+_[01])))");
    std::string module, several, one;
    if (!RE2::FullMatch(pattern, form, &module, &several, &one))
        return std::nullopt;
    ModulePattern result{module, {}};
    const std::string names = several.empty() ? one : several;
    for (std::size_t begin = 0; begin <= names.size();) {
        const std::size_t end = std::min(names.find('|', begin), names.size());
        const std::string name = names.substr(begin, end - begin);
        bool known = false;
        for (std::size_t product = 0; product < 2; ++product)
            if (std::ranges::find(productNames[product], name) != productNames[product].end())
                known = result.products[product] = true;
        if (!known)
            return std::nullopt;
        begin = end + 1;
    }
    return result;
}

class Conversion {
public:
    Conversion(const QeraConfig &config, std::span<const LinearSite> sites, std::vector<std::string> *notes)
        : m_config(config), m_root(m_config.json, config.file), m_layers(m_root["qera_config"]), m_sites(sites), m_notes(notes)
    { }
    QuantizationRecipe run();

private:
    void note(std::string line)
    {
        if (m_notes)
            m_notes->push_back(std::move(line));
    }
    void readEntries();
    // The pattern of qera_config that matches; throws Error(Argument) if there are two.
    std::optional<std::string> matched(const std::vector<std::string> &patterns, const std::string &name,
                                       std::string_view key) const;
    void addRules();
    void holdAgainstLayers();
    void holdAgainstProducts();
    void addScalings();
    void cutRanks();
    NamePattern pattern(const JsonReader &owner, const std::string &text) const;

    QeraConfig m_config;
    JsonReader m_root;
    JsonReader m_layers;
    std::span<const LinearSite> m_sites;
    std::vector<std::string> *m_notes;
    std::vector<std::string> m_patterns;  // every key: names of entries are tried as patterns, too
    std::map<std::string, Entry> m_entries;  // by the key that stands for them
    std::map<std::string, std::string> m_aliases;  // key -> key of its entry
    QuantizationRecipe m_recipe;
};

void Conversion::readEntries()
{
    std::vector<std::string> tables;
    for (const auto &[key, value] : m_layers.value().asObject()) {
        m_patterns.push_back(key);
        if (value.isObject()) {
            m_entries.emplace(key, entryFrom(m_layers[key]));
            tables.push_back(key);
        }
    }
    for (const std::string &key : m_patterns) {
        if (m_entries.contains(key)) {
            m_aliases[key] = key;
            continue;
        }
        const std::string name = m_layers[key].string();
        if (!m_entries.contains(name)) {
            const std::string near = nearest(name, tables);
            m_layers[key].fail(near.empty()
                                   ? fmt::format("there is no entry '{}'; there are: {}", escaped(name), fmt::join(tables, ", "))
                                   : fmt::format("there is no entry '{}'; did you mean '{}'?", escaped(name), near));
        }
        m_aliases[key] = name;
    }
}

std::optional<std::string> Conversion::matched(const std::vector<std::string> &patterns, const std::string &name,
                                               std::string_view key) const
{
    try {
        return findMatchedPattern(patterns, name);
    } catch (const Error &error) {
        throw Error(error.code(), m_config.file, fmt::format("key '{}'", key), error.what());
    }
}

NamePattern Conversion::pattern(const JsonReader &owner, const std::string &text) const
{
    NamePattern made(text);
    if (!made.error().empty())
        owner.fail(fmt::format("'{}' is no pattern: {}", escaped(text, 80), made.error()));
    return made;
}

// One rule for each pattern. At most one matches a layer, so that the order of rules does not matter.
void Conversion::addRules()
{
    std::set<std::string> named;
    for (const auto &[key, name] : m_aliases)
        if (key != name)
            named.insert(name);
    for (const std::string &key : m_patterns) {
        const Entry &entry = m_entries.at(m_aliases.at(key));
        const NamePattern names = pattern(m_layers, key);
        const bool matches = std::ranges::any_of(m_sites, [&](const LinearSite &site) { return names.matches(site.name); });
        if (m_aliases.at(key) == key) {
            if (m_sites.empty() ? named.contains(key) : !matches)
                continue;
            note(fmt::format("qera_config: '{}' is an entry itself, where the official code wants the name of one", key));
        }
        RecipeRule rule;
        if (entry.isLinear) {
            rule.selector.pattern = names;
            rule.settings = entry.settings;
            if (m_config.disableQera)
                rule.settings.rank = 0;
        } else if (entry.left.isPassthrough() && entry.right.isPassthrough()) {
            continue;
        } else if (const auto module = modulePattern(key)) {
            rule.selector.pattern = pattern(m_layers, module->pattern);
            for (std::size_t product = 0; product < 2; ++product)
                if (module->products[product])
                    setProduct(rule.attention, product, entry);
        } else if (m_sites.empty()) {
            throw Error(ErrorCode::Unsupported, m_config.file, fmt::format("key 'qera_config.{}'", escaped(key, 80)),
                        "does not end in the names of attention products: the model is needed");
        } else {
            continue;
        }
        m_recipe.rules.push_back(std::move(rule));
    }
}

void Conversion::holdAgainstLayers()
{
    for (const LinearSite &site : m_sites) {
        const auto key = matched(m_patterns, site.name, "qera_config");
        if (!key && site.layer < 0) {
            note(fmt::format("qera_config: no pattern matches '{}', on which the official code fails; it stays as it is",
                             site.name));
            continue;
        }
        if (!key)
            throw Error(ErrorCode::Argument, m_config.file, "key 'qera_config'",
                        fmt::format("no pattern matches the layer '{}'", site.name));
        if (!m_entries.at(m_aliases.at(*key)).isLinear)
            throw Error(ErrorCode::Argument, m_config.file, fmt::format("key 'qera_config.{}'", escaped(*key, 80)),
                        fmt::format("matches the linear layer '{}' but is about attention products (name: flexible)", site.name));
    }
}

// Each block's two products, by name. Rules of the pattern's own form are there already; what they do not say is added block by
// block.
void Conversion::holdAgainstProducts()
{
    // A rule that is added here is about one module, so that no other block's plan changes.
    const ModelPlan planned = m_recipe.planFor(m_sites);
    for (const auto &[block, plan] : planned.attention) {
        const std::string module = attentionModule(m_sites, block);
        AttentionSettings wanted;
        for (std::size_t product = 0; product < 2; ++product) {
            std::optional<std::string> key;
            for (const std::string_view name : productNames[product])
                if (!key)
                    key = matched(m_patterns, fmt::format("{}.{}", module, name), "qera_config");
            if (!key)
                throw Error(ErrorCode::Argument, m_config.file, "key 'qera_config'",
                            fmt::format("no pattern matches the attention product '{}.{}'", module,
                                        fmt::join(productNames[product], "' or '")));
            const Entry &entry = m_entries.at(m_aliases.at(*key));
            if (entry.isLinear)
                throw Error(ErrorCode::Argument, m_config.file, fmt::format("key 'qera_config.{}'", escaped(*key, 80)),
                            fmt::format("matches attention products of '{}' but is about linear layers (name: qera)", module));
            setProduct(wanted, product, entry);
        }
        if (plan.query == *wanted.query && plan.key == *wanted.key && plan.probabilities == *wanted.probabilities
            && plan.value == *wanted.value)
            continue;
        RecipeRule rule;
        rule.selector.pattern = NamePattern(RE2::QuoteMeta(module));
        rule.attention = wanted;
        m_recipe.rules.push_back(std::move(rule));
    }
}

void Conversion::addScalings()
{
    if (m_config.disableQera)
        return;
    if (m_config.scaling) {
        m_recipe.defaults.scaling = *m_config.scaling;
        return;
    }
    const JsonReader map = m_root["qera_scaling_mode_map"];
    std::vector<std::string> patterns;
    std::map<std::string, ScalingKind> kinds;
    for (const auto &[key, value] : map.value().asObject()) {
        RecipeRule rule;
        rule.selector.pattern = pattern(map, key);
        try {
            rule.settings.scaling = kinds[key] = scalingFromString(map[key].string());
        } catch (const Error &error) {
            map[key].fail(error.what());
        }
        patterns.push_back(key);
        m_recipe.rules.push_back(std::move(rule));
    }
    for (const LinearSite &site : m_sites) {
        const auto key = matched(patterns, site.activationSite, "qera_scaling_mode_map");
        if (!key)
            throw Error(ErrorCode::Argument, m_config.file, "key 'qera_scaling_mode_map'",
                        fmt::format("no pattern matches the layer '{}'", site.activationSite));
        if (m_recipe.planFor(site).scaling != kinds.at(*key))
            m_recipe.layers[site.name].scaling = kinds.at(*key);
    }
}

void Conversion::cutRanks()
{
    std::size_t cut = 0;
    for (const LinearSite &site : m_sites) {
        const LayerPlan plan = m_recipe.planFor(site);
        const Index least = std::min(site.in, site.out);
        if (!plan.quantize || plan.rank <= least)
            continue;
        m_recipe.layers[site.name].rank = least;
        ++cut;
    }
    if (cut > 0)
        note(fmt::format(
            "qera_config: the rank is above min(in, out) of {} layers, on which the official code fails; theirs is min(in, out)",
            cut));
}

QuantizationRecipe Conversion::run()
{
    m_recipe.name = std::filesystem::path(m_config.file).stem().string();
    m_recipe.defaults.quantize = false;
    readEntries();
    addRules();
    if (!m_sites.empty()) {
        holdAgainstLayers();
        holdAgainstProducts();
    }
    addScalings();
    cutRanks();
    return std::move(m_recipe);
}

}  // namespace

QuantizationRecipe qeraRecipe(const QeraConfig &config, std::span<const LinearSite> sites, std::vector<std::string> *notes)
{
    return Conversion(config, sites, notes).run();
}

}  // namespace lqer
