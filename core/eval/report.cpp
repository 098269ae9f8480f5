// SPDX-License-Identifier: Apache-2.0
#include "core/eval/report.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "core/base/error.h"

namespace lqer {

namespace {

template <typename Part>
void writePart(Json &json, const char *key, const std::optional<Part> &part)
{
    if (part)
        json.set(key, part->toJson());
}

template <typename Part>
void readPart(const JsonReader &json, const char *key, std::optional<Part> &part)
{
    if (json.has(key))
        part = Part::fromJson(json[key]);
}

}  // namespace

Json EvaluationReport::toJson() const
{
    Json json = Json::object();
    json.set("version", currentVersion);
    json.set("title", title);
    json.set("model", model);
    json.set("fingerprint", fingerprint);
    json.set("calibration", calibration);
    json.set("created", created);
    writePart(json, "recipe", recipe);
    if (base)
        json.set("base", Json::object().set("path", base->path).set("description", base->description).set("fingerprint", base->fingerprint));
    writePart(json, "original", original);
    writePart(json, "perplexity", perplexity);
    writePart(json, "divergence", divergence);
    writePart(json, "tasks", tasks);
    writePart(json, "footprint", footprint);
    Json list = Json::array();
    for (const LayerError &layer : layers)
        list.append(layer.toJson());
    json.set("layers", std::move(list));
    return json;
}

EvaluationReport EvaluationReport::fromJson(const Json &value, const std::string &file)
{
    const JsonReader json(value, file);
    const std::int64_t version = json["version"].integer(1, std::numeric_limits<std::int64_t>::max());
    if (version > currentVersion)
        throw Error(ErrorCode::Unsupported, file, "key 'version'",
                    fmt::format("report of version {}, this program knows up to {}", version, currentVersion));
    EvaluationReport report;
    report.title = json["title"].string();
    report.model = json["model"].string();
    report.fingerprint = json["fingerprint"].string();
    report.calibration = json["calibration"].string();
    report.created = json["created"].string();
    if (json.has("recipe"))
        report.recipe = QuantizationRecipe::fromJson(json["recipe"].value(), file + ", recipe");
    if (json.has("base"))
        report.base = ReportedBase{json["base"]["path"].string(), json["base"]["description"].string(), json["base"]["fingerprint"].string()};
    readPart(json, "original", report.original);
    readPart(json, "perplexity", report.perplexity);
    readPart(json, "divergence", report.divergence);
    readPart(json, "tasks", report.tasks);
    readPart(json, "footprint", report.footprint);
    const JsonReader layers = json["layers"];
    for (std::size_t i = 0; i < layers.size(); ++i)
        report.layers.push_back(LayerError::fromJson(layers.at(i)));
    return report;
}

std::string shortReportName(const EvaluationReport &report)
{
    if (!report.recipe)
        return "original";
    bool corrected = false;
    if (report.footprint)
        corrected = std::any_of(report.footprint->layers.begin(), report.footprint->layers.end(), [](const LayerFootprint &layer) { return layer.rank > 0; });
    if (!corrected)
        return "plain";
    const LayerSettings &defaults = report.recipe->defaults;
    const auto otherScaling = [&](const LayerSettings &settings) { return settings.scaling && settings.scaling != defaults.scaling; };
    const bool uniform = std::none_of(report.recipe->rules.begin(), report.recipe->rules.end(), [&](const RecipeRule &rule) { return otherScaling(rule.settings); })
                         && std::none_of(report.recipe->layers.begin(), report.recipe->layers.end(), [&](const auto &layer) { return otherScaling(layer.second); });
    return uniform ? std::string(toString(defaults.scaling.value_or(ScalingKind::Identity))) : report.recipe->name;
}

}  // namespace lqer
