// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <random>

#include <QTemporaryDir>

#include "core/model/transformer.h"
#include "tests/model/small_model.h"

namespace lqer::test {

// A small model with random weights in a folder of its own, ready to run; by default a LLaMA of two blocks: hidden 32, four heads
// of 8 over two key/value heads, intermediate 48, vocabulary 61.
class ScoredModel {
public:
    static constexpr std::int64_t vocabulary = 61;

    explicit ScoredModel(
        const SmallModel &model = smallLlama({{"hidden_size", 32}, {"intermediate_size", 48}, {"vocab_size", vocabulary}}))
        : m_model(openModel(model, m_folder.path().toStdString()))
    {
    }
    const Transformer &model() const { return m_model; }

private:
    QTemporaryDir m_folder;
    Transformer m_model;
};

// `count` windows of `length` random ids.
inline TokenWindows randomWindows(std::size_t count, std::size_t length, std::int64_t vocabulary = ScoredModel::vocabulary)
{
    std::mt19937 random(7);
    std::uniform_int_distribution<TokenId> id(0, static_cast<TokenId>(vocabulary - 1));
    TokenWindows windows;
    windows.options.convention = WindowConvention::Tokens;
    windows.options.length = static_cast<std::int64_t>(length);
    windows.source = "random";
    windows.hash = "seed";
    for (std::size_t w = 0; w < count; ++w) {
        TokenWindow window;
        for (std::size_t i = 0; i < length; ++i)
            window.ids.push_back(id(random));
        windows.windows.push_back(window);
    }
    return windows;
}

}  // namespace lqer::test
