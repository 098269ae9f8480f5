// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/io/safetensors.h"
#include "core/model/sites.h"
#include "core/recon/error_decomposition.h"

namespace lqer {

// A and B of layers from files, to be used in place of a project's factors: safetensors with "<layer>.A" (in, rank) and
// "<layer>.B" (rank, out), as `lqer export --to dictionary` writes them and as the papers' low_rank_dict and AB_dict hold them.
// Values are used as they are: already quantized. Immutable, thread-safe; holds file descriptors and headers only.
class CorrectionDictionary {
public:
    // One file, or several that share the layers. Throws Error(Format) naming file and tensor: other names, A without B, ranks
    // that differ, a layer that is there twice, an element type that is no float.
    explicit CorrectionDictionary(const std::vector<std::string> &paths);

    // Throws Error naming file and layer if it holds a layer that the model does not have (NotFound, with the nearest name) or of
    // another shape (Shape).
    void requireFits(std::span<const LinearSite> sites) const;
    bool contains(const std::string &layer) const { return m_layers.contains(layer); }
    // 0 for a layer that is not there.
    Index rank(const std::string &layer) const;
    // Throws Error(NotFound) for a layer that is not there, Error(Numeric) on NaN or infinity.
    LowRankCorrection read(const std::string &layer) const;
    // The files, for messages.
    std::string description() const;

private:
    struct Layer {
        const SafetensorsFile *file = nullptr;
        const TensorInfo *a = nullptr;
        const TensorInfo *b = nullptr;
    };
    std::vector<std::unique_ptr<const SafetensorsFile>> m_files;
    std::map<std::string, Layer> m_layers;
};

}  // namespace lqer
