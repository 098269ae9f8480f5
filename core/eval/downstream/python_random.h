// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace lqer {

// random.Random(seed) of Python 3: lm-eval draws few-shot examples with it, and only the same draws give the same prompts.
class PythonRandom {
public:
    explicit PythonRandom(std::uint32_t seed);

    // Places in [0, size) that random.sample(population, count) takes, in its order; count is at most size.
    std::vector<std::size_t> sample(std::size_t size, std::size_t count);

private:
    std::size_t below(std::size_t size);

    std::mt19937 m_words;
};

}  // namespace lqer
