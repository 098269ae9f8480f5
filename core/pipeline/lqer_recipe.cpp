// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/lqer_recipe.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/pipeline/config_keys.h"
#include "core/quant/quantizer.h"

namespace lqer {

namespace {

constexpr std::string_view suffix = ".weight";
constexpr std::int64_t mostRank = 1'000'000'000;
constexpr std::int64_t mostBlocks = 1'000'000;
constexpr std::string_view blockTable = "model_layer_";

// --- patterns ---

std::string escapedPattern(std::string_view name)
{
    std::string pattern;
    for (const char c : name) {
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_')
            pattern += '\\';
        pattern += c;
    }
    return pattern;
}

// The alternatives of a pattern that are not inside brackets.
std::vector<std::string> alternatives(std::string_view pattern)
{
    std::vector<std::string> parts(1);
    int depth = 0;
    bool inClass = false;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        const char c = pattern[i];
        if (c == '\\' && i + 1 < pattern.size()) {
            (parts.back() += c) += pattern[++i];
            continue;
        }
        if (c == '[')
            inClass = true;
        else if (c == ']')
            inClass = false;
        else if (!inClass && (c == '(' || c == ')'))
            depth += c == '(' ? 1 : -1;
        if (c == '|' && depth == 0 && !inClass)
            parts.emplace_back();
        else
            parts.back() += c;
    }
    return parts;
}

// The pattern of module names for one of their weights' names; nothing where it does not end with ".weight".
std::optional<std::string> modulePattern(std::string_view parameterPattern)
{
    std::string modules;
    for (std::string &part : alternatives(parameterPattern)) {
        if (part.ends_with("$") && !part.ends_with("\\$"))
            part.pop_back();
        if (part.ends_with("\\.weight"))
            part.resize(part.size() - 8);
        else if (part.ends_with(".weight"))  // an unescaped dot
            part.resize(part.size() - 7);
        else
            return std::nullopt;
        modules += (modules.empty() ? "" : "|") + part;
    }
    return modules;
}

// --- what the tables say ---

// The quantizer's own defaults, where ours are others.
FormatSpec withLqerDefaults(FormatSpec spec)
{
    if (spec.name == "block_fp") {
        spec.parameters.emplace("width", std::int64_t{12});
        spec.parameters.emplace("block_size", std::vector<std::int64_t>{16});
        spec.parameters.emplace("skip_first_dim", true);
    }
    return spec;
}

// `default` stands for what is not stated; the templates set it to false, because it must be there.
std::optional<FormatSpec> quantizer(const JsonReader &table, std::string_view key)
{
    if (table.has(key))
        return withLqerDefaults(FormatSpec::fromJson(table[key]));
    if (table.has("default") && table["default"].value().isObject())
        return withLqerDefaults(FormatSpec::fromJson(table["default"]));
    return std::nullopt;
}

FormatSpec requiredQuantizer(const JsonReader &table, std::string_view key)
{
    const std::optional<FormatSpec> spec = quantizer(table, key);
    if (!spec)
        table.fail(fmt::format("lacks '{}'", key));
    return *spec;
}

struct Approximator {
    std::string pattern;  // of parameter names
    LayerSettings settings;
};

LayerSettings approximatorSettings(const JsonReader &table)
{
    checkKeys(table, {{"rank", "W_quantizer", "A_quantizer", "B_quantizer"}, {}});
    LayerSettings settings;
    settings.rank = table["rank"].integer(1, mostRank);
    settings.weight = requiredQuantizer(table, "W_quantizer");
    settings.a = requiredQuantizer(table, "A_quantizer");
    settings.b = requiredQuantizer(table, "B_quantizer");
    return settings;
}

std::vector<Approximator> approximators(const LqerConfig &config)
{
    const JsonReader root(config.json, config.file);
    if (!root.has("approximate"))
        return {};
    const JsonReader table = root["approximate"]["approximator"];
    std::set<std::string> aliases;
    for (const auto &[key, value] : table.value().asObject())
        if (value.isString())
            aliases.insert(value.asString());
    std::vector<Approximator> all;
    for (const auto &[key, value] : table.value().asObject()) {
        const std::string target = value.isString() ? value.asString() : key;
        if (!table.has(target))
            table[key].fail(fmt::format("there is no entry '{}'", escaped(target)));
        if (!table[target].value().isObject())
            table[key].fail(fmt::format("the entry '{}' is no table", escaped(target)));
        const NamePattern pattern(key);
        if (!pattern.error().empty())
            table[key].fail(pattern.error());
        Approximator approximator{key, approximatorSettings(table[target])};
        // A name that others stand for is a pattern too, but hardly of a parameter.
        if (!aliases.contains(key) || modulePattern(key))
            all.push_back(std::move(approximator));
    }
    return all;
}

// One layer or one product of [q_config].
struct LinearTable {
    LayerSettings settings;
    bool corrected = true;  // name "flexible_lqer"
};

LinearTable linearTable(const JsonReader &table)
{
    checkKeys(table,
        {{"name", "is_ptq", "default", "x_quantizer", "w_quantizer", "b_quantizer", "A_out_quantizer", "B_out_quantizer"}, {}});
    const std::string &name = table["name"].string();
    if (name != "flexible" && name != "flexible_lqer")
        table["name"].fail(fmt::format("must be flexible or flexible_lqer, found '{}'", escaped(name)));
    LinearTable linear;
    linear.corrected = name == "flexible_lqer";
    linear.settings.activation = requiredQuantizer(table, "x_quantizer");
    linear.settings.weight = requiredQuantizer(table, "w_quantizer");
    linear.settings.bias = quantizer(table, "b_quantizer");
    if (table.has("A_out_quantizer"))
        linear.settings.xa = quantizer(table, "A_out_quantizer");
    if (table.has("B_out_quantizer"))
        linear.settings.xab = quantizer(table, "B_out_quantizer");
    return linear;
}

struct ProductTable {
    FormatSpec left, right;
};

ProductTable productTable(const JsonReader &table)
{
    checkKeys(table, {{"name", "default", "x_quantizer", "w_quantizer"}, {}});
    if (table["name"].string() != "flexible")
        table["name"].fail(fmt::format("must be flexible, found '{}'", escaped(table["name"].string())));
    return {requiredQuantizer(table, "x_quantizer"), requiredQuantizer(table, "w_quantizer")};
}

// 3 of "model_layer_3".
std::optional<std::int64_t> blockOf(std::string_view key)
{
    if (!key.starts_with(blockTable) || key.size() == blockTable.size() || key.size() > blockTable.size() + 7)
        return std::nullopt;
    std::int64_t block = 0;
    for (const char c : key.substr(blockTable.size())) {
        if (c < '0' || c > '9')
            return std::nullopt;
        block = block * 10 + (c - '0');
    }
    return block < mostBlocks ? std::optional(block) : std::nullopt;
}

// What is inside a block is named by the modules: self_attn.q_proj. Calls leaf(path, table) for each table that has the key
// `mark`.
template <typename Leaf>
void forEachLeaf(const JsonReader &table, std::string_view mark, const std::string &path, const Leaf &leaf)
{
    if (!table.value().isObject())
        table.fail("must be a table");
    if (table.has(mark)) {
        leaf(path, table);
        return;
    }
    for (const auto &[key, value] : table.value().asObject())
        forEachLeaf(table[key], mark, path.empty() ? key : path + '.' + key, leaf);
}

// The tables of [q_config] or [l_config] that are about blocks, general ones first: (block or nothing, table).
std::vector<std::pair<std::optional<std::int64_t>, JsonReader>> blockTables(
    const JsonReader &config, const std::vector<std::string> &others)
{
    std::vector<std::pair<std::optional<std::int64_t>, JsonReader>> tables;
    for (const auto &[key, value] : config.value().asObject())
        // OPT's builder asks for model_layer_cfg, the others for model_layer.
        if (key == "model_layer" || key == "model_layer_cfg")
            tables.emplace_back(std::nullopt, config[key]);
    ConfigKeys keys{others, {"model_layer", "model_layer_cfg"}};
    for (const auto &[key, value] : config.value().asObject()) {
        if (const auto block = blockOf(key)) {
            tables.emplace_back(block, config[key]);
            keys.known.push_back(key);
        }
    }
    checkKeys(config, keys);
    return tables;
}

LayerSelector inBlocks(const std::string &path, std::optional<std::int64_t> block)
{
    LayerSelector selector;
    selector.pattern = NamePattern(".*\\." + escapedPattern(path));
    if (block)
        selector.blocks = {{*block, *block}};
    return selector;
}

bool changesNothing(const LayerSettings &settings)
{
    const auto passes = [](const std::optional<FormatSpec> &spec) { return !spec || spec->isPassthrough(); };
    return passes(settings.weight) && passes(settings.activation) && passes(settings.bias);
}

// [q_config] as recipe: defaults for all layers, then rules.
struct LinearRules {
    LayerSettings defaults;
    AttentionSettings attention;
    std::vector<RecipeRule> rules;
    std::vector<RecipeRule> uncorrected;  // rank 0, to stand behind the approximator's
};

RecipeRule uncorrectedRule(LayerSelector selector)
{
    RecipeRule rule;
    rule.selector = std::move(selector);
    rule.settings.rank = 0;
    return rule;
}

// LLaMA and Mistral have products "matmul", OPT has "bmm".
bool isOpt(std::span<const LinearSite> sites)
{
    return std::ranges::any_of(
               sites, [](const LinearSite &site) { return site.role == LinearRole::Fc1 || site.role == LinearRole::Fc2; })
        && std::ranges::any_of(
            sites, [](const LinearSite &site) { return site.name.find("decoder.layers.") != std::string::npos; });
}

void addProducts(const JsonReader &table, std::span<const LinearSite> sites, LinearRules &into)
{
    const auto settings = [](const ProductTable &product) {
        return AttentionSettings{product.left, product.right, product.left, product.right};
    };
    std::optional<ProductTable> matmul, bmm;
    if (table.has("matmul"))
        matmul = productTable(table["matmul"]);
    if (table.has("bmm"))
        bmm = productTable(table["bmm"]);
    const bool same = matmul && bmm && matmul->left == bmm->left && matmul->right == bmm->right;
    if (!sites.empty() || same) {
        const std::optional<ProductTable> &own = same || !isOpt(sites) ? matmul : bmm;
        if (own)
            into.attention = settings(*own);
        return;
    }
    for (const auto &[product, module] : {std::pair(&matmul, "model\\.layers\\.[0-9]+\\.self_attn"),
             std::pair(&bmm, "model\\.decoder\\.layers\\.[0-9]+\\.self_attn")}) {
        if (!*product)
            continue;
        RecipeRule rule;
        rule.selector.pattern = NamePattern(module);
        rule.attention = settings(**product);
        into.rules.push_back(std::move(rule));
    }
}

LinearRules linearRules(const LqerConfig &config, std::span<const LinearSite> sites)
{
    const JsonReader root(config.json, config.file);
    LinearRules rules;
    if (!root.has("q_config"))
        root.fail("lacks 'q_config'");
    const JsonReader table = root["q_config"];
    const auto tables = blockTables(table, {"linear", "matmul", "bmm"});
    if (table.has("linear")) {
        const LinearTable linear = linearTable(table["linear"]);
        rules.defaults = linear.settings;
        if (changesNothing(linear.settings))
            rules.defaults.quantize = false;
        if (!linear.corrected)
            rules.uncorrected.push_back(uncorrectedRule({}));
    } else if (tables.empty()) {
        table.fail("lacks 'linear'");
    }
    addProducts(table, sites, rules);
    for (const auto &[block, blockTable] : tables) {
        forEachLeaf(blockTable, "name", {}, [&, &block = block](const std::string &path, const JsonReader &leaf) {
            RecipeRule rule;
            if (path.ends_with("matmul_0") || path.ends_with("bmm_0") || path.ends_with("matmul_1") || path.ends_with("bmm_1")) {
                const std::size_t dot = path.rfind('.');
                rule.selector = inBlocks(path.substr(0, dot == std::string::npos ? 0 : dot), block);
                const ProductTable product = productTable(leaf);
                (path.ends_with('0') ? rule.attention.query : rule.attention.probabilities) = product.left;
                (path.ends_with('0') ? rule.attention.key : rule.attention.value) = product.right;
            } else {
                rule.selector = inBlocks(path, block);
                const LinearTable linear = linearTable(leaf);
                rule.settings = linear.settings;
                rule.settings.quantize = !changesNothing(linear.settings);
                // What a more general table states and this one does not.
                if (!rule.settings.bias)
                    rule.settings.bias = FormatSpec();
                if (!rule.settings.xa)
                    rule.settings.xa = rule.settings.activation;
                if (!rule.settings.xab)
                    rule.settings.xab = rule.settings.activation;
                if (!linear.corrected)
                    rules.uncorrected.push_back(uncorrectedRule(rule.selector));
            }
            rules.rules.push_back(std::move(rule));
        });
    }
    return rules;
}

// Ranks that [l_config] makes room for, as a recipe, so that they are looked up like everything else.
QuantizationRecipe roomForRanks(const LqerConfig &config)
{
    QuantizationRecipe recipe;
    const JsonReader root(config.json, config.file);
    if (!root.has("l_config"))
        return recipe;
    const JsonReader table = root["l_config"];
    const auto rankOf = [](const JsonReader &leaf) {
        checkKeys(leaf, {{"rank"}, {}});
        return leaf["rank"].integer(0, mostRank);
    };
    const auto tables = blockTables(table, {"linear"});
    if (table.has("linear"))
        recipe.defaults.rank = rankOf(table["linear"]);
    for (const auto &[block, blockTable] : tables) {
        forEachLeaf(blockTable, "rank", {}, [&, &block = block](const std::string &path, const JsonReader &leaf) {
            RecipeRule rule;
            rule.selector = inBlocks(path, block);
            rule.settings.rank = rankOf(leaf);
            recipe.rules.push_back(std::move(rule));
        });
    }
    return recipe;
}

// --- at odds ---

// "128 and 32 (all 48 layers)".
struct Disagreement {
    std::string example, first;
    std::size_t layers = 0;
    void add(const std::string &what, const std::string &layer)
    {
        if (layers++ == 0)
            example = what, first = layer;
    }
    std::string where(std::size_t all) const
    {
        return layers == all ? "for every layer" : fmt::format("for {} layers, first {}", layers, first);
    }
};

void noteDisagreements(const LqerConfig &config, const QuantizationRecipe &measured, const std::vector<Approximator> &patterns,
    std::span<const LinearSite> sites, std::vector<std::string> &notes)
{
    const QuantizationRecipe room = roomForRanks(config);
    Disagreement rank, weight;
    std::size_t all = 0;
    const auto compare = [&](const std::string &name, const LayerSettings &approximator, const std::optional<Index> &roomRank,
                             const std::optional<FormatSpec> &measuredWeight) {
        ++all;
        if (roomRank && *roomRank != *approximator.rank)
            rank.add(fmt::format("{}, not {}", *approximator.rank, *roomRank), name);
        if (measuredWeight && withDefaults(*measuredWeight) != withDefaults(*approximator.weight))
            weight.add(fmt::format("{}, not {}", shortName(*approximator.weight), shortName(*measuredWeight)), name);
    };
    if (sites.empty()) {
        for (const Approximator &approximator : patterns)
            compare(approximator.pattern, approximator.settings, room.defaults.rank, measured.defaults.weight);
    } else {
        std::vector<std::string> texts;
        for (const Approximator &approximator : patterns)
            texts.push_back(approximator.pattern);
        for (const LinearSite &site : sites) {
            const auto found = findMatchedPattern(texts, site.name + std::string(suffix));
            if (!found)
                continue;
            const auto &settings = std::ranges::find(patterns, *found, &Approximator::pattern)->settings;
            const Index own = room.planFor(site).rank;
            compare(site.name, settings, own > 0 ? std::optional(own) : std::nullopt, measured.planFor(site).formats.weight);
        }
    }
    if (rank.layers > 0)
        notes.push_back(
            fmt::format("rank {} as l_config says, {}: A and B have the approximator's (the official code fails to load them)",
                rank.example, rank.where(all)));
    if (weight.layers > 0)
        notes.push_back(fmt::format("weights {} as q_config's w_quantizer says, {}: A and B correct the approximator's "
                                    "W_quantizer, so that one is measured",
            weight.example, weight.where(all)));
}

}  // namespace

