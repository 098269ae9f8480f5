// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/io/safetensors.h"
#include "core/model/sites.h"
#include "core/recon/error_decomposition.h"

namespace lqer {

// Writes A (in, rank) and B (rank, out) of layers under the names of the papers' own code, "<layer>.A" and "<layer>.B", in
// float32. core/import/correction_dictionary.h reads them.
class DictionaryWriter {
public:
    // layers: what will be written, with the rank.
    DictionaryWriter(const std::string &path, const std::vector<std::pair<const LinearSite *, Index>> &layers);

    // The next layer of the list.
    void write(const LinearSite &site, const LowRankCorrection &correction);
    // The file with every layer in it, to be committed.
    AtomicFile &finished() { return m_writer.finished(); }

private:
    SafetensorsWriter m_writer;
};

}  // namespace lqer
