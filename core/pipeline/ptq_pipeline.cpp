// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/ptq_pipeline.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/atomic_file.h"
#include "core/io/yaml.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

// A folder for a run that keeps nothing.
class TemporaryFolder {
public:
    TemporaryFolder()
    {
        std::string name = (fs::temp_directory_path() / "lqer-ptq-XXXXXX").string();
        if (!mkdtemp(name.data()))
            throw Error(ErrorCode::Io, name, "", fmt::format("the folder cannot be made: {}", std::strerror(errno)));
        m_path = name;
    }
    ~TemporaryFolder()
    {
        std::error_code ignored;
        fs::remove_all(m_path, ignored);
    }
    TemporaryFolder(const TemporaryFolder &) = delete;
    TemporaryFolder &operator=(const TemporaryFolder &) = delete;
    const std::string &path() const { return m_path; }

private:
    std::string m_path;
};

std::string in(const std::string &folder, const char *name)
{
    return fmt::format("{}/{}", folder, name);
}

// Whether the folder holds what a run had written when it ended early: config.yaml comes last.
bool isInterrupted(const std::string &folder)
{
    std::error_code error;
    if (!Project::isProject(in(folder, projectFolder)) || fs::exists(in(folder, configFile), error))
        return false;
    const auto isOurs = [](const fs::directory_entry &entry) {
        const std::string name = entry.path().filename().string();
        return name == projectFolder || std::ranges::any_of(resultFiles, [&](const char *file) {
            return name == file || name.starts_with(fmt::format("{}.tmp.", file));
        });
    };
    return std::ranges::all_of(fs::directory_iterator(folder), isOurs);
}

// A and B that are to be used instead of new ones: the stated ones, or those of the folder that is overwritten; "" for none.
std::string factorsToUse(const QeraConfig &config)
{
    const std::string present = in(config.outputDir, factorsFile);
    std::error_code error;
    if (config.disableQera || config.outputDir.empty() || !config.overwrite || !fs::is_regular_file(present, error))
        return config.abDict;
    if (config.abDict.empty()) {
        logWarning(fmt::format("{}: A and B that are here already are used, nothing is calibrated", present));
        return present;
    }
    if (!fs::equivalent(config.abDict, present, error))
        logWarning(fmt::format("{}: A and B that are here already are not used, but those of {}", present, config.abDict));
    return config.abDict;
}

// Makes the folder, or holds it against the rules of overwriting.
void prepareFolder(const QeraConfig &config)
{
    const std::string &folder = config.outputDir;
    std::error_code error;
    fs::create_directories(folder, error);
    if (error || !fs::is_directory(folder))
        throw Error(
            ErrorCode::Io, folder, "", error ? fmt::format("the folder cannot be made: {}", error.message()) : "is no folder");
    const fs::directory_iterator first(folder);
    if (config.overwrite || first == fs::directory_iterator())
        return;
    if (!isInterrupted(folder))
        throw Error(ErrorCode::Conflict, folder, "",
            fmt::format("is not empty ('{}'): name another output_dir, or --overwrite-output-dir",
                escaped(first->path().filename().string(), 80)));
    logWarning(fmt::format("{}: goes on from an interrupted run", folder));
}

}  // namespace

PtqResult runPtq(const Engine &engine, const QeraRequest &given, const TaskContext &context)
{
    QeraRequest request = given;
    const std::string used = factorsToUse(given.config);
    request.config.abDict = used;
    QeraWork work = openQera(engine, request, context);
    for (const std::string &note : work.notes)
        logWarning(note);
    const QeraConfig &config = work.config();
    const bool keeps = !config.outputDir.empty();
    const bool computes = !config.disableQera && used.empty();
    if (keeps)
        prepareFolder(config);
    std::optional<TemporaryFolder> temporary;
    if (!keeps)
        temporary.emplace();
    const std::string folder = keeps ? config.outputDir : temporary->path();

    PtqResult result;
    std::shared_ptr<const CorrectionDictionary> corrections;
    if (!config.disableQera && !computes) {
        corrections = std::make_shared<const CorrectionDictionary>(std::vector{used});
        corrections->requireFits(work.model->transformer().linearSites());
        work.recipe = withRanksOf(work.recipe, *corrections, *work.model);
    }
    const std::shared_ptr<Project> project = openOrCreateProject(engine, in(folder, projectFolder), *work.model);
    project->requireWritable();
    for (const char *file : resultFiles)
        sweepTemporariesOf(in(folder, file));  // the folder is ours
    std::string calibration;
    if (computes) {
        if (const auto statistics = calibrateQera(work, *project, context))
            calibration = statistics->stats->key();
        result.layers = approximateQera(
            work, *project, work.correctedLayers(), calibration, in(folder, errorsFile), in(folder, factorsFile), context);
    }
    result.results = evaluateQera(work, *project, calibration, corrections, keeps ? folder : std::string(), context);
    result.recipe = work.recipe;
    project->save();
    if (keeps) {
        Json kept = config.json;
        if (computes)
            kept.set("AB_dict", fs::absolute(in(folder, factorsFile)).lexically_normal().string());
        writeFileAtomically(in(folder, configFile), toYaml(kept));
    }
    return result;
}

}  // namespace lqer
