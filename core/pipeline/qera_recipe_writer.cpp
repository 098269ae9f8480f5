// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <fmt/format.h>
#include <re2/re2.h>

#include "core/base/error.h"
#include "core/pipeline/qera_recipe.h"
#include "core/quant/quantizer.h"

namespace lqer {

namespace {

// The parameters that QERA's quantizers take, in the order of its files.
const std::map<std::string, std::vector<std::string>, std::less<>> &quantizerKeys()
{
    static const std::map<std::string, std::vector<std::string>, std::less<>> keys = {
        {"mxint", {"width", "block_size", "block_axis"}},
        {"block_fp", {"width", "exponent_width", "exponent_bias", "block_size", "skip_first_dim"}},
        {"normalfloat", {"num_bits", "block_size"}},
        {"minifloat", {"width", "exponent_width", "exponent_bias", "round_mode"}},
    };
    return keys;
}

class Writing {
public:
    Writing(const QuantizationRecipe &recipe, std::span<const LinearSite> sites, std::vector<std::string> &lost)
        : m_recipe(recipe), m_sites(sites), m_lost(lost)
    { }
    Json run();

private:
    // By what a key of qera_config stands for: the name of an entry, or a mode.
    using Meanings = std::vector<std::pair<std::string, std::string>>;

    void lose(const std::string &line)
    {
        if (m_told.insert(line).second)
            m_lost.push_back(line);
    }
    Json quantizer(const FormatSpec &format);
    std::string entryName(const Json &entry, std::string_view stem);
    Json linearEntry(const LinearSite &site, const LayerPlan &plan);
    Json productEntry(const FormatSpec &left, const FormatSpec &right);
    Json patterns(const Meanings &meanings) const;
    void scalings(Json &config);

