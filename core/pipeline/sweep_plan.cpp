// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/sweep_plan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/pipeline/config_overrides.h"

namespace lqer {

namespace {

constexpr std::size_t mostPoints = 100'000;
constexpr std::array recipeKeys{"quantize", "weight", "activation", "bias", "a", "b", "xa", "xab", "scaling", "rank"};
constexpr std::array dataKeys{"calibration.windows", "calibration.length", "calibration.convention", "calibration.batch", "evaluation.windows", "evaluation.length",
                              "evaluation.convention", "evaluation.weighting", "evaluation.batch", "evaluation.divergence"};

[[noreturn]] void failKey(const std::string &key, const std::string &file)
{
    std::vector<std::string> known(recipeKeys.begin(), recipeKeys.end());
    known.insert(known.end(), dataKeys.begin(), dataKeys.end());
    known.insert(known.end(), {"factors", "attention", "samples", "recipe"});
    const std::string near = nearest(key, known);
    throw Error(ErrorCode::Argument, file, fmt::format("key '{}'", key),
                near.empty() ? fmt::format("is nothing a sweep can set; there are: {}", fmt::join(known, ", ")) : fmt::format("is nothing a sweep can set; did you mean '{}'?", near));
}

// What a key stands for: places in {"recipe": ..., "calibration": ..., "evaluation": ...}, or fields of the recipe's settings.
struct Target {
    std::vector<std::string> places;  // "calibration:windows"
    std::vector<std::string> fields;  // "weight", "attention:query"
    std::string parameter;            // of these fields: ":width", or ""
};

Target targetOf(const std::string &key)
{
    const auto isIn = [&](const auto &list, std::string_view wanted) { return std::ranges::find(list, wanted) != list.end(); };
    const std::string first = key.substr(0, key.find('.'));
    if (key == "samples")
        return {{"calibration:windows"}, {}, {}};
    if (key.find(':') != std::string::npos)
        return {{key}, {}, {}};
    std::string path = key;
    std::ranges::replace(path, '.', ':');
    if (isIn(dataKeys, key))
        return {{path}, {}, {}};
    Target target;
    target.parameter = path.substr(first.size());
    if (first == "factors")
        target.fields = {"a", "b"};
    else if (first == "attention")
        target.fields = {"attention:query", "attention:key", "attention:probabilities", "attention:value"};
    else if (isIn(recipeKeys, first))
        target.fields = {first};
    return target;
}

Json valueOf(std::string_view text)
{
    if (text == "true" || text == "false")
        return text == "true";
    std::int64_t integer = 0;
    if (const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), integer); error == std::errc() && end == text.data() + text.size())
        return integer;
    double number = 0;
    if (const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number); error == std::errc() && end == text.data() + text.size())
        return number;
    return text;
}

std::string labelOf(const Json &value)
{
    return value.isString() ? value.asString() : value.dump();
}

// A format that was set by its text and is to have a parameter changed becomes an object that can have it.
void expandFormat(Json &settings, const std::string &field)
{
    const Json *format = findConfigValue(settings, field);
    if (format && format->isString())
        setConfigValue(settings, field, FormatSpec::parse(format->asString()).toJson(), false);
}

Json *member(Json &object, std::string_view key)
{
    for (auto &[name, value] : object.asObject())
        if (name == key)
            return &value;
    return nullptr;
}

// In the recipe's rules and layers wherever they state the field (a rank of 0 there is a layer without a correction and stays), and in its defaults
// if they state it or nothing else does.
void changeRecipe(Json &recipe, const std::string &field, const std::string &parameter, const Json &value)
{
    bool stated = false;
    const auto change = [&](Json &settings) {
        if (!parameter.empty())
            expandFormat(settings, field);
        setConfigValue(settings, field + parameter, value, true);
        stated = true;
    };
    const auto changeIfStated = [&](Json &settings) {
        const Json *found = settings.isObject() ? findConfigValue(settings, field) : nullptr;
        if (found && !(field == "rank" && *found == Json(0)))
            change(settings);
    };
    if (Json *rules = member(recipe, "rules"); rules && rules->isArray())
        for (Json &rule : rules->asArray())
            changeIfStated(rule);
    if (Json *layers = member(recipe, "layers"); layers && layers->isObject())
        for (auto &[name, layer] : layers->asObject())
            changeIfStated(layer);
    if (const Json *defaults = member(recipe, "defaults"); !defaults || !defaults->isObject())
        recipe.set("defaults", Json::object());
    Json &defaults = *member(recipe, "defaults");
    if (!stated || findConfigValue(defaults, field))
        change(defaults);
}

void change(Json &config, const std::string &key, const Json &value, const FindRecipe &findRecipe)
{
    if (key == "recipe") {
        if (!value.isString() && !value.isObject())
            throw Error(ErrorCode::Argument, "a recipe is a name or a table");
        config.set("recipe", value.isString() ? findRecipe(value.asString()).toJson() : value);
        return;
    }
    const Target target = targetOf(key);
    if (target.places.empty() && target.fields.empty())
        failKey(key, {});
    for (const std::string &place : target.places)
        setConfigValue(config, place, value, true);
    for (const std::string &field : target.fields)
        changeRecipe(*member(config, "recipe"), field, target.parameter, value);
}

