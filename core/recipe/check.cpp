// SPDX-License-Identifier: Apache-2.0
#include "core/recipe/check.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/quant/quantizer.h"
#include "core/recipe/settings_fields.h"

namespace lqer {

namespace {

using Severity = RecipeProblem::Severity;

constexpr std::size_t listedLayers = 8;  // named in one message; the others are counted

const Shape attentionShape = {2, 16, 16};  // heads and two more axes: which formats can be used depends on no extent

std::string rulePlace(std::size_t rule)
{
    return fmt::format("rules[{}]", rule);
}

std::string layerPlace(const std::string &layer)
{
    return fmt::format("layers['{}']", escaped(layer));
}

// The same finding for several layers, told once.
struct Finding {
    std::string place;
    std::string headline;
    Severity severity;
    std::vector<std::string> layers;
};

// What calibration must have collected for a scaling.
std::string_view statisticsOf(ScalingKind scaling)
{
    switch (scaling) {
    case ScalingKind::Identity: break;
    case ScalingKind::MeanAbs: return "mean magnitudes of the inputs";
    case ScalingKind::Diagonal: return "mean squares of the inputs";
    case ScalingKind::Exact: return "autocorrelation matrices of the inputs";
    }
    return "nothing";
}

class RecipeCheck {
public:
    RecipeCheck(const QuantizationRecipe &recipe, std::span<const LinearSite> sites, const HasStatistics &hasStatistics)
        : m_recipe(recipe), m_sites(sites), m_hasStatistics(hasStatistics)
    {
    }
    std::vector<RecipeProblem> run();

private:
    void add(std::string place, Severity severity, std::string headline, std::string layer = {});
    void checkPatterns();
    void checkFormats(const std::string &place, const LayerSettings &settings, const AttentionSettings *attention);
    void checkFormat(const std::string &place, const FormatSpec &format, const Shape &shape = {});
    void checkLayerNames();
    void checkRuleEffects();
    void checkSite(const LinearSite &site);
    void checkRank(const LinearSite &site, const LayerPlan &plan);
    void checkShapes(const LinearSite &site, const LayerPlan &plan);
    void checkShape(const LinearSite &site, const FormatSpec &format, const std::string &place, const Shape &shape, bool blocks);
    // Where what holds for the layer was stated: the strongest place for which states(settings) is true.
    template <typename States>
    std::string placeOf(const LinearSite &site, const States &states) const;
    template <typename T>
    std::string placeOf(const LinearSite &site, std::optional<T> LayerSettings::*field, std::string_view key) const
    {
        return placeOf(site, [&](const LayerSettings &settings) { return (settings.*field).has_value(); }) + "."
            + std::string(key);
    }

