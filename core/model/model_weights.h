// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/io/checkpoint.h"
#include "core/model/architectures/architecture.h"
#include "core/model/model_config.h"
#include "core/task/task_context.h"

namespace lqer {

// A checkpoint's tensors bound to a layout: every tensor found, under whatever prefix it is stored, and its shape and element
// type checked. Values are read, converted to float32 and checked for NaN and infinity on demand. Thread-safe.
class ModelWeights {
public:
    // Throws Error(NotFound | Shape | Unsupported | Format).
    ModelWeights(std::shared_ptr<const Checkpoint> checkpoint, const ModelConfig &config, ModelLayout layout);

    const Checkpoint &checkpoint() const { return *m_checkpoint; }
    // The layout with the tensor names as they are stored.
    const ModelLayout &layout() const { return m_layout; }
    std::int64_t parameters() const { return m_parameters; }
    const std::vector<std::string> &warnings() const { return m_warnings; }

    // All that read a tensor do so in pieces over the pool, between which the stop token is polled.
    // (out, in), however it is stored.
    Matrix weight(const LinearSite &site, const TaskContext &context = {}) const;
    // Empty without a bias.
    Vector bias(const LinearSite &site) const;
    Matrix matrix(const std::string &name, const TaskContext &context = {}) const;
    // Empty for an empty name.
    Vector vector(const std::string &name) const;
    // Reads every value that any forward pass reads (of the tables, a pass reads only its tokens' rows), a piece at a time. Throws
    // Error(Numeric) as the functions above do. Progress: a stage of its own.
    void checkValues(const TaskContext &context) const;
    // A table that is looked up by row: as stored, not converted, not checked.
    Tensor table(const std::string &name, const TaskContext &context = {}) const;
    // Row rows[i] of a table, as row i of the result.
    Matrix tableRows(const std::string &name, const Tensor &table, const std::vector<std::int64_t> &rows) const;

private:
    std::vector<std::string> wholeTensors() const;
    std::string storedName(const std::string &name) const;
    void bindTrunk();
    void bindHead(const ModelConfig &config);
    void checkBlockCount() const;
    void bind(std::string &name, const Shape &expected);
    void bind(LinearSite &site);
    void bind(NormLayout &norm, const ModelConfig &config);
    void readValues(const std::string &name, std::span<float> values, const TaskContext &context) const;
    [[noreturn]] void failNonFinite(const std::string &name, const Shape &shape, std::size_t index, float value,
                                    std::size_t count) const;

    std::shared_ptr<const Checkpoint> m_checkpoint;
    ModelLayout m_layout;
    std::string m_storedTrunk;
    std::string m_fit;  // the configuration's extents, for messages
    std::int64_t m_parameters = 0;
    std::vector<std::string> m_warnings;
};

}  // namespace lqer
