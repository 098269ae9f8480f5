// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/calib/calibration_stats.h"
#include "core/project/decomposition_record.h"
#include "core/recipe/quantization_recipe.h"

namespace lqer {

// Which checkpoint a project is about.
struct CheckpointIdentity {
    std::string folder;        // absolute
    std::string relative;      // the same seen from the project's folder: both may have been moved together
    std::string fingerprint;   // Checkpoint::fingerprint()
    std::string architecture;  // for messages
};

// An evaluation report as the project keeps it.
struct StoredReport {
    std::string id;  // "000001", ascending
    std::shared_ptr<const Json> report;
};

// A project folder NAME.lqer: project.h5 (settings, small vectors, recipes, reports, list of shards) and write-once shards of
// large arrays in statistics/ and factors/. The format is described in core/README.md.
//
// Thread-safe: what is handed out are immutable values. Whatever was stored survives a kill: a shard is complete or absent, and
// shards that project.h5 does not list yet are taken up when the project is opened. project.h5 itself is saved by save(), and
// by the store functions when the last save is more than a few seconds ago.
class Project {
public:
    // Throws Error(Conflict) if the folder is there already and not empty, Error(Io | DiskFull).
    static std::shared_ptr<Project> create(const std::string &folder, const CheckpointIdentity &checkpoint);
    // Read-only if another process holds it or the folder cannot be written; see isReadOnly(). Throws Error(NotFound | Format |
    // Unsupported | Io). Missing or damaged shards are no reason not to open: see notes().
    static std::shared_ptr<Project> open(const std::string &folder);
    // True if `folder` looks like a project.
    static bool isProject(const std::string &folder);
    // Saves if something is unsaved (a failure is logged), lets others in.
    ~Project();
    Project(const Project &) = delete;
    Project &operator=(const Project &) = delete;

    const std::string &folder() const;
    bool isReadOnly() const;
    // Why it is read-only ("process 1234 on HOST has it open"), or "".
    std::string readOnlyReason() const;
    // Throws Error(Conflict) with the reason if it is read-only, before work begins that could not be kept.
    void requireWritable() const;
    // What was found at opening and since: shards that are missing or damaged and what must be computed again because of it,
    // shards that were taken up.
    std::vector<std::string> notes() const;
    bool isModified() const;
    // Throws Error(Conflict) if read-only.
    void save();

    CheckpointIdentity checkpoint() const;
    void setCheckpoint(const CheckpointIdentity &checkpoint);

    // Statistics. Keys in the order they were made; `complete`: finishCalibration() was called.
    std::vector<std::string> calibrationKeys() const;
    // Provenance and the small vectors of every site that is there; autocorrelation matrices stay on disk. Null if unknown.
    std::shared_ptr<const CalibrationStats> calibration(const std::string &key) const;
    bool isCalibrationComplete(const std::string &key) const;
    // One site with its autocorrelation matrix. Null if it is not there. A damaged shard is struck off and Error(Format) says what
    // must be computed again. Polls the stop token.
    std::shared_ptr<const SiteStats> siteStats(const std::string &key, const std::string &activationSite, const TaskContext &context = {});
    // Begins (or continues) statistics with this provenance; `provenance.sites` is ignored. Returns the key.
    std::string beginCalibration(const CalibrationStats &provenance);
    void storeSiteStats(const std::string &key, const std::string &activationSite, const SiteStats &stats);
    void finishCalibration(const std::string &key, const std::vector<std::string> &activationSites);

    // Decompositions.
    std::vector<std::shared_ptr<const DecompositionRecord>> decompositions() const;
    std::shared_ptr<const DecompositionRecord> decomposition(const DecompositionKey &key) const;
    // With factors, in float32 precision. Null if it is not there; Error(Format) as above.
    std::shared_ptr<const ErrorDecomposition> loadDecomposition(const DecompositionKey &key);
    // True if it is there with factors up to `rank` and at least so much of its spectrum, and its shard is whole; a damaged one is struck off
    // with a note. Each shard is read once per session.
    bool hasWholeDecomposition(const DecompositionKey &key, Index rank, SpectrumExtent spectrum = SpectrumExtent::Leading);
    // Factors are rounded to float32. Replaces a decomposition of the same key.
    void storeDecomposition(const DecompositionRecord &record, const ErrorDecomposition &decomposition);

    // Recipes by name.
    std::vector<QuantizationRecipe> recipes() const;
    std::optional<QuantizationRecipe> recipe(const std::string &name) const;
    void storeRecipe(const QuantizationRecipe &recipe);
    void removeRecipe(const std::string &name);

    std::vector<StoredReport> reports() const;
    // Returns the id.
    std::string storeReport(const Json &report);
    void removeReport(const std::string &id);

    // What a front end wants to remember, as it likes.
    Json settings() const;
    void setSettings(const Json &settings);

    // Reads every shard and compares its checksum. Returns what must be computed again, as notes() says it.
    std::vector<std::string> verify(const TaskContext &context);

private:
    struct State;
    explicit Project(std::unique_ptr<State> state);
    std::unique_ptr<State> m_state;
};

}  // namespace lqer
