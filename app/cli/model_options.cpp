// SPDX-License-Identifier: Apache-2.0
#include "app/cli/model_options.h"

#include <exception>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/io/atomic_file.h"

namespace lqer::cli {

namespace fs = std::filesystem;

namespace {

bool isEmpty(const Project &project)
{
    for (const std::string &key : project.calibrationKeys())
        if (!project.calibration(key)->sites.empty())
            return false;
    return project.decompositions().empty() && project.reports().empty() && project.recipes().empty();
}

}  // namespace

Opened::~Opened()
{
    if (m_createdFolder.empty() || !project || std::uncaught_exceptions() == 0)
        return;
    const bool empty = isEmpty(*project);
    project = nullptr;
    std::error_code ignored;
    if (empty)
        fs::remove_all(m_createdFolder, ignored);
}

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

void ModelOptions::addBase(CLI::App &command)
{
    command.add_option("--base", m_base, "An existing quantization of MODEL, whose W_q is taken in place of the recipe's format: a GGUF file, or a "
                                         "folder packed by GPTQ, AWQ or compressed-tensors. Only A and B are computed")
        ->type_name("QUANTIZED")
        ->group("Recipe");
}

Opened ModelOptions::open(Session &session) const
{
    Opened opened;
    if (Project::isProject(m_model)) {
        if (!m_project.empty())
            throw Error(ErrorCode::Argument, fmt::format("MODEL is the project {} already, --project gives another one", m_model));
        opened.project = session.engine().openProject(m_model);
        opened.model = session.engine().loadFor(*opened.project, session.context());
    } else {
        opened.model = session.engine().load(m_model, session.context());
    }
    if (hasBase())
        opened.model = session.engine().withBase(*opened.model, m_base, session.context());
    return opened;
}

void ModelOptions::openProject(Session &session, Opened &opened) const
{
    if (!opened.project) {
        const std::string folder = projectFolder();
        if (Project::isProject(folder)) {
            opened.project = session.engine().openProject(folder);
            if (opened.project->checkpoint().fingerprint != opened.model->summary().fingerprint)
                throw Error(ErrorCode::Conflict, folder, "",
                            fmt::format("is about another checkpoint ({}); choose another folder with --project", opened.project->checkpoint().folder));
        } else {
            std::error_code error;
            const bool there = fs::exists(folder, error);
            opened.model->transformer().checkValues(session.context());
            opened.project = session.engine().createProject(folder, *opened.model);
            if (!there)
                opened.m_createdFolder = folder;
            session.console().note(fmt::format("New project {}", folder));
        }
    }
    for (const std::string &note : opened.project->notes())
        session.console().note(fmt::format("{}: {}", opened.project->folder(), note));
    if (opened.project->isReadOnly())
        throw Error(ErrorCode::Conflict, opened.project->folder(), "",
                    fmt::format("cannot be written: {}", opened.project->readOnlyReason()));
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