    QuantizationRecipe m_recipe;
    std::span<const LinearSite> m_sites;
    const HasStatistics &m_hasStatistics;
    std::set<std::size_t> m_unreadable;  // rules
    std::set<std::string> m_badFormats;  // by FormatSpec::toString(), already reported
    std::vector<Finding> m_findings;
};

void RecipeCheck::add(std::string place, Severity severity, std::string headline, std::string layer)
{
    auto finding = std::ranges::find_if(
        m_findings, [&](const Finding &f) { return f.place == place && f.severity == severity && f.headline == headline; });
    if (finding == m_findings.end())
        finding = m_findings.insert(m_findings.end(), {std::move(place), std::move(headline), severity, {}});
    if (!layer.empty())
        finding->layers.push_back(std::move(layer));
}

// A rule whose pattern cannot be read is reported once and decides nothing in what follows.
void RecipeCheck::checkPatterns()
{
    for (std::size_t i = 0; i < m_recipe.rules.size(); ++i) {
        RecipeRule &rule = m_recipe.rules[i];
        if (rule.selector.pattern.error().empty())
            continue;
        add(rulePlace(i) + ".pattern", Severity::Error,
            fmt::format("'{}': {}", escaped(rule.selector.pattern.text(), 80), rule.selector.pattern.error()));
        rule = RecipeRule();
        m_unreadable.insert(i);
    }
}

// shape: what the format will be used on, if it is known already.
void RecipeCheck::checkFormat(const std::string &place, const FormatSpec &format, const Shape &shape)
{
    try {
        const auto quantizer = makeQuantizer(format);
        if (!shape.empty())
            quantizer->bitsPerElement(shape);
    } catch (const Error &error) {
        m_badFormats.insert(format.toString());
        add(place, Severity::Error, error.what());
    }
}

void RecipeCheck::checkFormats(const std::string &place, const LayerSettings &settings, const AttentionSettings *attention)
{
    for (const FormatField &field : formatFields) {
        if (const auto &stated = settings.*field.stated)
            checkFormat(fmt::format("{}.{}", place, field.key), *stated);
    }
    if (settings.rank && *settings.rank < 0)
        add(place + ".rank", Severity::Error, fmt::format("rank {} is negative", *settings.rank));
    if (!attention)
        return;
    for (const AttentionField &field : attentionFields) {
        if (const auto &stated = attention->*field.stated)
            checkFormat(fmt::format("{}.attention.{}", place, field.key), *stated, attentionShape);
    }
}

void RecipeCheck::checkLayerNames()
{
    std::vector<std::string> names;
    for (const LinearSite &site : m_sites)
        names.push_back(site.name);
    for (const auto &[name, settings] : m_recipe.layers) {
        if (std::ranges::find(names, name) != names.end())
            continue;
        const std::string near = nearest(name, names);
        add(layerPlace(name), Severity::Error,
            near.empty() ? "the model has no such linear layer"
                         : fmt::format("the model has no such linear layer; did you mean '{}'?", near));
    }
}

template <typename States>
std::string RecipeCheck::placeOf(const LinearSite &site, const States &states) const
{
    if (const auto own = m_recipe.layers.find(site.name); own != m_recipe.layers.end() && states(own->second))
        return layerPlace(site.name);
    for (std::size_t i = m_recipe.rules.size(); i-- > 0;) {
        if (states(m_recipe.rules[i].settings) && m_recipe.rules[i].selector.matches(site))
            return rulePlace(i);
    }
    return "defaults";
}

// Rules that match nothing, state nothing or lose every field to something stronger.
void RecipeCheck::checkRuleEffects()
{
    std::set<std::int64_t> blocks;
    for (const LinearSite &site : m_sites) {
        if (site.layer >= 0)
            blocks.insert(site.layer);
    }
    for (std::size_t i = 0; i < m_recipe.rules.size(); ++i) {
        const RecipeRule &rule = m_recipe.rules[i];
        if (m_unreadable.contains(i))
            continue;
        if (rule.settings.isEmpty() && rule.attention.isEmpty()) {
            add(rulePlace(i), Severity::Warning, "the rule states nothing");
            continue;
        }
        bool matchesLayer = false;
        bool decides = false;
        for (const LinearSite &site : m_sites) {
            if (!rule.selector.matches(site))
                continue;
            matchesLayer = true;
            const std::string here = rulePlace(i);
            const auto wins = [&](const auto &isStated) { return isStated(rule.settings) && placeOf(site, isStated) == here; };
            decides = decides || wins([](const LayerSettings &s) { return s.quantize.has_value(); })
                || wins([](const LayerSettings &s) { return s.scaling.has_value(); })
                || wins([](const LayerSettings &s) { return s.rank.has_value(); })
                || std::ranges::any_of(formatFields, [&](const FormatField &field) {
                          return wins([&](const LayerSettings &s) { return (s.*field.stated).has_value(); });
                      });
        }
        const bool matchesAttention = std::ranges::any_of(blocks, [&](std::int64_t block) {
            const std::string module = attentionModule(m_sites, block);
            return !module.empty() && rule.selector.matchesAttention(block, module);
        });
        if (!matchesLayer && !matchesAttention)
            add(rulePlace(i), Severity::Warning,
                fmt::format("pattern '{}' matches nothing in this model", escaped(rule.selector.pattern.text(), 80)));
        else if (!matchesLayer && !rule.settings.isEmpty())
            add(rulePlace(i), Severity::Warning, "the rule has settings for linear layers but matches none");
        else if (!matchesAttention && !rule.attention.isEmpty())
            add(rulePlace(i) + ".attention", Severity::Warning,
                "the rule has formats for attention but matches no attention module");
        else if (!rule.settings.isEmpty() && !decides)
            add(rulePlace(i), Severity::Warning, "later rules or layers' own settings decide everything the rule states");
    }
}

void RecipeCheck::checkRank(const LinearSite &site, const LayerPlan &plan)
{
    const std::string rankPlace = placeOf(site, &LayerSettings::rank, "rank");
    const std::string scalingPlace = placeOf(site, &LayerSettings::scaling, "scaling");
    const std::int64_t most = std::min(site.in, site.out);
    if (plan.rank > most)
        add(rankPlace, Severity::Error, fmt::format("rank {} is above min(in, out)", plan.rank),
            fmt::format("{} ({}x{}: at most {})", site.name, site.out, site.in, most));
    if (plan.rank == 0 && plan.scaling != ScalingKind::Identity)
        add(scalingPlace, Severity::Warning,
            fmt::format("scaling '{}' has no effect where the rank is 0", toString(plan.scaling)), site.name);
    if (plan.rank <= 0)
        return;
    if (plan.formats.weight.isPassthrough())
        add(placeOf(site, &LayerSettings::weight, "weight"), Severity::Warning,
            "the weight keeps its values, so there is no error to correct", site.name);
    if (m_hasStatistics && plan.scaling != ScalingKind::Identity && !m_hasStatistics(site.activationSite, plan.scaling))
        add(scalingPlace, Severity::Error,
            fmt::format("scaling '{}' needs {}, which the statistics do not have", toString(plan.scaling), statisticsOf(plan.scaling)), site.name);
}

// Elements of one row that share a scale, 0 where a row has one scale or none, or where blocks run on from row to row. Read off
// the stored bits, which grow by more than a code where a block begins: true for any format, however it names its blocks.
std::int64_t blockInRow(const Quantizer &quantizer, std::int64_t length)
{
    const auto scaleBits = [&](std::int64_t rows, std::int64_t columns) {
        const auto elements = static_cast<double>(rows) * static_cast<double>(columns);
        return (quantizer.bitsPerElement({rows, columns}) - quantizer.codeBits()) * elements;
    };
    const double oneBlock = scaleBits(1, 1) + 0.5;  // bits are whole: half a bit is room for rounding
    if (length < 2 || scaleBits(1, length) < oneBlock)
        return 0;
    std::int64_t fits = 1;        // columns that need one block
    std::int64_t above = length;  // columns that need more
    while (above - fits > 1) {
        const std::int64_t middle = fits + (above - fits) / 2;
        (scaleBits(1, middle) < oneBlock ? fits : above) = middle;
    }
    const double perBlock = scaleBits(1, fits + 1) - scaleBits(1, fits);
    const std::int64_t blocksPerRow = (length + fits - 1) / fits;
    const double byRows = scaleBits(1, 1) + perBlock * static_cast<double>(fits * blocksPerRow - 1);
    return scaleBits(fits, length) < byRows - 0.5 ? 0 : fits;
}

void RecipeCheck::checkShape(const LinearSite &site, const FormatSpec &format, const std::string &place, const Shape &shape,
                             bool blocks)
{
    if (m_badFormats.contains(format.toString()))
        return;
    try {
        const auto quantizer = makeQuantizer(format);
        quantizer->bitsPerElement(shape);
        const std::int64_t length = shape.back();
        const std::int64_t block = blocks ? blockInRow(*quantizer, length) : 0;
        if (block > 1 && length % block != 0)
            add(place, Severity::Warning,
                fmt::format(
                    "a block of {} does not divide {} input features: the last block of a row holds {} and is padded with "
                    "zeros",
                    block, length, length % block),
                site.name);
    } catch (const Error &error) {
        add(place, Severity::Error, error.what(), site.name);
    }
}

void RecipeCheck::checkShapes(const LinearSite &site, const LayerPlan &plan)
{
    const auto place = [&](std::optional<FormatSpec> LayerSettings::*field, std::string_view key) {
        return placeOf(site, field, key);
    };
    checkShape(site, plan.formats.weight, place(&LayerSettings::weight, "weight"), {site.out, site.in}, true);
    checkShape(site, plan.formats.activation, place(&LayerSettings::activation, "activation"), {1, 1, site.in}, true);
    if (site.hasBias)
        checkShape(site, plan.formats.bias, place(&LayerSettings::bias, "bias"), {site.out}, false);
    const std::int64_t rank = plan.rank;
    if (rank <= 0 || rank > std::min(site.in, site.out))
        return;
    checkShape(site, plan.formats.a, place(&LayerSettings::a, "a"), {site.in, rank}, false);
    checkShape(site, plan.formats.b, place(&LayerSettings::b, "b"), {rank, site.out}, false);
    // Where nobody states them they are the activation's format, which has been looked at.
    if (plan.formats.xa != plan.formats.activation)
        checkShape(site, plan.formats.xa, place(&LayerSettings::xa, "xa"), {1, 1, rank}, false);
    if (plan.formats.xab != plan.formats.activation)
        checkShape(site, plan.formats.xab, place(&LayerSettings::xab, "xab"), {1, 1, site.out}, false);
}

void RecipeCheck::checkSite(const LinearSite &site)
{
    const LayerPlan plan = m_recipe.planFor(site);
    if (!plan.quantize)
        return;
    checkRank(site, plan);
    checkShapes(site, plan);
}

std::vector<RecipeProblem> RecipeCheck::run()
{
    checkPatterns();
    checkFormats("defaults", m_recipe.defaults, &m_recipe.attention);
    for (std::size_t i = 0; i < m_recipe.rules.size(); ++i)
        checkFormats(rulePlace(i), m_recipe.rules[i].settings, &m_recipe.rules[i].attention);
    for (const auto &[name, settings] : m_recipe.layers)
        checkFormats(layerPlace(name), settings, nullptr);
    checkLayerNames();
    checkRuleEffects();
    bool quantizesSomething = false;
    for (const LinearSite &site : m_sites) {
        checkSite(site);
        quantizesSomething = quantizesSomething || m_recipe.planFor(site).quantize;
    }
    if (!quantizesSomething && !m_sites.empty())
        add("defaults.quantize", Severity::Warning, "the recipe quantizes no layer");

    std::vector<RecipeProblem> problems;
    for (const Finding &finding : m_findings) {
        std::string message = finding.headline;
        const std::size_t shown = std::min(finding.layers.size(), listedLayers);
        if (shown > 0)
            message += fmt::format(
                ": {}", fmt::join(finding.layers.begin(), finding.layers.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
        if (finding.layers.size() > shown)
            message += fmt::format(" and {} more", finding.layers.size() - shown);
        problems.push_back({finding.place, message, finding.severity});
    }
    std::ranges::stable_partition(problems, [](const RecipeProblem &problem) { return problem.severity == Severity::Error; });
    return problems;
}

}  // namespace

std::vector<RecipeProblem> check(const QuantizationRecipe &recipe, std::span<const LinearSite> sites,
                                 const HasStatistics &hasStatistics)
{
    return RecipeCheck(recipe, sites, hasStatistics).run();
}

bool isUsable(std::span<const RecipeProblem> problems)
{
    return std::ranges::none_of(problems, [](const RecipeProblem &problem) { return problem.severity == Severity::Error; });
}

void requireUsable(std::span<const RecipeProblem> problems, const std::string &file)
{
    const auto isError = [](const RecipeProblem &problem) { return problem.severity == Severity::Error; };
    const auto first = std::ranges::find_if(problems, isError);
    if (first == problems.end())
        return;
    const auto others = std::ranges::count_if(problems, isError) - 1;
    throw Error(ErrorCode::Argument, file.empty() ? "recipe" : file, first->place,
                others > 0 ? fmt::format("{} (and {} more problems)", first->message, others) : first->message);
}

}  // namespace lqer
