// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/ptq_pipeline.h"

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

// Makes the folder, or holds it against the rules of overwriting. A and B that are to be used instead of new ones; "" for none.
std::string prepareFolder(const QeraConfig &config)
{
    const std::string &folder = config.outputDir;
    std::error_code error;
    fs::create_directories(folder, error);
    if (error || !fs::is_directory(folder))
        throw Error(
            ErrorCode::Io, folder, "", error ? fmt::format("the folder cannot be made: {}", error.message()) : "is no folder");
    if (!config.overwrite) {
        for (const fs::directory_entry &entry : fs::directory_iterator(folder))
            if (entry.path().filename() != projectFolder)
                throw Error(ErrorCode::Conflict, folder, "",
                    fmt::format("is not empty ('{}'): name another output_dir, or --overwrite-output-dir",
                        escaped(entry.path().filename().string(), 80)));
        if (Project::isProject(in(folder, projectFolder)))
            logWarning(fmt::format("{}: goes on from an interrupted run", folder));
        return config.abDict;
    }
    const std::string present = in(folder, factorsFile);
    if (config.disableQera || !fs::is_regular_file(present, error))
        return config.abDict;
    if (config.abDict.empty()) {
        logWarning(fmt::format("{}: A and B that are here already are used, nothing is calibrated", present));
        return present;
    }
    if (!fs::equivalent(config.abDict, present, error))
        logWarning(fmt::format("{}: A and B that are here already are not used, but those of {}", present, config.abDict));
    return config.abDict;
}

}  // namespace

PtqResult runPtq(const Engine &engine, const QeraRequest &request, const TaskContext &context)
{
    QeraWork work = openQera(engine, request, context);
    for (const std::string &note : work.notes)
        logWarning(note);
    const QeraConfig &config = work.config();
    const bool keeps = !config.outputDir.empty();
    std::string factors = keeps ? prepareFolder(config) : config.abDict;
    const bool computes = !config.disableQera && factors.empty();
    std::optional<TemporaryFolder> temporary;
    if (!keeps)
        temporary.emplace();
    const std::string folder = keeps ? config.outputDir : temporary->path();

    PtqResult result;
    std::shared_ptr<const CorrectionDictionary> corrections;
    if (!config.disableQera && !factors.empty()) {
        corrections = std::make_shared<const CorrectionDictionary>(std::vector{factors});
        corrections->requireFits(work.model->transformer().linearSites());
        work.recipe = withRanksOf(work.recipe, *corrections, *work.model);
    }
    const std::shared_ptr<Project> project = openOrCreateProject(engine, in(folder, projectFolder), *work.model);
    project->requireWritable();
    std::string calibration;
    if (computes) {
        if (const auto statistics = calibrateQera(work, *project, context))
            calibration = statistics->stats->key();
        result.layers = approximateQera(
            work, *project, work.correctedLayers(), calibration, in(folder, errorsFile), in(folder, factorsFile), context);
        factors = in(folder, factorsFile);
    }
    result.results = evaluateQera(work, *project, calibration, corrections, keeps ? folder : std::string(), context);
    result.recipe = work.recipe;
    project->save();
    if (keeps) {
        Json kept = config.json;
        if (computes)
            kept.set("AB_dict", fs::absolute(factors).lexically_normal().string());
        writeFileAtomically(in(folder, configFile), toYaml(kept));
    }
    return result;
}

}  // namespace lqer
