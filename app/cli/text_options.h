// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "app/cli/session.h"

namespace lqer::cli {

// Which text or token file, and how it becomes windows.
class TextOptions {
public:
    // role: "calibration" or "evaluation": the model's folder may hold ROLE.txt, which is the default.
    // prefix: of the option names ("--calibration-text"), for commands with two texts.
    TextOptions(std::string role, std::string prefix = {}) : m_role(std::move(role)), m_prefix(std::move(prefix)) {}

    void add(CLI::App &command, std::int64_t defaultWindows);

    std::shared_ptr<const TokenWindows> windows(Session &session, const LoadedModel &model) const;

private:
    std::string m_role, m_prefix;
    std::string m_text, m_field = "text";
    std::string m_tokens, m_lengths;
    std::string m_convention;
    WindowOptions m_options{.length = 0};
};

}  // namespace lqer::cli
