// SPDX-License-Identifier: Apache-2.0
#include "core/base/hash.h"

#include <cstdint>
#include <new>

#include <fmt/format.h>
#include <xxhash.h>

namespace lqer {

struct Hasher::State {
    XXH3_state_t *xxh = XXH3_createState();
    ~State() { XXH3_freeState(xxh); }
};

Hasher::Hasher() : m_state(std::make_unique<State>())
{
    if (!m_state->xxh)
        throw std::bad_alloc();
    XXH3_128bits_reset(m_state->xxh);
}

Hasher::~Hasher() = default;

Hasher &Hasher::add(std::span<const std::byte> bytes)
{
    XXH3_128bits_update(m_state->xxh, bytes.data(), bytes.size());
    return *this;
}

Hasher &Hasher::add(std::string_view text)
{
    const std::uint64_t length = text.size();
    XXH3_128bits_update(m_state->xxh, &length, sizeof length);
    XXH3_128bits_update(m_state->xxh, text.data(), text.size());
    return *this;
}

std::string Hasher::hex() const
{
    const XXH128_hash_t digest = XXH3_128bits_digest(m_state->xxh);
    return fmt::format("{:016x}{:016x}", digest.high64, digest.low64);
}

std::string hashHex(std::span<const std::byte> bytes)
{
    return Hasher().add(bytes).hex();
}

}  // namespace lqer