SweepData dataOf(const Json &config)
{
    constexpr std::int64_t most = 1LL << 40;
    SweepData data;
    for (const char *part : {"calibration", "evaluation"}) {
        if (!config.find(part)->isObject())
            throw Error(ErrorCode::Argument, fmt::format("'{}' is no table", part));
        for (const auto &[key, value] : config.find(part)->asObject())
            if (std::ranges::find(dataKeys, fmt::format("{}.{}", part, key)) == dataKeys.end())
                failKey(fmt::format("{}.{}", part, key), {});
    }
    const JsonReader calibration(*config.find("calibration"), "sweep", "calibration"), evaluation(*config.find("evaluation"), "sweep", "evaluation");
    const auto count = [&](const JsonReader &json, const char *key, std::int64_t least, std::optional<std::int64_t> &field) {
        if (json.has(key))
            field = json[key].integer(least, most);
    };
    for (const auto &[json, text] : {std::pair{&calibration, &data.calibration}, std::pair{&evaluation, &data.evaluation}}) {
        count(*json, "windows", 0, text->windows);
        count(*json, "length", 2, text->length);
        if (json->has("convention"))
            text->convention = windowConventionFromString((*json)["convention"].string());
    }
    data.calibrationBatch = calibration.integer("batch", 1, most, data.calibrationBatch);
    data.evaluationBatch = evaluation.integer("batch", 1, most, data.evaluationBatch);
    data.weighting = lossWeightingFromString(evaluation.string("weighting", std::string(toString(data.weighting))));
    data.divergence = evaluation.boolean("divergence", data.divergence);
    return data;
}

// No layer's rank above what it has or, if `sensible`, above sensibleRank().
QuantizationRecipe withFittingRanks(QuantizationRecipe recipe, std::span<const LinearSite> sites, bool sensible)
{
    if (sensible)
        recipe = withSensibleRanks(recipe, sites);
    for (const LinearSite &site : sites)
        if (const Index most = std::min(site.in, site.out); recipe.planFor(site).rank > most)
            recipe.layers[site.name].rank = most;
    return recipe;
}

bool statesRank(const SweepPlan &plan)
{
    return std::ranges::any_of(plan.axes, [](const SweepAxis &axis) {
        return std::ranges::any_of(axis.choices, [](const SweepChoice &choice) {
            return std::ranges::any_of(choice.changes, [](const auto &entry) { return entry.first == "rank" && entry.second != Json(0); });
        });
    });
}

SweepChoice choiceFromJson(const std::string &key, const JsonReader &json)
{
    if (!json.value().isObject() || !json.has("set"))
        return {labelOf(json.value()), {{key, json.value()}}};
    SweepChoice choice;
    choice.label = json["label"].string();
    for (const auto &[member, value] : json.value().asObject())
        if (member != "label" && member != "set")
            json[member].fail("unknown key; a choice has label and set");
    if (!json["set"].value().isObject())
        json["set"].fail("is no table");
    for (const auto &[name, value] : json["set"].value().asObject())
        choice.changes.emplace_back(name, value);
    return choice;
}

void checkLabels(const SweepAxis &axis)
{
    if (axis.choices.empty())
        throw Error(ErrorCode::Argument, fmt::format("nothing to vary '{}' over", axis.key));
    std::set<std::string> labels;
    for (const SweepChoice &choice : axis.choices)
        if (!labels.insert(choice.label).second)
            throw Error(ErrorCode::Argument, fmt::format("'{}' is to be '{}' twice", axis.key, choice.label));
}

}  // namespace

Json SweepPlan::toJson() const
{
    Json over = Json::object();
    for (const SweepAxis &axis : axes) {
        Json list = Json::array();
        for (const SweepChoice &choice : axis.choices) {
            if (choice.changes.size() == 1 && choice.changes.front().first == axis.key && choice.label == labelOf(choice.changes.front().second)) {
                list.append(choice.changes.front().second);
                continue;
            }
            Json set = Json::object();
            for (const auto &[key, value] : choice.changes)
                set.set(key, value);
            list.append(Json::object().set("label", choice.label).set("set", std::move(set)));
        }
        over.set(axis.key, std::move(list));
    }
    Json json = Json::object();
    json.set("version", currentVersion).set("name", name).set("base", base.toJson()).set("calibration", calibration).set("evaluation", evaluation);
    json.set("over", std::move(over));
    if (sensibleRanks)
        json.set("sensible_ranks", *sensibleRanks);
    if (!tasks.empty()) {
        Json names = Json::array();
        for (const std::string &task : tasks)
            names.append(task);
        json.set("tasks", std::move(names)).set("task_limit", taskLimit);
        if (fewShot)
            json.set("few_shot", *fewShot);
    }
    return json;
}

