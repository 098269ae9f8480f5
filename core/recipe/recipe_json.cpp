// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <initializer_list>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/atomic_file.h"
#include "core/recipe/quantization_recipe.h"
#include "core/recipe/settings_fields.h"

namespace lqer {

namespace {

constexpr std::uint64_t fileLimit = 16ULL << 20;
constexpr std::int64_t rankLimit = 1'000'000'000;  // any layer; the real limit needs the model and is check()'s
constexpr std::int64_t blockLimit = 1'000'000;

// Reads a recipe and keeps every fault with its place instead of stopping at the first.
class RecipeParser {
public:
    QuantizationRecipe parse(const Json &json);
    std::vector<RecipeProblem> problems;

private:
    template <typename Work>
    bool attempt(const JsonReader &place, const Work &work);
    void knownKeys(const JsonReader &object, const std::vector<std::string> &known);
    void readSettings(const JsonReader &object, LayerSettings &settings);
    void readAttention(const JsonReader &object, AttentionSettings &settings);
    RecipeRule readRule(const JsonReader &object);
    void readLayers(const JsonReader &object, QuantizationRecipe &recipe);
};

FormatSpec readFormat(const JsonReader &json)
{
    return json.value().isString() ? FormatSpec::parse(json.string()) : FormatSpec::fromJson(json);
}

std::vector<std::string> settingsKeys(std::initializer_list<const char *> more)
{
    std::vector<std::string> keys = {"quantize", "scaling", "rank"};
    for (const FormatField &field : formatFields)
        keys.emplace_back(field.key);
    keys.insert(keys.end(), more.begin(), more.end());
    return keys;
}

// Runs work(); an Error becomes a problem. The reader was given no file name, so a message starts with its key path if it has
// one.
template <typename Work>
bool RecipeParser::attempt(const JsonReader &place, const Work &work)
{
    try {
        work();
        return true;
    } catch (const Error &error) {
        std::string where = place.path();
        std::string message = error.what();
        const std::size_t end = message.find("': ");
        if (message.starts_with("key '") && end != std::string::npos) {
            where = message.substr(5, end - 5);
            message = message.substr(end + 3);
        }
        problems.push_back({where, message, RecipeProblem::Severity::Error});
        return false;
    }
}

void RecipeParser::knownKeys(const JsonReader &object, const std::vector<std::string> &known)
{
    for (const auto &[key, value] : object.value().asObject()) {
        if (std::ranges::find(known, key) != known.end())
            continue;
        const std::string near = nearest(key, known);
        const std::string place = object.path().empty() ? escaped(key) : fmt::format("{}.{}", object.path(), escaped(key));
        problems.push_back({place,
                            near.empty() ? fmt::format("unknown key; known are: {}", fmt::join(known, ", "))
                                         : fmt::format("unknown key; did you mean '{}'?", near),
                            RecipeProblem::Severity::Error});
    }
}

void RecipeParser::readSettings(const JsonReader &object, LayerSettings &settings)
{
    for (const FormatField &field : formatFields) {
        if (object.has(field.key)) {
            const JsonReader member = object[field.key];
            attempt(member, [&] { settings.*field.stated = readFormat(member); });
        }
    }
    if (object.has("quantize"))
        attempt(object["quantize"], [&] { settings.quantize = object["quantize"].boolean(); });
    if (object.has("scaling"))
        attempt(object["scaling"], [&] { settings.scaling = scalingFromString(object["scaling"].string()); });
    if (object.has("rank"))
        attempt(object["rank"], [&] { settings.rank = object["rank"].integer(0, rankLimit); });
}

void RecipeParser::readAttention(const JsonReader &object, AttentionSettings &settings)
{
    if (!object.has("attention"))
        return;
    const JsonReader operands = object["attention"];
    std::vector<std::string> known;
    attempt(operands, [&] {
        for (const AttentionField &field : attentionFields) {
            known.emplace_back(field.key);
            if (operands.has(field.key)) {
                const JsonReader member = operands[field.key];
                attempt(member, [&] { settings.*field.stated = readFormat(member); });
            }
        }
        knownKeys(operands, known);
    });
}

RecipeRule RecipeParser::readRule(const JsonReader &object)
{
    RecipeRule rule;
    attempt(object, [&] {
        if (object.has("pattern"))
            attempt(object["pattern"], [&] { rule.selector.pattern = NamePattern(object["pattern"].string()); });
        if (object.has("roles")) {
            attempt(object["roles"], [&] {
                const JsonReader roles = object["roles"];
                for (std::size_t i = 0; i < roles.size(); ++i)
                    attempt(roles.at(i), [&] { rule.selector.roles.push_back(linearRoleFromString(roles.at(i).string())); });
            });
        }
        if (object.has("blocks")) {
            attempt(object["blocks"], [&] {
                const JsonReader blocks = object["blocks"];
                for (std::size_t i = 0; i < blocks.size(); ++i) {
                    attempt(blocks.at(i), [&] {
                        const JsonReader range = blocks.at(i);
                        if (range.size() != 2)
                            range.fail("must be a list [first, last] of two block numbers");
                        const std::int64_t first = range.at(0).integer(0, blockLimit);
                        rule.selector.blocks.push_back({first, range.at(1).integer(first, blockLimit)});
                    });
                }
            });
        }
        readSettings(object, rule.settings);
        readAttention(object, rule.attention);
        knownKeys(object, settingsKeys({"pattern", "roles", "blocks", "attention"}));
    });
    return rule;
}

void RecipeParser::readLayers(const JsonReader &object, QuantizationRecipe &recipe)
{
    if (!object.value().isObject())
        object.fail("must be an object {...} from module names to settings");
    for (const auto &[name, value] : object.value().asObject()) {
        const JsonReader settings(value, {}, fmt::format("layers['{}']", escaped(name)));
        attempt(settings, [&] {
            readSettings(settings, recipe.layers[name]);
            knownKeys(settings, settingsKeys({}));
        });
    }
}

QuantizationRecipe RecipeParser::parse(const Json &json)
{
    QuantizationRecipe recipe;
    const JsonReader root(json, {});
    attempt(root, [&] {
        const std::int64_t version = root["version"].integer(1, std::numeric_limits<std::int64_t>::max());
        if (version > QuantizationRecipe::currentVersion)
            root["version"].fail(fmt::format("version {} is newer than this program, which knows up to {}", version,
                                             QuantizationRecipe::currentVersion));
        if (root.has("name"))
            attempt(root["name"], [&] { recipe.name = root["name"].string(); });
        if (root.has("defaults")) {
            attempt(root["defaults"], [&] {
                readSettings(root["defaults"], recipe.defaults);
                readAttention(root["defaults"], recipe.attention);
                knownKeys(root["defaults"], settingsKeys({"attention"}));
            });
        }
        if (root.has("rules")) {
            attempt(root["rules"], [&] {
                for (std::size_t i = 0; i < root["rules"].size(); ++i)
                    recipe.rules.push_back(readRule(root["rules"].at(i)));
            });
        }
        if (root.has("layers"))
            attempt(root["layers"], [&] { readLayers(root["layers"], recipe); });
        knownKeys(root, {"version", "name", "defaults", "rules", "layers"});
    });
    return recipe;
}

void writeSettings(Json &object, const LayerSettings &settings)
{
    if (settings.quantize)
        object.set("quantize", *settings.quantize);
    for (const FormatField &field : formatFields) {
        if (const auto &stated = settings.*field.stated)
            object.set(field.key, stated->toJson());
    }
    if (settings.scaling)
        object.set("scaling", toString(*settings.scaling));
    if (settings.rank)
        object.set("rank", static_cast<std::int64_t>(*settings.rank));
}

void writeAttention(Json &object, const AttentionSettings &settings)
{
    if (settings.isEmpty())
        return;
    Json operands = Json::object();
    for (const AttentionField &field : attentionFields) {
        if (const auto &stated = settings.*field.stated)
            operands.set(field.key, stated->toJson());
    }
    object.set("attention", std::move(operands));
}

Json ruleToJson(const RecipeRule &rule)
{
    Json object = Json::object();
    object.set("pattern", rule.selector.pattern.text());
    if (!rule.selector.roles.empty()) {
        Json roles = Json::array();
        for (const LinearRole role : rule.selector.roles)
            roles.append(toString(role));
        object.set("roles", std::move(roles));
    }
    if (!rule.selector.blocks.empty()) {
        Json blocks = Json::array();
        for (const LayerRange &range : rule.selector.blocks)
            blocks.append(Json::Array{range.first, range.last});
        object.set("blocks", std::move(blocks));
    }
    writeSettings(object, rule.settings);
    writeAttention(object, rule.attention);
    return object;
}

}  // namespace

Json QuantizationRecipe::toJson() const
{
    Json json = Json::object();
    json.set("version", currentVersion);
    json.set("name", name);
    Json stated = Json::object();
    writeSettings(stated, defaults);
    writeAttention(stated, attention);
    json.set("defaults", std::move(stated));
    Json list = Json::array();
    for (const RecipeRule &rule : rules)
        list.append(ruleToJson(rule));
    json.set("rules", std::move(list));
    Json own = Json::object();
    for (const auto &[layer, settings] : layers) {
        Json object = Json::object();
        writeSettings(object, settings);
        own.set(layer, std::move(object));
    }
    json.set("layers", std::move(own));
    return json;
}

QuantizationRecipe QuantizationRecipe::fromJson(const Json &json, const std::string &file, std::vector<RecipeProblem> *problems)
{
    RecipeParser parser;
    QuantizationRecipe recipe = parser.parse(json);
    if (problems) {
        problems->insert(problems->end(), parser.problems.begin(), parser.problems.end());
    } else if (!parser.problems.empty()) {
        const RecipeProblem &first = parser.problems.front();
        const std::size_t others = parser.problems.size() - 1;
        throw Error(ErrorCode::Format, file, first.place.empty() ? std::string() : fmt::format("key '{}'", first.place),
                    others ? fmt::format("{} (and {} more)", first.message, others) : first.message);
    }
    return recipe;
}

QuantizationRecipe QuantizationRecipe::read(const std::string &path, std::vector<RecipeProblem> *problems)
{
    return fromJson(readJsonFile(path, fileLimit), path, problems);
}

void QuantizationRecipe::write(const std::string &path) const
{
    writeFileAtomically(path, toJson().dump(2) + "\n");
}

}  // namespace lqer
