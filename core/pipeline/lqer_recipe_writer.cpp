// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/pipeline/lqer_recipe.h"
#include "core/quant/quantizer.h"

namespace lqer {

namespace {

// Layers of the families that LQER has, for a recipe that treats all alike.
constexpr const char *familyPatterns[] = {
    R"(model\.layers\.[0-9]+\.self_attn\.(k|q|v|o)_proj\.weight)",
    R"(model\.layers\.[0-9]+\.mlp\.(gate|down|up)_proj\.weight)",
    R"(model\.decoder\.layers\.[0-9]+\.self_attn\.(k|q|v|out)_proj\.weight)",
    R"(model\.decoder\.layers\.[0-9]+\.(fc1|fc2)\.weight)",
};

// A quantizer table as LQER's code calls its function. Formats it does not have are named in `foreign`.
Json quantizerTable(const FormatSpec &spec, std::set<std::string> &foreign)
{
    FormatSpec complete = withDefaults(spec);
    if (complete.name == "passthrough")
        return Json::object().set("name", complete.name);
    if (complete.name == "fixed")
        complete.name = "integer";
    else if (complete.name != "block_fp" && complete.name != "minifloat")
        foreign.insert(complete.name);
    // Not a parameter of LQER's, where it is what LQER does.
    for (const auto &[parameter, plain] :
        {std::pair("arithmetic", "float32"), std::pair("variant", "ieee"), std::pair("round_mode", "nearest")})
        if (const auto found = complete.parameters.find(parameter);
            found != complete.parameters.end() && found->second == FormatValue(std::string(plain)))
            complete.parameters.erase(found);
    Json table = complete.toJson();
    for (auto &[key, value] : table.asObject())
        if (value.isString() && value.asString() == "none")
            value = Json();
    return table;
}

// "layers.3.self_attn.q_proj" in two: what is before and behind the number of the block.
struct Place {
    std::string before, behind;
};

Place placeOf(const std::string &name, std::int64_t block)
{
    const std::string number = fmt::format(".{}.", block);
    const std::size_t at = name.find(number);
    if (block < 0 || at == std::string::npos)
        return {{}, name};
    return {name.substr(0, at), name.substr(at + number.size())};
}

std::string patternText(const std::string &name)
{
    std::string pattern;
    for (const char c : name)
        (pattern += c == '.' ? "\\" : "") += c;
    return pattern;
}

void setAt(Json &table, const std::string &path, Json value)
{
    const std::size_t dot = path.find('.');
    if (dot == std::string::npos) {
        table.set(path, std::move(value));
        return;
    }
    const std::string key = path.substr(0, dot);
    if (!table.find(key))
        table.set(key, Json::object());
    for (auto &member : table.asObject())
        if (member.first == key)
            setAt(member.second, path.substr(dot + 1), std::move(value));
}

class ConfigWriter {
public:
    ConfigWriter(const QuantizationRecipe &recipe, std::span<const LinearSite> sites, std::vector<std::string> &lost)
        : m_recipe(recipe), m_sites(sites), m_lost(lost)
    {
    }

    Json write()
    {
        if (m_sites.empty())
            addAlike();
        else
            addLayers();
        Json config = Json::object();
        config.set("project", m_recipe.name.empty() ? "recipe" : m_recipe.name);
        config.set("enable_wandb", false);
        for (const char *stage : {"enable_profiling", "enable_approximation", "enable_perplexity_evaluation"})
            config.set(stage, true);
        config.set("enable_harness_downstream_evaluation", false);
        config.set("tags", Json::array());
        config.set("model_name", "");
        config.set("wandb", Json::object().set("project", "lqer").set("tags", Json::array()));
        // Stages and data sets as the templates have them.
        config.set("profile",
            Json::object()
                .set("dataset", "slim_pajama_6b")
                .set("max_length", 2048)
                .set("batch_size", 2)
                .set("num_samples", 64)
                .set("num_raw_samples", 4096));
        Json approximate = Json::object();
        approximate.set("name", scalingName());
        approximate.set("approximator", std::move(m_approximator));
        config.set("approximate", std::move(approximate));
        config.set("l_config", std::move(m_room));
        config.set("q_config", std::move(m_quantizers));
        Json evaluate = Json::object();
        evaluate.set("disable_lqer", m_aliases.empty());
        evaluate.set("perplexity", Json::object().set("dataset", "wikitext2").set("batch_size", 2).set("max_length", 2048));
        config.set("evaluate", std::move(evaluate));
        if (!m_foreign.empty())
            m_lost.push_back(fmt::format(
                "LQER's own code has no number format {} (lqer pipeline reads it all the same)", fmt::join(m_foreign, ", ")));
        return config;
    }

private:
    static bool isCorrected(const LayerPlan &plan) { return plan.quantize && plan.rank > 0; }

