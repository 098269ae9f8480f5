// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/llama_bench.h"

#include <sys/resource.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/io/checkpoint.h"
#include "core/io/gguf.h"
#include "core/model/model_config.h"
#include "core/tensor/matrix.h"

namespace lqer::bench {

namespace {

void writeGguf(const std::string &folder, const std::string &path)
{
    const Checkpoint checkpoint(folder);
    const ModelConfig config = readModelConfig(checkpoint.config(), checkpoint.configPath());
    const auto count = [](std::int64_t value) { return GgufValue(static_cast<std::uint32_t>(value)); };
    const GgufMetadata metadata = {
        {"general.architecture", std::string("llama")},
        {"llama.block_count", count(config.layers)},
        {"llama.context_length", count(config.maxPositions)},
        {"llama.embedding_length", count(config.hidden)},
        {"llama.feed_forward_length", count(config.intermediate)},
        {"llama.attention.head_count", count(config.heads)},
        {"llama.attention.head_count_kv", count(config.kvHeads)},
        {"llama.attention.layer_norm_rms_epsilon", static_cast<float>(config.normEps)},
        {"llama.rope.dimension_count", count(config.headDim)},
        {"llama.vocab_size", count(config.vocabulary)},
        {"tokenizer.ggml.model", std::string("no_vocab")},
    };
    std::vector<std::pair<std::string, std::string>> names = {
        {"token_embd.weight", "model.embed_tokens.weight"}, {"output_norm.weight", "model.norm.weight"}, {"output.weight", "lm_head.weight"}};
    static const std::map<std::string, std::string> parts = {
        {"attn_norm", "input_layernorm"}, {"attn_q", "self_attn.q_proj"}, {"attn_k", "self_attn.k_proj"}, {"attn_v", "self_attn.v_proj"},
        {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"}, {"ffn_gate", "mlp.gate_proj"}, {"ffn_up", "mlp.up_proj"},
        {"ffn_down", "mlp.down_proj"}};
    for (std::int64_t layer = 0; layer < config.layers; ++layer)
        for (const auto &[theirs, ours] : parts)
            names.emplace_back(fmt::format("blk.{}.{}.weight", layer, theirs), fmt::format("model.layers.{}.{}.weight", layer, ours));
    std::vector<GgufTensor> tensors;
    for (const auto &[theirs, ours] : names)
        tensors.push_back({theirs, GgmlType::F32, checkpoint.read(ours).shape()});
    GgufWriter writer(path, metadata, std::move(tensors));
    for (const auto &[theirs, ours] : names) {
        const Tensor stored = checkpoint.read(ours);
        std::vector<float> values(static_cast<std::size_t>(stored.elements()));
        stored.copyTo(values);
        writer.write(std::as_bytes(std::span(values)));
    }
    writer.finished().commit();
}

// Processor seconds of one run of `repetitions` prompts.
double runSeconds(const Options &options, const std::string &model, std::int64_t length, int repetitions)
{
    const auto childSeconds = [] {
        rusage usage{};
        getrusage(RUSAGE_CHILDREN, &usage);
        return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
               + 1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    };
    const double before = childSeconds();
    const std::string command =
        fmt::format("'{}' -m '{}' -p {} -n 0 -t 1 -r {} -o json >/dev/null 2>&1", options.llamaBench, model, length, repetitions);
    if (std::system(command.c_str()) != 0)
        throw Error(ErrorCode::Argument, options.llamaBench, "", "did not run to its end on " + model);
    return childSeconds() - before;
}

}  // namespace

double llamaBenchRate(const Options &options, const std::string &folder, const std::string &name, std::int64_t length)
{
    const std::string model = options.scratch + "/" + name + "-f32.gguf";
    if (!std::filesystem::exists(model))
        writeGguf(folder, model);
    constexpr int more = 3;
    const double one = runSeconds(options, model, length, 1);
    return static_cast<double>(more * length) / (runSeconds(options, model, length, 1 + more) - one);
}

}  // namespace lqer::bench
