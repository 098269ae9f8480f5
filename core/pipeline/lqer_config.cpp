// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/lqer_config.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/toml.h"
#include "core/pipeline/config_keys.h"
#include "core/pipeline/config_overrides.h"

namespace lqer {

namespace {

constexpr std::int64_t mostTokens = 1 << 20;  // in a window
constexpr std::int64_t mostWindows = 1 << 30;
constexpr std::int64_t mostLayers = 1'000'000;

const ConfigKeys rootKeys{
    {"project", "enable_profiling", "enable_approximation", "enable_perplexity_evaluation",
        "enable_harness_downstream_evaluation", "checkpoint_path", "overwrite_checkpoint", "tags", "model_name", "wandb",
        "evaluate", "profile", "approximate", "l_config", "q_config", "visualize", "enable_wandb"},
    {"task"}};
const ConfigKeys wandbKeys{{"tags"}, {"project", "entity", "job_type"}};
// "deviec_map" stands so in the template for llama-2-70b.
const std::vector<std::string> deviceKeys{"device_map", "deviec_map", "max_memory", "num_workers", "progress_bar", "padding"};
const ConfigKeys profileKeys{
    {"dataset", "max_length", "batch_size", "num_samples", "num_raw_samples", "dtype", "scaling_mode", "scale_dict"}, deviceKeys};
const ConfigKeys approximateKeys{
    {"name", "chunk_size", "chunk_idx", "approximator"}, {"device", "lqer_svd", "lqer_act", "lqer_sgd", "sgd_svd"}};
const ConfigKeys evaluateKeys{
    {"disable_lqer", "low_rank_dict", "dtype", "perplexity", "harness_downstream", "evaluate_baseline", "hf_quant_method"},
    {"device_map", "max_memory"}};
const ConfigKeys perplexityKeys{{"dataset", "max_length", "batch_size", "num_samples"}, deviceKeys};
const ConfigKeys harnessKeys{{"datasets", "num_fewshot"}, {"no_cache", "batch_size", "device_map", "max_memory"}};
const ConfigKeys visualizeKeys{{"error_T_dict"}, {}};

LqerText textFrom(const JsonReader &table, const ConfigKeys &keys, LqerConfig &config, std::vector<std::string> &ignored)
{
    checkKeys(table, keys, &ignored);
    LqerText text;
    text.dataSet = table["dataset"].string();
    text.maxLength = table.integer("max_length", 2, mostTokens, text.maxLength);
    text.batch = table.integer("batch_size", 1, mostWindows, text.batch);
    text.samples = table.integer("num_samples", 1, mostWindows, 0);
    text.rawSamples = table.integer("num_raw_samples", 1, INT64_MAX, 0);
    if (text.samples > 0 && text.samples < text.batch)
        table["num_samples"].fail(fmt::format("must be at least batch_size, {}, found {}", text.batch, text.samples));
    if (text.samples % text.batch != 0)
        config.notes.push_back(fmt::format("{}.num_samples = {}: whole batches of {} count, {} windows", table.path(),
            text.samples, text.batch, text.samples / text.batch * text.batch));
    return text;
}

// float16 and bfloat16 say what the official code computes in on a GPU.
void noteElementType(const JsonReader &table, std::string_view fallback, LqerConfig &config)
{
    const std::string type = table.string("dtype", std::string(fallback));
    if (type != "float32" && type != "float16" && type != "bfloat16" && type != "float64")
        table["dtype"].fail(fmt::format("must be float32, float16, bfloat16 or float64, found '{}'", escaped(type)));
    if (type != "float32")
        config.notes.push_back(fmt::format(
            "{}.dtype is {}{}: computed in float32 here", table.path(), type, table.has("dtype") ? "" : " by default"));
}

void readProfile(const JsonReader &table, LqerConfig &config, std::vector<std::string> &ignored)
{
    config.profile = textFrom(table, profileKeys, config, ignored);
    if (config.profiling && config.profile.samples == 0)
        table.fail("lacks 'num_samples'");
    const std::string mode = table.string("scaling_mode", "mean(abs())");
    if (mode != "mean(abs())")
        table["scaling_mode"].fail(fmt::format("must be 'mean(abs())', found '{}'", escaped(mode)));
    noteElementType(table, "float32", config);
    config.scaleDict = table.string("scale_dict", {});
}

void readApproximate(const JsonReader &table, LqerConfig &config, std::vector<std::string> &ignored)
{
    checkKeys(table, approximateKeys, &ignored);
    std::string name = table["name"].string();
    std::transform(name.begin(), name.end(), name.begin(),
        [](unsigned char c) { return c == '_' ? '-' : static_cast<char>(std::tolower(c)); });
    if (name == "lqer-sgd")
        table["name"].fail("'lqer-sgd' was taken out of the official code; known are: lqer-act, lqer-svd");
    if (name != "lqer-act" && name != "lqer-svd")
        table["name"].fail(fmt::format("must be lqer-act or lqer-svd, found '{}'", escaped(table["name"].string())));
    config.scaling = name == "lqer-act" ? ScalingKind::MeanAbs : ScalingKind::Identity;
    config.chunkSize = table.integer("chunk_size", 1, mostLayers, 0);
    config.chunkIndex = table.integer("chunk_idx", 0, mostLayers, 0);
    if (!table["approximator"].value().isObject())
        table["approximator"].fail("must be a table of patterns");
}

void readEvaluate(const JsonReader &table, LqerConfig &config, std::vector<std::string> &ignored)
{
    checkKeys(table, evaluateKeys, &ignored);
    if (table.has("hf_quant_method") || flagFrom(table, "evaluate_baseline", false))
        table.fail(fmt::format("is about a baseline ({}), which the official baseline.py runs, not pipeline.py; `lqer run MODEL "
                               "--base FOLDER` measures "
                               "and repairs checkpoints that GPTQ or AWQ packed",
            escaped(table.string("hf_quant_method", "evaluate_baseline"))));
    noteElementType(table, "float16", config);
    config.disableLqer = flagFrom(table, "disable_lqer", false);
    if (!table.has("disable_lqer") && (config.perplexityEvaluation || config.tasksEvaluation))
        table.fail("lacks 'disable_lqer'");
    config.lowRankDict = textsFrom(table, "low_rank_dict");
    if (table.has("perplexity"))
        config.perplexity = textFrom(table["perplexity"], perplexityKeys, config, ignored);
    else if (config.perplexityEvaluation)
        table.fail("lacks 'perplexity'");
    if (table.has("harness_downstream")) {
        const JsonReader harness = table["harness_downstream"];
        checkKeys(harness, harnessKeys, &ignored);
        config.tasks.tasks = textsFrom(harness, "datasets");
        config.tasks.fewShot = static_cast<int>(harness.integer("num_fewshot", 0, 1000, 0));
        if (config.tasksEvaluation && config.tasks.tasks.empty())
            harness.fail("lacks 'datasets'");
    } else if (config.tasksEvaluation) {
        table.fail("lacks 'harness_downstream'");
    }
}

}  // namespace

LqerConfig lqerConfigFrom(const Json &json, const std::string &file)
{
    LqerConfig config;
    config.file = file;
    config.json = json;
    const JsonReader root(config.json, file);
    std::vector<std::string> ignored;
    checkKeys(root, rootKeys, &ignored);
    config.project = root["project"].string();
    config.modelName = root["model_name"].string();
    config.tags = textsFrom(root, "tags");
    config.checkpointPath = root.string("checkpoint_path", {});
    config.overwrite = flagFrom(root, "overwrite_checkpoint", false);
    config.profiling = flagFrom(root, "enable_profiling", false);
    config.approximation = flagFrom(root, "enable_approximation", false);
    config.perplexityEvaluation = flagFrom(root, "enable_perplexity_evaluation", false);
    config.tasksEvaluation = flagFrom(root, "enable_harness_downstream_evaluation", false);
    if (flagFrom(root, "enable_wandb", false))
        ignored.push_back("enable_wandb");
    if (root.has("wandb")) {
        checkKeys(root["wandb"], wandbKeys, nullptr);
        for (const std::string &tag : textsFrom(root["wandb"], "tags"))
            config.tags.push_back(tag);
    }
    if (root.has("profile") || config.profiling)
        readProfile(root["profile"], config, ignored);
    if (root.has("approximate") || config.approximation)
        readApproximate(root["approximate"], config, ignored);
    if (root.has("evaluate") || config.perplexityEvaluation || config.tasksEvaluation)
        readEvaluate(root["evaluate"], config, ignored);
    if (root.has("visualize"))
        checkKeys(root["visualize"], visualizeKeys);
    if (!ignored.empty())
        config.notes.push_back(
            fmt::format("without meaning here, where one machine's processors compute: {}", fmt::join(ignored, ", ")));
    return config;
}

LqerConfig readLqerConfig(const std::string &path, std::span<const std::string> overrides)
{
    Json json = nullsFromNa(readTomlFile(path));
    applyConfigOverrides(json, overrides);
    return lqerConfigFrom(json, path);
}

}  // namespace lqer
