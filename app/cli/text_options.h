// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "app/cli/session.h"
#include "core/pipeline/sweep_plan.h"

namespace lqer::cli {

// --data: the folder that data sets and tasks are looked for in; else the environment's LQER_DATA. `group`: of the help text.
void addDataFolder(CLI::App &command, std::string &folder, const std::string &group);

// Which text or token file, and how it becomes windows.
class TextOptions {
public:
    // role: "calibration" or "evaluation": the model's folder may hold ROLE.txt, which is the default.
    // prefix: of the option names ("--calibration-text"), for commands with two texts.
    TextOptions(std::string role, std::string prefix = {});

    // dataFolder: filled by addDataFolder(), outlives this.
    void add(CLI::App &command, std::int64_t defaultWindows, const std::string &dataFolder);

    // As if --data-set said it.
    void useDataSet(std::string name) { m_dataSet = std::move(name); }
    // Whether text, tokens or a data set were stated.
    bool isStated() const { return !m_text.empty() || !m_tokens.empty() || !m_dataSet.empty(); }

    // change: what is stated there counts in place of the options.
    std::shared_ptr<const TokenWindows> windows(Session &session, const LoadedModel &model, const WindowChange &change = {}) const;

private:
    std::string m_role, m_prefix;
    TextSource source(const LoadedModel &model) const;

    std::string m_text, m_field = "text";
    std::string m_dataSet, m_split;
    const std::string *m_dataFolder = nullptr;
    std::string m_tokens, m_lengths;
    std::string m_convention;
    WindowOptions m_options{.length = 0};
};

}  // namespace lqer::cli