SweepPlan sweepPlanFromJson(const Json &value, const std::string &file, const FindRecipe &findRecipe)
{
    const JsonReader json(value, file);
    if (!value.isObject())
        json.fail("is no table");
    const std::vector<std::string> known{"version", "name", "base", "calibration", "evaluation", "over", "sensible_ranks", "tasks", "task_limit", "few_shot"};
    for (const auto &[key, member] : value.asObject())
        if (std::ranges::find(known, key) == known.end()) {
            const std::string near = nearest(key, known);
            json[key].fail("unknown key" + (near.empty() ? std::string() : fmt::format("; did you mean '{}'?", near)));
        }
    if (json["version"].integer(1, INT64_MAX) > SweepPlan::currentVersion)
        throw Error(ErrorCode::Unsupported, file, "key 'version'", "this program knows version 1");
    SweepPlan plan;
    plan.name = json.string("name", "sweep");
    plan.base = json["base"].value().isString() ? findRecipe(json["base"].string()) : QuantizationRecipe::fromJson(json["base"].value(), file + ", base");
    for (const auto &[key, place] : {std::pair{"calibration", &plan.calibration}, std::pair{"evaluation", &plan.evaluation}})
        if (json.has(key)) {
            if (!json[key].value().isObject())
                json[key].fail("is no table");
            *place = json[key].value();
        }
    if (!json["over"].value().isObject())
        json["over"].fail("is no table of lists");
    for (const auto &[key, list] : json["over"].value().asObject()) {
        const JsonReader choices = json["over"][key];
        SweepAxis axis{key, {}};
        for (std::size_t i = 0; i < choices.size(); ++i)
            axis.choices.push_back(choiceFromJson(key, choices.at(i)));
        checkLabels(axis);
        plan.axes.push_back(std::move(axis));
    }
    if (json.has("sensible_ranks"))
        plan.sensibleRanks = json["sensible_ranks"].boolean();
    if (json.has("tasks"))
        for (std::size_t i = 0; i < json["tasks"].size(); ++i)
            plan.tasks.push_back(json["tasks"].at(i).string());
    plan.taskLimit = json.integer("task_limit", 0, INT64_MAX, 0);
    if (json.has("few_shot"))
        plan.fewShot = static_cast<int>(json["few_shot"].integer(0, 1000));
    return plan;
}

std::vector<std::string> splitFormats(std::string_view text)
{
    std::vector<std::string> parts;
    std::size_t begin = 0;
    while (begin <= text.size()) {
        const std::size_t end = std::min(text.find(',', begin), text.size());
        const std::string part(text.substr(begin, end - begin));
        if (begin > 0 && part.find('=') != std::string::npos && part.find(':') == std::string::npos)
            parts.back() += "," + part;
        else
            parts.push_back(part);
        begin = end + 1;
    }
    return parts;
}

SweepAxis parseSweepAxis(std::string_view text)
{
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size())
        throw Error(ErrorCode::Argument, fmt::format("'{}' is not KEY=VALUE,VALUE,...", escaped(text)));
    SweepAxis axis{std::string(text.substr(0, equals)), {}};
    for (const std::string &part : splitFormats(text.substr(equals + 1)))
        axis.choices.push_back({part, {{axis.key, valueOf(part)}}});
    checkLabels(axis);
    return axis;
}

std::vector<SweepPoint> sweepPoints(const SweepPlan &plan, std::span<const LinearSite> sites, const FindRecipe &findRecipe)
{
    std::size_t count = 1;
    for (const SweepAxis &axis : plan.axes) {
        checkLabels(axis);
        count *= axis.choices.size();
        if (count > mostPoints)
            throw Error(ErrorCode::Argument, fmt::format("more than {} combinations", mostPoints));
    }
    const bool sensible = plan.sensibleRanks.value_or(!statesRank(plan));
    Json base = Json::object();
    base.set("recipe", plan.base.toJson()).set("calibration", plan.calibration).set("evaluation", plan.evaluation);
    std::vector<SweepPoint> points;
    for (std::size_t number = 0; number < count; ++number) {
        Json config = base;
        SweepPoint point;
        std::string name;
        std::size_t rest = number, block = count;
        for (const SweepAxis &axis : plan.axes) {
            block /= axis.choices.size();
            const SweepChoice &choice = axis.choices[rest / block];
            rest %= block;
            point.labels.push_back(choice.label);
            // "rank 16, scaling exact, W4A8"
            name += fmt::format("{}{}", name.empty() ? "" : ", ", choice.changes.size() == 1 && choice.changes.front().first == axis.key ? fmt::format("{} {}", axis.key, choice.label) : choice.label);
            try {
                for (const auto &[key, value] : choice.changes)
                    change(config, key, value, findRecipe);
            } catch (const Error &error) {
                throw Error(error.code(), fmt::format("sweep over '{}', '{}': {}", axis.key, choice.label, error.what()));
            }
        }
        point.recipe = QuantizationRecipe::fromJson(*config.find("recipe"), fmt::format("sweep, {}", name.empty() ? "base" : name));
        point.recipe = withFittingRanks(std::move(point.recipe), sites, sensible);
        if (!name.empty())
            point.recipe.name = std::move(name);
        point.data = dataOf(config);
        points.push_back(std::move(point));
    }
    return points;
}

}  // namespace lqer
