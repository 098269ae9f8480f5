// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "core/engine/engine.h"

namespace CLI {
class App;
}

namespace lqer::cli {

// How the losses are put together and what else is measured.
class EvaluationOptions {
public:
    void add(CLI::App &command);
    // Throws Error(Argument) on options that do not go together.
    EvaluateOptions options() const;
    // As stated, if it was.
    std::optional<Precision> precision() const;

private:
    std::string m_weighting;
    std::int64_t m_batch = 4;
    std::int64_t m_samples = 0;
    std::optional<TokenId> m_unscored;
    bool m_divergence = false;
    std::string m_precision;
};

}  // namespace lqer::cli
