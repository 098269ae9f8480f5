// SPDX-License-Identifier: Apache-2.0
#include "core/export/predicted_error.h"

namespace lqer {

LayerError predictedError(const DecompositionRecord &record, Index rank)
{
    LayerError error;
    error.layer = record.key.layer;
    error.weightEnergy = record.weightEnergy;
    error.weightError = record.weightError;
    error.correctedWeightError = record.correctedWeightError(rank);
    error.outputKnown = record.outputKnown;
    error.fullAutocorrelation = record.fullAutocorrelation;
    error.outputEnergy = record.outputEnergy;
    error.outputError = record.outputError;
    error.correctedOutputError = record.correctedOutputError(rank);
    return error;
}

}  // namespace lqer
