// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace lqer {

// How far a quantized array is from the original. Sums in double, in flat order: the same bits everywhere.
struct Distortion {
    double errorEnergy = 0;   // sum (x - y)^2
    double signalEnergy = 0;  // sum x^2
    double maxError = 0;      // max |x - y|
    std::size_t maxErrorIndex = 0;
    std::size_t elements = 0;

    // errorEnergy / signalEnergy; 0 if there is no error, infinity if an error meets no signal.
    double relativeSquaredError() const;
    double meanSquaredError() const;
    // Signal to quantization noise in dB, 10 log10(signal / error); infinity without error.
    double sqnr() const;
};

// x: original, y: quantized, same length.
Distortion distortion(std::span<const float> x, std::span<const float> y);

}  // namespace lqer
