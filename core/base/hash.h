// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lqer {

// XXH3-128: guards against damage and mix-ups, not against an attacker.
class Hasher {
public:
    Hasher();
    ~Hasher();
    Hasher(const Hasher &) = delete;
    Hasher &operator=(const Hasher &) = delete;

    Hasher &add(std::span<const std::byte> bytes);
    Hasher &add(std::string_view text);  // length first, so that ("ab","c") and ("a","bc") differ
    // 32 lower-case hexadecimal digits of everything added so far.
    std::string hex() const;

private:
    struct State;
    std::unique_ptr<State> m_state;
};

std::string hashHex(std::span<const std::byte> bytes);

}  // namespace lqer
