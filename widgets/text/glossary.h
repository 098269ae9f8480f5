// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>

namespace lqer {

// The words of the field that appear in the studio, each explained in one place for every tooltip.
enum class Term {
    Rank, Format, Scaling, ScalingIdentity, ScalingMeanAbs, ScalingDiagonal, ScalingExact, BitsPerWeight, WeightError, OutputErrorPlain,
    OutputErrorCorrected, ErrorShare, Spectrum, EstimatedSpectrum, NoiseEdge, CapturedEnergy, FactorFormat, ActivationFormat, Perplexity, StandardError,
    KlDivergence, TopOneAgreement, Calibration, Decomposition, Recipe, Role, Block, Footprint, ChannelMagnitude, Outlier, Stale, BlockSize, TaskAccuracy,
    MovedBits, MultiplyAccumulates, RelativeArea,
};

// One or two sentences, plain words first.
QString meaningOf(Term term);
// The word itself, as a title.
QString titleOf(Term term);

}  // namespace lqer