    Json linearTable(const LayerPlan &plan)
    {
        const LayerPlan stated = plan.quantize ? plan : LayerPlan();
        Json table = Json::object();
        table.set("name", isCorrected(plan) ? "flexible_lqer" : "flexible").set("is_ptq", true).set("default", false);
        table.set("x_quantizer", quantizerTable(stated.formats.activation, m_foreign));
        table.set("w_quantizer", quantizerTable(stated.formats.weight, m_foreign));
        table.set("b_quantizer", quantizerTable(stated.formats.bias, m_foreign));
        if (isCorrected(plan) && stated.formats.xa != stated.formats.activation)
            table.set("A_out_quantizer", quantizerTable(stated.formats.xa, m_foreign));
        if (isCorrected(plan) && stated.formats.xab != stated.formats.activation)
            table.set("B_out_quantizer", quantizerTable(stated.formats.xab, m_foreign));
        return table;
    }

    Json productTable(const FormatSpec &left, const FormatSpec &right)
    {
        return Json::object()
            .set("name", "flexible")
            .set("default", false)
            .set("x_quantizer", quantizerTable(left, m_foreign))
            .set("w_quantizer", quantizerTable(right, m_foreign));
    }

    // Name of the approximator's entry for this plan; "" for a layer without correction.
    std::string aliasOf(const LayerPlan &plan)
    {
        if (!isCorrected(plan))
            return {};
        m_scalings.insert(plan.scaling);
        Json entry = Json::object();
        entry.set("rank", static_cast<std::int64_t>(plan.rank));
        entry.set("W_quantizer", quantizerTable(plan.formats.weight, m_foreign));
        entry.set("A_quantizer", quantizerTable(plan.formats.a, m_foreign));
        entry.set("B_quantizer", quantizerTable(plan.formats.b, m_foreign));
        const auto [place, isNew]
            = m_aliases.emplace(entry.dump(), m_aliases.empty() ? "default" : fmt::format("default-{}", m_aliases.size()));
        if (isNew)
            m_entries.emplace_back(place->second, std::move(entry));
        return place->second;
    }

    void finishApproximator(const std::vector<std::pair<std::string, std::string>> &patterns)
    {
        for (const auto &[pattern, alias] : patterns)
            m_approximator.set(pattern, alias);
        for (auto &[alias, entry] : m_entries)
            m_approximator.set(alias, std::move(entry));
    }

    void addAlike()
    {
        if (!m_recipe.rules.empty() || !m_recipe.layers.empty())
            throw Error(ErrorCode::Argument,
                "a recipe with rules needs a model: LQER's patterns must not overlap, so its layers are written out");
        const LayerPlan plan = m_recipe.planFor(LinearSite{});
        const std::string alias = aliasOf(plan);
        std::vector<std::pair<std::string, std::string>> patterns;
        if (!alias.empty())
            for (const char *pattern : familyPatterns)
                patterns.emplace_back(pattern, alias);
        finishApproximator(patterns);
        m_quantizers.set("linear", linearTable(plan));
        const AttentionPlan attention = m_recipe.attentionFor(0, {});
        if (attention.query != attention.probabilities || attention.key != attention.value)
            m_lost.push_back("the two products of attention have different formats, which LQER can say only block by block: give "
                             "a model; written is the first");
        for (const char *product : {"matmul", "bmm"})
            m_quantizers.set(product, productTable(attention.query, attention.key));
        m_room.set("linear", Json::object().set("rank", static_cast<std::int64_t>(std::max<Index>(plan.rank, 1))));
    }

