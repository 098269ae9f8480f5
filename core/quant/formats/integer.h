// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace lqer {

// Scale and zero point of QERA's integer quantizer for values in [low, high] (numerics.md A.5), in double as the official code:
// q = clamp(rne(x / scale + zeroPoint), least, most), y = scale * (q - zeroPoint). Symmetric ranges are widened to the larger
// magnitude and have scale = 2 max / (2^bits - 1). scale is 0 if the range is a single value.
struct IntegerRange {
    double scale = 0;
    double zeroPoint = 0;
    int least = 0;
    int most = 0;
};
IntegerRange integerRange(double low, double high, int bits, bool affine);

}  // namespace lqer
