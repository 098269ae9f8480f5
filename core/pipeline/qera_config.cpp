// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/qera_config.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/yaml.h"
#include "core/pipeline/config_keys.h"

namespace lqer {

namespace {

using Kind = QeraFlag::Kind;

constexpr QeraFlag flags[] = {
    {"model_name", Kind::Text, "Name of the model, or its local folder (--model DIR says where a named one lies)"},
    {"qera_dtype", Kind::Text, "Of calibration and decomposition: this program takes float32, and float64 for sums"},
    {"eval_dtype", Kind::Text, "Of the evaluated model: this program takes float32"},
    {"device_map", Kind::Text, "No meaning here"},
    {"num_workers", Kind::Integer, "Data sets are cut into this many shards, as the official code's processes do"},
    {"output_dir", Kind::Text, "Folder of the results; must be empty or new"},
    {"AB_dict", Kind::Text, "Safetensors file with A and B to use; nothing is calibrated then", true, false},
    {"calibration_set", Kind::Text, "Data set by name in the folder of --data, or a text file"},
    {"num_calibration_samples", Kind::Integer, "Windows to calibrate on"},
    {"perplexity_eval_batch_size", Kind::Integer, "Windows in a batch, of calibration too"},
    {"perplexity_eval_set", Kind::Text, "Data set by name in the folder of --data, or a text file"},
    {"perplexity_max_seq_length", Kind::Integer, "Tokens in a window, of calibration too"},
    {"lm_eval_tasks", Kind::Texts, "Downstream tasks and groups of them"},
    {"lm_eval_num_fewshot", Kind::Integer, "Examples in front of each question"},
    {"lm_eval_batch_size", Kind::Text, "No meaning here"},
    {"disable_qera", Kind::Switch, "Quantize only, without A and B", true, true},
    {"qera_scaling_mode", Kind::Text, "diagonal (or diag), rxx (or exact), identity, lqer; mixed with a map in the file"},
    {"qera_sqrtm_implementation", Kind::Text, "No meaning here: the matrix is never rooted"},
    {"qera_sqrtm_num_iters", Kind::Integer, "No meaning here"},
    {"disable_perplexity_eval", Kind::Switch, "Leave out the perplexity"},
    {"disable_lm_eval", Kind::Switch, "Leave out the downstream tasks"},
    {"overwrite_output_dir", Kind::Switch, "Results may be there already; A and B among them are used", true, false},
    {"max_position_embeddings", Kind::Integer, "No meaning here"},
    {"layers_per_chunk", Kind::Integer, "Measured layers (of q, k, v only k; of gate, up only gate) in a chunk", false, true},
    {"chunk_id", Kind::Integer, "The chunk to compute; without it: evaluation, once all are there", false, true},
};

// Of the fine-tuning files that come with QERA; its pipelines do not read them.
constexpr std::string_view strayKeys[] = {"fine_tuning", "fine_tuning_config"};
constexpr std::string_view fileKeys[] = {"qera_scaling_mode_map", "qera_config"};

constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();

class Reading {
public:
    Reading(const Json &json, const std::string &file) : m_root(json, file) { m_config.file = file, m_config.json = json; }
    QeraConfig run();

private:
    void keys();
    void text(std::string_view key, std::string &value) { value = m_root.has(key) ? m_root[key].string() : value; }
    void integer(std::string_view key, std::int64_t least, std::int64_t &value)
    {
        value = m_root.integer(key, least, most, value);
    }
    void dtype(std::string_view key);
    void scaling();
    void note(std::string line) { m_config.notes.push_back(std::move(line)); }

