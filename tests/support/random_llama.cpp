// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_llama.h"

#include <cmath>
#include <filesystem>
#include <random>
#include <span>

#include <fmt/format.h>

#include "core/base/hash.h"
#include "core/io/atomic_file.h"
#include "core/io/json.h"
#include "core/io/safetensors.h"
#include "core/tensor/half.h"

namespace lqer::test {

namespace {

class Writer {
public:
    Writer(const std::string &folder, const RandomLlama &model)
        : m_folder(folder), m_model(model), m_shards(model.layers + 1), m_random(model.seed)
    {
    }

    void write()
    {
        const RandomLlama &m = m_model;
        const std::int64_t head = m.hidden / m.heads;
        for (std::int64_t layer = 0; layer < m.layers; ++layer) {
            const std::string block = fmt::format("model.layers.{}.", layer);
            addVector(block + "input_layernorm.weight", m.hidden);
            addVector(block + "post_attention_layernorm.weight", m.hidden);
            addMatrix(block + "self_attn.q_proj.weight", m.hidden, m.hidden);
            addMatrix(block + "self_attn.k_proj.weight", m.kvHeads * head, m.hidden);
            addMatrix(block + "self_attn.v_proj.weight", m.kvHeads * head, m.hidden);
            addMatrix(block + "self_attn.o_proj.weight", m.hidden, m.hidden);
            addMatrix(block + "mlp.gate_proj.weight", m.intermediate, m.hidden);
            addMatrix(block + "mlp.up_proj.weight", m.intermediate, m.hidden);
            addMatrix(block + "mlp.down_proj.weight", m.hidden, m.intermediate);
            finishShard();
        }
        addMatrix("model.embed_tokens.weight", m.vocabulary, m.hidden);
        addVector("model.norm.weight", m.hidden);
        addMatrix("lm_head.weight", m.vocabulary, m.hidden);
        finishShard();
        const Json index = Json::object()
                               .set("metadata", Json::object().set("total_size", static_cast<std::int64_t>(m_total)))
                               .set("weight_map", std::move(m_map));
        writeFileAtomically(m_folder + "/model.safetensors.index.json", index.dump(1));
        writeFileAtomically(m_folder + "/config.json", config().dump(1));
    }

private:
    Json config() const
    {
        const RandomLlama &m = m_model;
        return Json::object()
            .set("architectures", Json::array().append("LlamaForCausalLM"))
            .set("model_type", "llama")
            .set("hidden_act", "silu")
            .set("hidden_size", m.hidden)
            .set("intermediate_size", m.intermediate)
            .set("num_hidden_layers", m.layers)
            .set("num_attention_heads", m.heads)
            .set("num_key_value_heads", m.kvHeads)
            .set("vocab_size", m.vocabulary)
            .set("max_position_embeddings", m.positions)
            .set("rms_norm_eps", 1e-5)
            .set("rope_theta", 10000.0)
            .set("tie_word_embeddings", false)
            .set("torch_dtype", "bfloat16");
    }

    void add(const std::string &name, Tensor tensor)
    {
        m_total += tensor.bytes().size();
        m_map.set(name, shardName());
        m_tensors.emplace_back(name, std::move(tensor));
    }
    // Uniform with the variance of 1 / in; a few input channels several times as large, as in trained models.
    void addMatrix(const std::string &name, std::int64_t rows, std::int64_t columns)
    {
        Tensor tensor(DType::BF16, {rows, columns});
        auto *out = reinterpret_cast<std::uint16_t *>(tensor.bytes().data());
        const float width = std::sqrt(3.0F / static_cast<float>(columns));
        for (std::int64_t i = 0; i < rows * columns; ++i) {
            const float unit = static_cast<float>(m_random()) / 2147483648.0F - 1.0F;  // [-1, 1), the same on every machine
            const float channel = i % columns % 16 == 3 ? 6.0F : 1.0F;
            out[i] = floatToBf16(unit * width * channel);
        }
        add(name, std::move(tensor));
    }
    void addVector(const std::string &name, std::int64_t size)
    {
        Tensor tensor(DType::BF16, {size});
        auto *out = reinterpret_cast<std::uint16_t *>(tensor.bytes().data());
        for (std::int64_t i = 0; i < size; ++i)
            out[i] = floatToBf16(i % 11 == 5 ? 4.0F : 0.5F + static_cast<float>(m_random() % 1000) / 1000.0F);
        add(name, std::move(tensor));
    }
    std::string shardName() const { return fmt::format("model-{:05}-of-{:05}.safetensors", m_shard + 1, m_shards); }
    void finishShard()
    {
        writeSafetensors(m_folder + "/" + shardName(), m_tensors);
        m_tensors.clear();
        ++m_shard;
    }

    std::string m_folder;
    RandomLlama m_model;
    std::int64_t m_shards;
    std::int64_t m_shard = 0;
    std::uint64_t m_total = 0;
    std::vector<std::pair<std::string, Tensor>> m_tensors;
    Json m_map = Json::object();
    std::mt19937 m_random;
};

}  // namespace

std::uint64_t RandomLlama::bytes() const
{
    const std::int64_t attention = hidden * hidden * 2 + 2 * hidden * (hidden / heads * kvHeads);
    const std::int64_t block = attention + 3 * hidden * intermediate + 2 * hidden;
    return static_cast<std::uint64_t>(2 * (layers * block + 2 * vocabulary * hidden + hidden));
}

void writeRandomLlama(const std::string &folder, const RandomLlama &model)
{
    std::filesystem::create_directories(folder);
    Writer(folder, model).write();
}

TokenWindows randomWindows(const RandomLlama &model, std::int64_t count, std::int64_t length, std::uint32_t seed)
{
    std::mt19937 random(seed);
    TokenWindows windows;
    windows.options.convention = WindowConvention::Tokens;
    windows.options.length = length;
    windows.source = fmt::format("random ids {}", seed);
    Hasher hasher;
    for (std::int64_t w = 0; w < count; ++w) {
        TokenWindow window;
        for (std::int64_t i = 0; i < length; ++i)
            window.ids.push_back(static_cast<TokenId>(random() % static_cast<std::uint32_t>(model.vocabulary)));
        hasher.add(std::as_bytes(std::span(window.ids)));
        windows.totalIds += length;
        windows.windows.push_back(std::move(window));
    }
    windows.hash = hasher.hex();
    return windows;
}

}  // namespace lqer::test
