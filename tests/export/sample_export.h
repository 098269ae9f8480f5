// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <QString>
#include <QStringList>

#include <map>
#include <memory>
#include <string>

#include "core/engine/engine.h"

namespace lqer::test {

// A model with a project that holds what a recipe needs, ready to be exported.
class SampleExport {
public:
    // checkpoint: a folder, which is only read; place: where the project goes. Statistics come from random ids.
    SampleExport(const std::string &checkpoint, const std::string &place, QuantizationRecipe recipe);

    // Exports into `name` below the place. Returns the path.
    std::string write(const std::string &target, const std::string &name, ExportOptions options = {}, bool overwrite = false,
                      const TaskContext *context = nullptr) const;
    ExportForecast forecast(const std::string &target, ExportOptions options = {}) const;

    const Engine &engine() const { return m_engine; }
    const LoadedModel &model() const { return *m_model; }
    Project &project() const { return *m_project; }
    const QuantizationRecipe &recipe() const { return m_recipe; }
    const std::string &place() const { return m_place; }
    const std::vector<LinearSite> &sites() const { return m_model->transformer().linearSites(); }
    LayerPlan plan(const LinearSite &site) const { return m_recipe.planFor(site); }
    // What an export must hold: W_q by the format's quantizer, A and B by the project.
    Matrix quantized(const LinearSite &site) const;
    LowRankCorrection correction(const LinearSite &site) const;
    // Random ids for this model.
    std::shared_ptr<const TokenWindows> windows(std::int64_t count, std::uint32_t seed) const;

private:
    std::string m_place;
    QuantizationRecipe m_recipe;
    Engine m_engine;
    std::shared_ptr<const LoadedModel> m_model;
    std::shared_ptr<Project> m_project;
};

// Everything below a folder with its contents, hashed by name: two folders are the same if these are equal.
std::map<std::string, std::string> contentsOf(const std::string &folder);
// Names of checkpoints to export: a made-up one always ("random"), and the real ones where shared data is there.
QStringList sampleModels();
// The folder of one of them; `place` is where the made-up one is written.
std::string sampleModelFolder(const QString &name, const std::string &place);
// Bit-equal, zeros of either sign the same.
bool sameValues(const Matrix &one, const Matrix &other);

// Weights in `format`; every other layer of a block with its own rank, one layer not quantized, one not corrected.
QuantizationRecipe mixedRanks(const std::string &format, const std::vector<LinearSite> &sites);

}  // namespace lqer::test