    JsonReader m_root;
    QeraConfig m_config;
};

void Reading::keys()
{
    ConfigKeys keys;
    for (const QeraFlag &flag : flags)
        keys.known.emplace_back(flag.key);
    for (const std::string_view key : fileKeys)
        keys.known.emplace_back(key);
    for (const std::string_view key : strayKeys)
        keys.ignored.emplace_back(key);
    std::vector<std::string> ignored;
    checkKeys(m_root, keys, &ignored);
    if (!ignored.empty())
        note(fmt::format("{}: not read, as in the official pipeline", fmt::join(ignored, ", ")));
    std::vector<std::string> meaningless;
    for (const char *key : {"device_map", "lm_eval_batch_size", "qera_sqrtm_num_iters", "max_position_embeddings"})
        if (m_root.has(key))
            meaningless.emplace_back(key);
    if (!meaningless.empty())
        note(fmt::format("{}: no meaning here", fmt::join(meaningless, ", ")));
    if (!m_root.value().find("max_position_embeddings"))
        note("max_position_embeddings: is missing, where the official pipeline stops; taken for null");
}

void Reading::dtype(std::string_view key)
{
    if (!m_root.has(key))
        return;
    const std::string name = m_root[key].string();
    if (name != "float32" && name != "float16" && name != "bfloat16" && name != "float64")
        m_root[key].fail(fmt::format("must be float32, float16, bfloat16 or float64, found '{}'", escaped(name, 40)));
    if (name != "float32")
        note(fmt::format("{}: {}; computed in float32, which changes results by its rounding", key, name));
}

void Reading::scaling()
{
    const std::string mode = m_root.string("qera_scaling_mode", "diagonal");
    const bool isMixed = mode == "mixed";
    m_config.scaling.reset();
    if (!isMixed) {
        try {
            m_config.scaling = scalingFromString(mode);
        } catch (const Error &) {
            m_root["qera_scaling_mode"].fail(
                fmt::format("must be diagonal, diag, rxx, identity, lqer or mixed, found '{}'", escaped(mode, 40)));
        }
    }
    if (m_root.has("qera_scaling_mode_map"))
        m_config.scalingMap = m_root["qera_scaling_mode_map"].value();
    if (isMixed && !m_config.scalingMap.isObject())
        m_root.fail("qera_scaling_mode mixed needs patterns in qera_scaling_mode_map");
    if (!m_config.scalingMap.isNull() && !m_config.scalingMap.isObject())
        m_root["qera_scaling_mode_map"].fail("must be a mapping of patterns to modes");
    if (!isMixed && m_config.scalingMap.isObject())
        note(fmt::format("qera_scaling_mode_map: not read under qera_scaling_mode {}, as in the official pipeline", mode));
    const std::string root = m_root.string("qera_sqrtm_implementation", "blocked");
    if (root != "blocked" && root != "iterative")
        m_root["qera_sqrtm_implementation"].fail(fmt::format("must be blocked or iterative, found '{}'", escaped(root, 40)));
    if (root == "iterative" && (isMixed || m_config.scaling == ScalingKind::Exact))
        note("qera_sqrtm_implementation: the official code refuses iterative; the result is that of blocked, no root is needed "
             "here");
}

QeraConfig Reading::run()
{
    keys();
    text("model_name", m_config.modelName);
    dtype("qera_dtype");
    dtype("eval_dtype");
    if (m_root.has("device_map") && !m_root["device_map"].value().isObject())
        m_root["device_map"].string();
    integer("num_workers", 1, m_config.workers);
    text("output_dir", m_config.outputDir);
    text("AB_dict", m_config.abDict);
    text("calibration_set", m_config.calibrationSet);
    integer("num_calibration_samples", 1, m_config.calibrationSamples);
    integer("perplexity_eval_batch_size", 1, m_config.batch);
    text("perplexity_eval_set", m_config.perplexitySet);
    if (m_root.value().find("perplexity_max_seq_length") && !m_root.has("perplexity_max_seq_length"))
        note(fmt::format("perplexity_max_seq_length: null, taken for {}", m_config.maxLength));
    integer("perplexity_max_seq_length", 2, m_config.maxLength);
    for (const auto &[key, set] :
         {std::pair("calibration_set", &m_config.calibrationSet), std::pair("perplexity_eval_set", &m_config.perplexitySet)})
        if (*set == "gsm8k")
            note(fmt::format("{}: the official pipeline fails on gsm8k; its text is used as that of any data set", key));
    m_config.tasks = textsFrom(m_root, "lm_eval_tasks");
    if (m_root.has("lm_eval_num_fewshot"))
        m_config.fewShot = static_cast<int>(m_root["lm_eval_num_fewshot"].integer(0, 1000));
    if (m_root.has("lm_eval_batch_size") && !m_root["lm_eval_batch_size"].value().isInteger())
        m_root["lm_eval_batch_size"].string();
    m_config.disableQera = flagFrom(m_root, "disable_qera", false);
    m_config.disablePerplexity = flagFrom(m_root, "disable_perplexity_eval", false);
    m_config.disableTasks = flagFrom(m_root, "disable_lm_eval", false);
    m_config.overwrite = flagFrom(m_root, "overwrite_output_dir", false);
    scaling();
    integer("layers_per_chunk", 1, m_config.layersPerChunk);
    if (m_root.has("chunk_id"))
        m_config.chunkId = m_root["chunk_id"].integer(0, most);
    m_config.layers = m_root["qera_config"].value();
    if (!m_config.layers.isObject() || m_config.layers.asObject().empty())
        m_root["qera_config"].fail("must be a mapping of patterns and entries");
    return std::move(m_config);
}

}  // namespace

std::string QeraFlag::option() const
{
    std::string name = fmt::format("--{}", key);
    std::ranges::replace(name, '_', '-');
    return name;
}

std::span<const QeraFlag> qeraFlags()
{
    return flags;
}

QeraConfig qeraConfigFrom(const Json &json, const std::string &file)
{
    return Reading(json, file).run();
}

QeraConfig readQeraConfig(const std::string &path, const Json &flags)
{
    Json json = readYamlFile(path);
    if (!json.isObject())
        JsonReader(json, path).fail("must be a mapping of keys");
    for (const auto &[key, value] : flags.asObject())
        json.set(key, value);
    return qeraConfigFrom(json, path);
}

}  // namespace lqer
