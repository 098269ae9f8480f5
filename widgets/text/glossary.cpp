// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/text/glossary.h"

#include <QCoreApplication>

namespace lqer {

namespace {

struct Entry {
    Term term;
    const char *title;
    const char *meaning;
};

constexpr Entry entries[] = {
    {Term::Rank, "Rank", "Number of components of the low-rank correction A·B. Each one more takes (inputs + outputs) extra values and removes the next largest part of the quantization error."},
    {Term::Format, "Number format", "How each weight is stored: how many bits, and how many weights share a scale."},
    {Term::Scaling, "Scaling", "By what the quantization error is weighted before its leading part is taken: inputs that carry more signal count for more."},
    {Term::ScalingIdentity, "identity", "No weighting: the correction rebuilds the weight error itself. Needs no calibration."},
    {Term::ScalingMeanAbs, "lqer", "Weights each input channel by its mean magnitude on the calibration text (LQER, ICML 2024)."},
    {Term::ScalingDiagonal, "diag", "Weights each input channel by its root mean square (QERA-approx): best possible if channels were uncorrelated."},
    {Term::ScalingExact, "exact", "Uses the full autocorrelation of the inputs (QERA-exact): the smallest expected output error for a given rank."},
    {Term::BitsPerWeight, "Bits per weight", "Average stored bits for each weight, shared scales and the factors A and B included."},
    {Term::WeightError, "Weight error", "Size of W - W_q relative to W. What rounding did to the numbers themselves."},
    {Term::OutputErrorPlain, "Output error, plain", "Expected error of the layer's output, relative to the output, when it is quantized without a correction."},
    {Term::OutputErrorCorrected, "Output error, corrected", "The same after adding the correction A·B at the chosen rank."},
    {Term::ErrorShare, "Share of error", "This layer's part of the summed squared output error of all layers, after correction."},
    {Term::Spectrum, "Spectrum", "Singular values of the quantization error. A steep start means that a small rank removes much of it."},
    {Term::EstimatedSpectrum, "Estimated singular values", "The dotted part is estimated from random products instead of computed: the energy of the first values, however many, is off by about 0.4 % of the total at most, a single value by about 1 % of the largest."},
    {Term::NoiseEdge, "Noise edge", "Largest singular value that pure rounding noise of the same size would show (Marchenko-Pastur). Components below it are not worth rank."},
    {Term::CapturedEnergy, "Captured energy", "Share of the squared, weighted error that the chosen rank removes."},
    {Term::FactorFormat, "Factor format", "Number format of the correction's matrices A and B."},
    {Term::ActivationFormat, "Activation format", "Number format of the layer's inputs while it computes. Passthrough: not quantized (weight-only)."},
    {Term::Perplexity, "Perplexity", "How surprised the model is by the evaluation text, per token. Lower is better; compare only values measured the same way."},
    {Term::StandardError, "Standard error", "How far the perplexity could be off because the text is finite."},
    {Term::KlDivergence, "KL divergence", "How far the quantized model's predictions are from the original's, on average per token. Zero: identical."},
    {Term::TopOneAgreement, "Top-1 agreement", "Share of positions where the quantized model's most likely token is the original's."},
    {Term::TaskAccuracy, "Tasks", "Share of questions with known answers that the model gets right: the answer it finds most likely counts, as lm-eval scores them."},
    {Term::Calibration, "Calibration", "One pass over a text that records how large the inputs of each layer are."},
    {Term::Decomposition, "Decomposition", "Quantizes a layer and finds the singular values and leading factors of what was lost. Needed once per format and scaling, not per rank."},
    {Term::Recipe, "Recipe", "The full set of choices: format, scaling and rank of every layer."},
    {Term::Role, "Role", "What the linear layer does in its block: query, key, value, output, gate, up, down."},
    {Term::Block, "Block", "One decoder layer of the transformer, counted from 0."},
    {Term::Footprint, "Size", "Bytes of all weights as stored under this recipe, including parts that stay unquantized."},
    {Term::ChannelMagnitude, "Channel magnitude", "How large each input channel is on the calibration text."},
    {Term::Outlier, "Outlier channel", "A channel more than six times as large as the median one. Few of them often carry most of the output error."},
    {Term::Stale, "Stale", "The recipe was edited after this was measured. Evaluate again to bring it up to date."},
    {Term::MovedBits, "Bits moved", "What one token's way through the layer takes from memory when a single sequence is decoded: weight, A and B, input and result. Values without a format count 16 bits."},
    {Term::MultiplyAccumulates, "Multiply-accumulates", "Products of two numbers that are added up, for one token: x W, x A and (x A) B; in the whole model also the two products of attention."},
    {Term::RelativeArea, "Relative area", "Silicon for engines of the same throughput, FP16 = 1. Published: LQER's figures (ICML 2024) for FP16 and for FP16 x 4-bit fixed point. Derived: from its MXINT W4A8 layer, for other fixed-point formats. A dash where nothing is published."},
    {Term::BlockSize, "Block size", "How many neighbouring weights share one scale. Smaller blocks cost more bits and lose less."},
};

const Entry *find(Term term)
{
    for (const Entry &entry : entries)
        if (entry.term == term)
            return &entry;
    return nullptr;
}

}  // namespace

QString meaningOf(Term term)
{
    const Entry *entry = find(term);
    return entry ? QCoreApplication::translate("Glossary", entry->meaning) : QString();
}

QString titleOf(Term term)
{
    const Entry *entry = find(term);
    return entry ? QCoreApplication::translate("Glossary", entry->title) : QString();
}

}  // namespace lqer