    void addLayers()
    {
        const ModelPlan plan = m_recipe.planFor(m_sites);
        std::map<std::int64_t, Json> blocks, rooms;  // tables of each block
        std::map<std::pair<std::string, std::string>, std::set<std::string>>
            together;  // layers of one place in all blocks -> aliases
        std::size_t outside = 0;
        for (const LinearSite &site : m_sites) {
            const LayerPlan &layer = plan.layers.at(site.name);
            if (site.layer < 0) {
                outside += layer.quantize ? 1 : 0;
                continue;
            }
            const Place place = placeOf(site.name, site.layer);
            together[{place.before, place.behind}].insert(aliasOf(layer));
            setAt(blocks.try_emplace(site.layer, Json::object()).first->second, place.behind, linearTable(layer));
            setAt(rooms.try_emplace(site.layer, Json::object()).first->second, place.behind,
                Json::object().set("rank", static_cast<std::int64_t>(std::max<Index>(isCorrected(layer) ? layer.rank : 0, 1))));
        }
        if (outside > 0)
            m_lost.push_back(fmt::format("{} layers outside the blocks, which LQER leaves as they are", outside));
        addPatterns(plan, together);
        addProducts(plan, blocks);
        addTables(blocks, m_quantizers, isOptLike() ? "model_layer_cfg" : "model_layer");
        addTables(rooms, m_room, "model_layer");
        if (std::ranges::none_of(m_sites, [](const LinearSite &site) {
                return site.name.starts_with("model.layers.") || site.name.starts_with("model.decoder.layers.");
            }))
            m_lost.push_back("LQER's own code knows LLaMA, Mistral and OPT only (lqer pipeline reads it all the same)");
    }

    bool isOptLike() const { return m_sites.front().name.starts_with("model.decoder."); }

    void addPatterns(const ModelPlan &plan, const std::map<std::pair<std::string, std::string>, std::set<std::string>> &together)
    {
        std::vector<std::pair<std::string, std::string>> patterns;
        std::set<std::pair<std::string, std::string>> done;
        for (const LinearSite &site : m_sites) {
            if (site.layer < 0)
                continue;
            const Place place = placeOf(site.name, site.layer);
            const std::pair key{place.before, place.behind};
            const std::string alias = aliasOf(plan.layers.at(site.name));
            const bool alike = together.at(key).size() == 1;
            if (alias.empty() || (alike && !done.insert(key).second))
                continue;
            patterns.emplace_back(alike
                    ? fmt::format("{}\\.[0-9]+\\.{}\\.weight", patternText(place.before), patternText(place.behind))
                    : patternText(site.name) + "\\.weight",
                alias);
        }
        finishApproximator(patterns);
    }

    void addProducts(const ModelPlan &plan, std::map<std::int64_t, Json> &blocks)
    {
        const char *const product = isOptLike() ? "bmm" : "matmul";
        for (const auto &[block, attention] : plan.attention) {
            const auto table = blocks.find(block);
            const std::string module = placeOf(attentionModule(m_sites, block) + ".", block).behind;  // with its last '.'
            if (table == blocks.end() || module.empty())
                continue;
            setAt(table->second, fmt::format("{}{}_0", module, product), productTable(attention.query, attention.key));
            setAt(table->second, fmt::format("{}{}_1", module, product), productTable(attention.probabilities, attention.value));
        }
    }

    // One table if the blocks are alike, else one for each.
    static void addTables(std::map<std::int64_t, Json> &blocks, Json &into, const char *general)
    {
        const bool alike = std::ranges::all_of(blocks, [&](const auto &block) { return block.second == blocks.begin()->second; });
        if (alike && !blocks.empty())
            into.set(general, std::move(blocks.begin()->second));
        else
            for (auto &[block, table] : blocks)
                into.set(fmt::format("model_layer_{}", block), std::move(table));
    }

    std::string scalingName()
    {
        const bool plain = m_scalings == std::set{ScalingKind::Identity};
        if (!plain && !m_scalings.empty() && m_scalings != std::set{ScalingKind::MeanAbs}) {
            std::vector<std::string_view> names;
            for (const ScalingKind kind : m_scalings)
                names.push_back(toString(kind));
            m_lost.push_back(fmt::format(
                "scaling {}: LQER has lqer-act and lqer-svd, one for all layers; written is lqer-act", fmt::join(names, ", ")));
        }
        return plain ? "lqer-svd" : "lqer-act";
    }

    const QuantizationRecipe &m_recipe;
    std::span<const LinearSite> m_sites;
    std::vector<std::string> &m_lost;
    std::map<std::string, std::string> m_aliases;  // entry as JSON -> its name
    std::vector<std::pair<std::string, Json>> m_entries;
    std::set<std::string> m_foreign;
    std::set<ScalingKind> m_scalings;
    Json m_approximator = Json::object(), m_room = Json::object(), m_quantizers = Json::object();
};

}  // namespace

Json lqerConfigOf(const QuantizationRecipe &recipe, std::span<const LinearSite> sites, std::vector<std::string> &lost)
{
    return ConfigWriter(recipe, sites, lost).write();
}

}  // namespace lqer
