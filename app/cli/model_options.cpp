// SPDX-License-Identifier: Apache-2.0
#include "app/cli/model_options.h"

#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/io/atomic_file.h"

namespace lqer::cli {

namespace fs = std::filesystem;

void ModelOptions::addModel(CLI::App &command)
{
    command.add_option("model", m_model, "Folder of a checkpoint (config.json, *.safetensors), or of a project (NAME.lqer): its checkpoint")
        ->required()
        ->type_name("MODEL");
}

void ModelOptions::addProject(CLI::App &command)
{
    command.add_option("--project", m_project, "Folder that keeps what is computed (default: NAME.lqer here, NAME being the model's)")
        ->type_name("FOLDER");
}

Opened ModelOptions::openModel(Session &session) const
{
    if (!Project::isProject(m_model))
        return {session.engine().load(m_model, session.context()), nullptr};
    Opened opened = openProjectFolder(session, m_model);
    opened.project = nullptr;
    return opened;
}

Opened ModelOptions::openWithProject(Session &session) const
{
    Opened opened;
    if (Project::isProject(m_model)) {
        if (!m_project.empty())
            throw Error(ErrorCode::Argument, fmt::format("MODEL is the project {} already; --project gives another one", m_model));
        opened = openProjectFolder(session, m_model);
    } else {
        opened.model = session.engine().load(m_model, session.context());
        const std::string folder = projectFolder();
        if (Project::isProject(folder)) {
            opened.project = session.engine().openProject(folder);
            if (opened.project->checkpoint().fingerprint != opened.model->summary().fingerprint)
                throw Error(ErrorCode::Conflict, folder, "",
                            fmt::format("is about another checkpoint ({}); choose another folder with --project", opened.project->checkpoint().folder));
        } else {
            opened.project = session.engine().createProject(folder, *opened.model);
            session.console().note(fmt::format("New project {}", folder));
        }
    }
    for (const std::string &note : opened.project->notes())
        session.console().note(fmt::format("{}: {}", opened.project->folder(), note));
    if (opened.project->isReadOnly())
        throw Error(ErrorCode::Conflict, opened.project->folder(), "",
                    fmt::format("cannot be written: {}", opened.project->readOnlyReason()));
    return opened;
}

Opened ModelOptions::openProjectFolder(Session &session, const std::string &folder) const
{
    Opened opened;
    opened.project = session.engine().openProject(folder);
    opened.model = session.engine().loadFor(*opened.project, session.context());
    return opened;
}

std::string ModelOptions::projectFolder() const
{
    if (!m_project.empty())
        return m_project;
    std::error_code error;
    fs::path folder = fs::weakly_canonical(m_model, error);
    if (error)
        folder = m_model;
    if (folder.filename().empty())
        folder = folder.parent_path();
    return (folder.filename().empty() ? std::string("model") : folder.filename().string()) + ".lqer";
}

void requireWritable(const std::string &path)
{
    const AtomicFile trial(path);
}

}  // namespace lqer::cli
