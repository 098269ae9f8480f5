// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/tensor/matrix.h"

namespace lqer {

// Where the singular values of pure round-off noise end: what stands above is structure, what lies below is not worth rank. For
// the unshaped error E; a scaling makes its rows unequal and the law does not hold any more.

// Upper edge of the singular values of a rows x cols matrix of independent entries of mean 0 and this variance:
// sqrt(variance) (sqrt(rows) + sqrt(cols)). Marchenko and Pastur 1967.
double noiseEdge(Index rows, Index cols, double variance);

// Median of the Marchenko-Pastur law of aspect ratio beta in (0, 1] and unit variance, of eigenvalues of Y^T Y / max(rows, cols).
double marchenkoPasturMedian(double beta);

// The threshold of Gavish and Donoho 2014 ("The optimal hard threshold for singular values is 4/sqrt(3)") for unknown noise:
// omega(beta) times the median singular value, beta = min/max of the shape; omega(1) = 2.858.
double gavishDonohoThreshold(Index rows, Index cols, double medianSigma);

struct NoiseLevel {
    double variance = 0;   // of the noise, from the median singular value
    double edge = 0;       // noiseEdge for it
    double threshold = 0;  // gavishDonohoThreshold
    Index aboveEdge = 0;   // how many singular values stand above each
    Index aboveThreshold = 0;
};
// sigma: all min(rows, cols) singular values of E, descending.
NoiseLevel noiseLevel(const VectorF64 &sigma, Index rows, Index cols);

}  // namespace lqer