    const QuantizationRecipe &m_recipe;
    std::span<const LinearSite> m_sites;
    std::vector<std::string> &m_lost;
    std::set<std::string> m_told;
    std::vector<std::pair<std::string, Json>> m_entries;
};

Json Writing::quantizer(const FormatSpec &format)
{
    if (format.isPassthrough())
        return Json::object().set("name", "bypass");
    const auto keys = quantizerKeys().find(format.name);
    if (keys == quantizerKeys().end())
        throw Error(ErrorCode::Unsupported, fmt::format("QERA has no number format '{}'", shortName(format)));
    const Json all = withDefaults(format).toJson();
    Json json = Json::object().set("name", format.name);
    for (const std::string &key : keys->second) {
        const Json *value = all.find(key);
        json.set(key, !value || *value == Json("none") ? Json() : *value);
    }
    for (const FormatParameter &parameter : findFormat(format.name)->parameters)
        if (std::ranges::find(keys->second, parameter.name) == keys->second.end()
            && withDefaults(format).parameters.at(parameter.name) != parameter.fallback)
            lose(fmt::format("{}: QERA has no {} in it", shortName(format), parameter.name));
    return json;
}

// Entries that are the same have one name.
std::string Writing::entryName(const Json &entry, std::string_view stem)
{
    std::size_t number = 1;
    for (const auto &[name, known] : m_entries) {
        if (known == entry)
            return name;
        number += name.starts_with(stem) ? 1 : 0;
    }
    m_entries.emplace_back(fmt::format("{}-{}", stem, number), entry);
    return m_entries.back().first;
}

Json Writing::linearEntry(const LinearSite &site, const LayerPlan &plan)
{
    Json entry = Json::object().set("rank", plan.rank).set("name", "qera").set("is_ptq", true);
    if (!plan.quantize)
        return entry.set("x_quantizer", quantizer({}))
            .set("w_quantizer", quantizer({}))
            .set("b_quantizer", quantizer({}))
            .set("bypass", true);
    const LinearFormats &formats = plan.formats;
    entry.set("x_quantizer", quantizer(formats.activation))
        .set("w_quantizer", quantizer(formats.weight))
        .set("b_quantizer", quantizer(formats.bias));
    if (formats.xa != formats.activation)
        entry.set("A_out_quantizer", quantizer(formats.xa));
    if (formats.xab != formats.activation)
        entry.set("B_out_quantizer", quantizer(formats.xab));
    if (plan.rank > 0 && !formats.a.isPassthrough())
        lose(fmt::format("'{}' and others: QERA does not quantize A ({})", site.name, shortName(formats.a)));
    if (plan.rank > 0 && withDefaults(formats.b) != withDefaults(formats.activation))
        lose(fmt::format("'{}' and others: QERA's B has the format of the activations, not {}", site.name, shortName(formats.b)));
    return entry;
}

Json Writing::productEntry(const FormatSpec &left, const FormatSpec &right)
{
    return Json::object().set("name", "flexible").set("x_quantizer", quantizer(left)).set("w_quantizer", quantizer(right));
}

// A key for all blocks where what it stands for is the same in all, else one for each name. A name may end in alternatives in
// brackets.
Json Writing::patterns(const Meanings &meanings) const
{
    std::map<std::string, std::set<std::string>> general;
    const auto generalised = [](std::string name) {
        RE2::GlobalReplace(&name, R"(\\\.[0-9]+\\\.)", R"(\\.[0-9]+\\.)");
        return name;
    };
    for (const auto &[key, meaning] : meanings)
        general[generalised(key)].insert(meaning);
    Json json = Json::object();
    for (const auto &[key, meaning] : meanings)
        json.set(general.at(generalised(key)).size() == 1 ? generalised(key) : key, meaning);
    return json;
}

void Writing::scalings(Json &config)
{
    static const std::map<ScalingKind, std::string> modes = {{ScalingKind::Identity, "identity"},
                                                             {ScalingKind::MeanAbs, "lqer"},
                                                             {ScalingKind::Diagonal, "diag"},
                                                             {ScalingKind::Exact, "rxx"}};
    std::map<std::string, ScalingKind> inputs;
    std::set<ScalingKind> used;
    for (const LinearSite &site : m_sites) {
        const LayerPlan plan = m_recipe.planFor(site);
        if (!plan.quantize || plan.rank == 0)
            continue;
        used.insert(plan.scaling);
        const auto [known, isNew] = inputs.emplace(site.activationSite, plan.scaling);
        if (known->second != plan.scaling)
            lose(fmt::format("'{}': QERA has one scaling for layers that share an input, that of '{}'", site.name,
                             site.activationSite));
    }
    config.set("disable_qera", used.empty());
    config.set("qera_scaling_mode", used.size() > 1 ? "mixed" : used.empty() ? "identity" : modes.at(*used.begin()));
    config.set("qera_sqrtm_implementation", "blocked").set("qera_sqrtm_num_iters", 100).set("qera_scaling_mode_map", Json());
    if (used.size() < 2)
        return;
    if (used.contains(ScalingKind::MeanAbs))
        lose("QERA's mixed mode does not know the scaling lqer; this program reads it");
    Meanings meanings;
    for (const LinearSite &site : m_sites)
        if (site.name == site.activationSite)
            meanings.emplace_back(RE2::QuoteMeta(site.name),
                                  inputs.contains(site.name) ? modes.at(inputs.at(site.name)) : "identity");
    config.set("qera_scaling_mode_map", patterns(meanings));
}

Json Writing::run()
{
    Json config = Json::object();
    for (const char *key : {"model_name", "qera_dtype", "eval_dtype", "device_map"})
        config.set(key, Json());
    config.set("qera_dtype", "float32")
        .set("eval_dtype", "bfloat16")
        .set("device_map", "auto-balanced")
        .set("num_workers", 8)
        .set("output_dir", Json());
    config.set("disable_perplexity_eval", false).set("disable_lm_eval", false).set("overwrite_output_dir", Json());
    config.set("AB_dict", Json())
        .set("calibration_set", "slim_pajama_6b")
        .set("num_calibration_samples", 256)
        .set("perplexity_eval_batch_size", 4);
    config.set("perplexity_eval_set", "wikitext2").set("perplexity_max_seq_length", 2048);
    config.set("lm_eval_tasks",
               Json(Json::Array{"arc_easy", "lambada_openai", "piqa", "winogrande", "arc_challenge", "boolq", "openbookqa"}));
    config.set("lm_eval_batch_size", 4).set("lm_eval_num_fewshot", 0).set("max_position_embeddings", Json());
    scalings(config);

    Meanings meanings;
    const ModelPlan planned = m_recipe.planFor(m_sites);
    for (const LinearSite &site : m_sites)
        meanings.emplace_back(RE2::QuoteMeta(site.name), entryName(linearEntry(site, planned.layers.at(site.name)), "default"));
    for (const auto &[block, plan] : planned.attention) {
        const std::string first = entryName(productEntry(plan.query, plan.key), "default-matmul");
        const std::string second = entryName(productEntry(plan.probabilities, plan.value), "default-matmul");
        const std::string name = RE2::QuoteMeta(attentionModule(m_sites, block));
        if (first == second) {
            meanings.emplace_back(name + R"(\.(matmul_0|matmul_1|bmm_0|bmm_1))", first);
        } else {
            meanings.emplace_back(name + R"(\.(matmul_0|bmm_0))", first);
            meanings.emplace_back(name + R"(\.(matmul_1|bmm_1))", second);
        }
    }
    Json layers = patterns(meanings);
    for (auto &[name, entry] : m_entries)
        layers.set(name, std::move(entry));
    return config.set("qera_config", std::move(layers));
}

}  // namespace

Json qeraConfigOf(const QuantizationRecipe &recipe, std::span<const LinearSite> sites, std::vector<std::string> &lost)
{
    if (sites.empty())
        throw Error(ErrorCode::Argument, "QERA's configuration needs a model: its patterns name the layers one by one");
    return Writing(recipe, sites, lost).run();
}

}  // namespace lqer
