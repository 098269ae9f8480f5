// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "app/cli/session.h"

namespace CLI {
class App;
}

namespace lqer::cli {

// What a command works on.
struct Opened {
    std::shared_ptr<const LoadedModel> model;
    std::shared_ptr<Project> project;  // null if the command needs none
};

// MODEL (a checkpoint's folder, or a project's: then its checkpoint) and, where results are kept, --project.
class ModelOptions {
public:
    void addModel(CLI::App &command);
    void addProject(CLI::App &command);

    Opened openModel(Session &session) const;
    // Also the project: the one given, else NAME.lqer in the current folder. Makes it if it is not there. Throws Error(Conflict)
    // if it is about another checkpoint or cannot be written.
    Opened openWithProject(Session &session) const;

private:
    Opened openProjectFolder(Session &session, const std::string &folder) const;
    std::string projectFolder() const;

    std::string m_model;
    std::string m_project;
};

// Throws Error if a file cannot be made at `path`, before anything is computed for it.
void requireWritable(const std::string &path);

}  // namespace lqer::cli
