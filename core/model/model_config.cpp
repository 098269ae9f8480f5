// SPDX-License-Identifier: Apache-2.0
#include "core/model/model_config.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/model/architectures/architecture.h"
#include "core/model/architectures/config_fields.h"
#include "core/model/transformer.h"

namespace lqer {

namespace {

// "LlamaForCausalLM" from "architectures", else model_type, for messages.
std::string architectureName(const JsonReader &json)
{
    if (json.has("architectures") && json["architectures"].size() > 0)
        return json["architectures"].at(0).string();
    const Json *type = json.value().find("model_type");
    if (!type || type->isNull())
        return "";
    return type->isString() ? type->asString() : type->dump();
}

const Architecture &chosenArchitecture(const JsonReader &json, const std::string &path)
{
    const Json *type = json.value().find("model_type");
    const Architecture *architecture = type && type->isString() ? findArchitecture(type->asString()) : nullptr;
    bool experts = false;
    for (const std::string_view key : {"num_local_experts", "num_experts", "n_routed_experts", "moe_intermediate_size"})
        experts = experts || json.has(key);
    if (architecture && !experts)
        return *architecture;
    const std::string name = architectureName(json);
    const std::string subject =
        name.empty() ? "a model without 'model_type'" : fmt::format("architecture '{}'", escaped(name, 80));
    throw Error(ErrorCode::Unsupported, path, "key 'model_type'",
                fmt::format("{} is not supported{} (supported: {})", subject,
                            experts ? ": mixture-of-experts is not supported yet" : "",
                            fmt::join(supportedArchitectures(), ", ")));
}

// An id, or the first of a list of ids (LLaMA 3 has several ends). One beyond the vocabulary can never occur and is dropped.
std::optional<std::int32_t> readTokenId(const JsonReader &json, std::string_view key, ModelConfig &config)
{
    if (!json.has(key))
        return std::nullopt;
    const JsonReader value = json[key].value().isArray() ? json[key].at(0) : json[key];
    const std::int64_t id = value.integer(-1, std::numeric_limits<std::int32_t>::max());
    if (id >= config.vocabulary)
        config.warnings.push_back(fmt::format("{} {} is beyond the vocabulary of {}: ignored", key, id, config.vocabulary));
    if (id < 0 || id >= config.vocabulary)
        return std::nullopt;
    return static_cast<std::int32_t>(id);
}

}  // namespace

ModelConfig readModelConfig(const Json &json, const std::string &path)
{
    const JsonReader reader(json, path);
    const Architecture &architecture = chosenArchitecture(reader, path);
    if (reader.has("quantization_config")) {
        const std::string method = reader["quantization_config"].string("quant_method", "an unnamed method");
        failUnsupported(reader["quantization_config"],
                        fmt::format("the checkpoint is already quantized ({}): start from the original weights",
                                    escaped(method, 40)));
    }

    ModelConfig config;
    config.family = architecture.family;
    config.architecture = architectureName(reader);
    const auto &classes = architecture.classes;
    if (std::find(classes.begin(), classes.end(), config.architecture) == classes.end() && reader.has("architectures"))
        config.warnings.push_back(fmt::format("architectures says '{}', model_type '{}': read as {}",
                                              escaped(config.architecture, 80), config.family, classes.front()));
    architecture.readConfig(reader, config);
    config.bosId = readTokenId(reader, "bos_token_id", config);
    config.eosId = readTokenId(reader, "eos_token_id", config);
    return config;
}

}  // namespace lqer
