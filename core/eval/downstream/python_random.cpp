// SPDX-License-Identifier: Apache-2.0
#include "core/eval/downstream/python_random.h"

#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>
#include <sstream>

#include "core/base/check.h"

namespace lqer {

namespace {

// init_by_array of the Mersenne twister's authors (2002) for a key of one word: what Python makes of an integer seed below 2^32.
std::mt19937 seeded(std::uint32_t key)
{
    constexpr std::size_t words = std::mt19937::state_size;
    std::array<std::uint32_t, words> state{};
    state[0] = 19650218U;
    for (std::size_t i = 1; i < words; ++i)
        state[i] = 1812433253U * (state[i - 1] ^ (state[i - 1] >> 30)) + static_cast<std::uint32_t>(i);
    std::size_t i = 1;
    const auto next = [&] {
        if (++i == words) {
            state[0] = state[words - 1];
            i = 1;
        }
    };
    for (std::size_t k = 0; k < words; ++k) {
        state[i] = (state[i] ^ ((state[i - 1] ^ (state[i - 1] >> 30)) * 1664525U)) + key;
        next();
    }
    for (std::size_t k = 1; k < words; ++k) {
        state[i] = (state[i] ^ ((state[i - 1] ^ (state[i - 1] >> 30)) * 1566083941U)) - static_cast<std::uint32_t>(i);
        next();
    }
    state[0] = 0x80000000U;
    // The standard lets a generator's state be read as its words; libstdc++ also wants the place, which is behind the last one.
    std::stringstream text;
    for (const std::uint32_t word : state)
        text << word << ' ';
    text << words;
    std::mt19937 generator;
    text >> generator;
    LQER_ASSERT(!text.fail());
    return generator;
}

}  // namespace

PythonRandom::PythonRandom(std::uint32_t seed) : m_words(seeded(seed)) {}

// random._randbelow_with_getrandbits, for sizes below 2^32.
std::size_t PythonRandom::below(std::size_t size)
{
    const int bits = std::bit_width(size);
    LQER_ASSERT(bits >= 1 && bits <= 32);
    std::size_t value = 0;
    do
        value = static_cast<std::size_t>(m_words()) >> (32 - bits);
    while (value >= size);
    return value;
}

std::vector<std::size_t> PythonRandom::sample(std::size_t size, std::size_t count)
{
    LQER_ASSERT(count <= size);
    std::vector<std::size_t> taken;
    // Above this size a set of what is taken is smaller than a list of what is left.
    double listLimit = 21;
    if (count > 5)
        listLimit += std::pow(4.0, std::ceil(std::log(static_cast<double>(count * 3)) / std::log(4.0)));
    if (static_cast<double>(size) <= listLimit) {
        std::vector<std::size_t> left(size);
        std::iota(left.begin(), left.end(), std::size_t{0});
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t place = below(size - i);
            taken.push_back(left[place]);
            left[place] = left[size - i - 1];
        }
    } else {
        std::set<std::size_t> seen;
        while (taken.size() < count)
            if (const std::size_t place = below(size); seen.insert(place).second)
                taken.push_back(place);
    }
    return taken;
}

}  // namespace lqer
