// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/llama_bench.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/io/checkpoint.h"
#include "core/io/file.h"
#include "core/io/gguf.h"
#include "core/io/json.h"
#include "core/model/model_config.h"
#include "core/quant/ggml_blocks.h"
#include "core/tensor/matrix.h"

namespace lqer::bench {

namespace {

void writeGguf(const std::string &folder, GgmlType type, const std::string &path)
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
    const auto typeOf = [&](const Shape &shape) { return shape.size() == 2 ? type : GgmlType::F32; };
    for (const auto &[theirs, ours] : names) {
        const Shape shape = checkpoint.find(ours)->shape;
        tensors.push_back({theirs, typeOf(shape), shape});
    }
    GgufWriter writer(path, metadata, std::move(tensors));
    for (const auto &[theirs, ours] : names) {
        const Tensor stored = checkpoint.read(ours);
        std::vector<float> values(static_cast<std::size_t>(stored.elements()));
        stored.copyTo(values);
        const GgmlType as = typeOf(stored.shape());
        std::vector<std::byte> blocks(*ggmlBytes(as, stored.shape()));
        if (as == GgmlType::Q8_0)
            encodeQ8_0(values, blocks);
        else if (!encodeGgmlExactly(as, values, blocks))
            throw Error(ErrorCode::Numeric, path, theirs, "does not fit the type");
        writer.write(blocks);
    }
    writer.finished().commit();
}

// What one run printed, and the processor seconds it took.
struct Finished {
    std::string output;
    double seconds = 0;
};

Finished runLlamaBench(const Options &options, const std::string &model, const LlamaRun &run, int threads, int repetitions)
{
    const auto childSeconds = [] {
        rusage usage{};
        getrusage(RUSAGE_CHILDREN, &usage);
        return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
               + 1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    };
    const double before = childSeconds();
    const std::string answer = model + ".json";
    const std::string command = fmt::format("'{}' -m '{}' -p {} -n 0 -t {} -r {} -o json >'{}' 2>/dev/null", options.llamaBench, model,
                                            run.length, threads, repetitions, answer);
    if (std::system(command.c_str()) != 0)
        throw Error(ErrorCode::Argument, options.llamaBench, "", "did not run to its end on " + model);
    constexpr std::uint64_t most = 1 << 20;
    return {readTextFile(answer, most), childSeconds() - before};
}

}  // namespace

double llamaBenchRate(const Options &options, const LlamaRun &run, int threads)
{
    const std::string model = fmt::format("{}/{}-{}.gguf", options.scratch, run.name, toString(run.type));
    if (!std::filesystem::exists(model))
        writeGguf(run.folder, run.type, model);
    if (threads > 1) {
        const Json answer = parseJson(runLlamaBench(options, model, run, threads, run.repetitions).output, options.llamaBench);
        const JsonReader samples = JsonReader(answer, options.llamaBench).at(0)["samples_ts"];
        double most = 0;
        for (std::size_t i = 0; i < samples.size(); ++i)
            most = std::max(most, samples.at(i).number());
        return most;
    }
    const double one = runLlamaBench(options, model, run, 1, 1).seconds;
    const double all = runLlamaBench(options, model, run, 1, 1 + run.repetitions).seconds;
    return static_cast<double>(run.repetitions * run.length) / (all - one);
}

}  // namespace lqer::bench
