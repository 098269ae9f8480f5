// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "app/cli/session.h"

namespace CLI {
class App;
}

namespace lqer::cli {

// What a command works on. A project that this command made is removed again when the command fails before anything is in it.
class Opened {
public:
    Opened() = default;
    ~Opened();
    Opened(Opened &&) = default;
    Opened &operator=(Opened &&) = default;

    std::shared_ptr<const LoadedModel> model;
    std::shared_ptr<Project> project;  // null until openProject(), unless MODEL is a project

private:
    friend class ModelOptions;
    std::string m_createdFolder;  // that this command made, "" if it was there
};

// MODEL (a checkpoint's folder, or a project's: then its checkpoint) and, where results are kept, --project.
class ModelOptions {
public:
    void addModel(CLI::App &command);
    void addProject(CLI::App &command);
    // --base: an existing quantization of MODEL that W_q is read from. open() opens it too.
    void addBase(CLI::App &command);
    bool hasBase() const { return !m_base.empty(); }

    Opened open(Session &session) const;
    // Adds the project: the one given, else NAME.lqer in the current folder. Makes it if it is not there, so a command looks at
    // all its other input first. Throws Error(Conflict) if it is about another checkpoint or cannot be written.
    void openProject(Session &session, Opened &opened) const;

private:
    std::string projectFolder() const;

    std::string m_model;
    std::string m_project;
    std::string m_base;
};

// Throws Error if a file cannot be made at `path`, before anything is computed for it.
void requireWritable(const std::string &path);

}  // namespace lqer::cli
