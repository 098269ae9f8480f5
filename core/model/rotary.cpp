// SPDX-License-Identifier: Apache-2.0
#include "core/model/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/check.h"
#include "core/base/processor.h"

namespace lqer {

namespace {

// base^(2i/dim) for i < dim/2, rounded to float32.
Vector powersOfBase(double base, std::int64_t dim)
{
    const auto base32 = static_cast<float>(base);
    return Vector::NullaryExpr(dim / 2, [&](Index i) {
        const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
        return static_cast<float>(std::pow(static_cast<double>(base32), static_cast<double>(exponent)));
    });
}

// LLaMA 3.1: long wavelengths are stretched, short ones kept, those between blended.
Vector llama3Frequencies(const Vector &plain, const RopeScaling &scaling)
{
    const double original = static_cast<double>(scaling.originalMaxPositions);
    const auto longest = static_cast<float>(original / scaling.lowFrequencyFactor);
    const auto shortest = static_cast<float>(original / scaling.highFrequencyFactor);
    const auto factor = static_cast<float>(scaling.factor);
    return plain.unaryExpr([&](float frequency) {
        const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
        if (wavelength < shortest)
            return frequency;
        if (wavelength > longest)
            return frequency / factor;
        const auto low = static_cast<float>(scaling.lowFrequencyFactor);
        const auto range = static_cast<float>(scaling.highFrequencyFactor - scaling.lowFrequencyFactor);
        const float smooth = (static_cast<float>(original) / wavelength - low) / range;
        return (1 - smooth) * (frequency / factor) + smooth * frequency;
    });
}

// YaRN (arXiv 2309.00071, section 3.2): a ramp between kept and stretched frequencies, in units of the frequency's number.
Vector yarnFrequencies(const Vector &powers, const ModelConfig &config)
{
    const RopeScaling &scaling = config.ropeScaling;
    const auto dim = static_cast<double>(config.headDim);
    const auto numberWithTurns = [&](double turns) {
        return dim * std::log(static_cast<double>(scaling.originalMaxPositions) / (turns * 2 * std::numbers::pi))
               / (2 * std::log(config.ropeTheta));
    };
    const double low = std::max(std::floor(numberWithTurns(scaling.betaFast)), 0.0);
    double high = std::min(std::ceil(numberWithTurns(scaling.betaSlow)), dim - 1);
    if (high == low)
        high += 0.001;
    return Vector::NullaryExpr(powers.size(), [&](Index i) {
        const auto ramp = static_cast<float>(std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0));
        const float kept = 1 - ramp;
        const float stretched = 1 / (static_cast<float>(scaling.factor) * powers[i]);
        return stretched * (1 - kept) + 1 / powers[i] * kept;
    });
}

}  // namespace

Vector inverseFrequencies(const ModelConfig &config, std::int64_t tokens)
{
    using Kind = RopeScaling::Kind;
    const RopeScaling &scaling = config.ropeScaling;
    double base = config.ropeTheta;
    if (scaling.kind == Kind::Dynamic && tokens > config.maxPositions) {
        const auto dim = static_cast<double>(config.headDim);
        const double stretch = scaling.factor * static_cast<double>(tokens) / static_cast<double>(config.maxPositions);
        base *= std::pow(stretch - (scaling.factor - 1), dim / (dim - 2));
    }
    const Vector powers = powersOfBase(base, config.headDim);
    if (scaling.kind == Kind::Yarn)
        return yarnFrequencies(powers, config);
    const Vector plain = powers.cwiseInverse();
    switch (scaling.kind) {
    case Kind::Linear: return plain / static_cast<float>(scaling.factor);
    case Kind::Llama3: return llama3Frequencies(plain, scaling);
    default: return plain;
    }
}

RotaryTable rotaryTable(const ModelConfig &config, std::int64_t tokens)
{
    const Vector frequencies = inverseFrequencies(config, tokens);
    RotaryTable table;
    table.cosine.resize(tokens, frequencies.size());
    table.sine.resize(tokens, frequencies.size());
    for (Index position = 0; position < tokens; ++position) {
        for (Index i = 0; i < frequencies.size(); ++i) {
            const double angle = static_cast<double>(position) * static_cast<double>(frequencies[i]);
            table.cosine(position, i) = static_cast<float>(std::cos(angle) * config.ropeScaling.attentionFactor);
            table.sine(position, i) = static_cast<float>(std::sin(angle) * config.ropeScaling.attentionFactor);
        }
    }
    return table;
}

void rotate(const RotaryTable &table, std::int64_t headDim, MatrixRef x)
{
    const Index half = headDim / 2;
    LQER_ASSERT(table.cosine.rows() >= x.rows() && table.cosine.cols() == half && x.cols() % headDim == 0);
    for (Index token = 0; token < x.rows(); ++token) {
        const float *cosine = &table.cosine(token, 0);
        const float *sine = &table.sine(token, 0);
        forProcessor([=, row = &x(token, 0), width = x.cols()] {
            for (Index head = 0; head < width; head += headDim) {
                float *__restrict first = row + head;
                float *__restrict second = first + half;
                for (Index i = 0; i < half; ++i) {
                    const float a = first[i];
                    const float b = second[i];
                    first[i] = a * cosine[i] - b * sine[i];
                    second[i] = b * cosine[i] + a * sine[i];
                }
            }
        });
    }
}

Rotary::Rotary(const ModelConfig &config, const std::vector<std::int64_t> &lengths)
{
    const bool perLength = config.ropeScaling.kind == RopeScaling::Kind::Dynamic;
    for (const std::int64_t length : lengths)
        if (!perLength || length <= config.maxPositions)
            m_shared = std::max(m_shared, length);
    for (const std::int64_t length : lengths) {
        const std::int64_t rows = tableLength(length);
        if (!m_tables.contains(rows))
            m_tables.emplace(rows, rotaryTable(config, rows));
    }
}

std::int64_t Rotary::tableLength(std::int64_t length) const { return std::max(length, m_shared); }

const RotaryTable &Rotary::table(std::int64_t length) const
{
    const auto found = m_tables.find(tableLength(length));
    LQER_ASSERT(found != m_tables.end());
    return found->second;
}

}  // namespace lqer