QuantizationRecipe lqerRecipe(
    const LqerConfig &config, LqerStage stage, std::span<const LinearSite> sites, std::vector<std::string> *notes)
{
    const std::vector<Approximator> patterns = approximators(config);
    const LinearRules linear = linearRules(config, sites);
    QuantizationRecipe recipe;
    recipe.name = config.project;
    recipe.defaults = linear.defaults;
    recipe.attention = linear.attention;
    recipe.rules = linear.rules;
    const bool outside = std::ranges::any_of(sites, [](const LinearSite &site) { return site.layer < 0; });
    if (outside) {
        RecipeRule rule;
        rule.selector.roles = {LinearRole::ProjectIn, LinearRole::ProjectOut};
        rule.settings.quantize = false;
        recipe.rules.push_back(std::move(rule));
    }
    const bool corrected = stage == LqerStage::Approximate || !config.disableLqer;
    if (!corrected)
        return recipe;

    const QuantizationRecipe measured = recipe;
    recipe.defaults.scaling = config.scaling;
    std::vector<std::string> texts;
    for (const Approximator &approximator : patterns)
        texts.push_back(approximator.pattern);
    std::map<std::string, std::string> matched;  // site -> pattern
    for (const LinearSite &site : sites)
        if (const auto found = findMatchedPattern(texts, site.name + std::string(suffix)))
            matched.emplace(site.name, *found);
    if (!sites.empty() && matched.empty())
        throw Error(ErrorCode::Argument, config.file, "key 'approximate.approximator'",
            fmt::format("no pattern matches a layer of this model, such as '{}{}'", escaped(sites.front().name), suffix));

    for (const Approximator &approximator : patterns) {
        LayerSettings settings = approximator.settings;
        settings.quantize = true;
        if (const auto modules = modulePattern(approximator.pattern)) {
            RecipeRule rule;
            rule.selector.pattern = NamePattern(*modules);
            rule.settings = settings;
            recipe.rules.push_back(std::move(rule));
        } else if (sites.empty()) {
            throw Error(ErrorCode::Unsupported, config.file,
                fmt::format("key 'approximate.approximator.{}'", escaped(approximator.pattern)),
                "a pattern of weights must end with \\.weight to become one of layers");
        }
        for (const LinearSite &site : sites) {
            const auto found = matched.find(site.name);
            if (found == matched.end() || found->second != approximator.pattern)
                continue;
            if (!modulePattern(approximator.pattern))
                recipe.layers[site.name].overlay(settings);
        }
    }
    if (stage == LqerStage::Evaluate)
        recipe.rules.insert(recipe.rules.end(), linear.uncorrected.begin(), linear.uncorrected.end());

    std::size_t cut = 0;
    for (const LinearSite &site : sites) {
        const Index most = std::min(site.in, site.out);
        if (recipe.planFor(site).rank > most) {
            recipe.layers[site.name].rank = most;
            ++cut;
        }
    }
    if (notes) {
        noteDisagreements(config, measured, patterns, sites, *notes);
        if (cut > 0)
            notes->push_back(fmt::format("rank cut to min(in, out) for {} layers that have less", cut));
        const auto uncorrected = std::ranges::count_if(
            sites, [&](const LinearSite &site) { return matched.contains(site.name) && recipe.planFor(site).rank == 0; });
        if (uncorrected > 0)
            notes->push_back(fmt::format(
                "q_config calls {} layers 'flexible', not 'flexible_lqer': they are measured without A and B", uncorrected));
    }
    return recipe;
}

std::vector<const LinearSite *> lqerLayers(const LqerConfig &config, std::span<const LinearSite> sites)
{
    std::vector<std::string> texts;
    for (const Approximator &approximator : approximators(config))
        texts.push_back(approximator.pattern);
    std::vector<const LinearSite *> layers;
    for (const LinearSite &site : sites)
        if (findMatchedPattern(texts, site.name + std::string(suffix)))
            layers.push_back(&site);
    // OPT's attention defines its projections as k, v, q, out; the other families in forward order.
    if (isOpt(sites)) {
        const auto rank = [](LinearRole role) {
            return role == LinearRole::Key ? 0 : role == LinearRole::Value ? 1 : role == LinearRole::Query ? 2 : 3;
        };
        std::ranges::stable_sort(layers, [&](const LinearSite *x, const LinearSite *y) {
            return std::pair(x->layer, rank(x->role)) < std::pair(y->layer, rank(y->role));
        });
    }
    return layers;
}

}  // namespace lqer
