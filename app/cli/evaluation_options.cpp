// SPDX-License-Identifier: Apache-2.0
#include "app/cli/evaluation_options.h"

#include <CLI/CLI.hpp>

#include "core/base/error.h"

namespace lqer::cli {

void EvaluationOptions::add(CLI::App &command)
{
    const std::string group = "Measuring";
    command.add_option("--weighting", m_weighting, "token: every token counts the same (default); batch: every batch does, as in LQER and QERA")
        ->type_name("NAME")
        ->group(group);
    command.add_option("--batch", m_batch, "Weighting batch: windows in a batch")->capture_default_str()->type_name("N")->check(CLI::Range(1, 1 << 20))->group(group);
    command.add_option("--samples", m_samples, "Weighting batch: only the first N / batch batches (0: all)")
        ->type_name("N")
        ->check(CLI::NonNegativeNumber)
        ->group(group);
    command.add_option("--unscored", m_unscored, "Token id whose predictions do not count (the papers' code leaves EOS out)")->type_name("ID")->group(group);
    command.add_option("--precision", m_precision, "Of products with weights that are not quantized: f32, or bf16, twice as fast where the processor has it")
        ->capture_default_str()
        ->type_name("NAME")
        ->group(group);
    command.add_flag("--divergence", m_divergence, "Also KL divergence, top-1 agreement and change of probability against the original model")->group(group);
}

EvaluateOptions EvaluationOptions::options() const
{
    EvaluateOptions options;
    if (!m_weighting.empty())
        options.perplexity.weighting = lossWeightingFromString(m_weighting);
    if (m_samples > 0 && options.perplexity.weighting != LossWeighting::Batch)
        throw Error(ErrorCode::Argument, "--samples needs --weighting batch");
    options.perplexity.batch = m_batch;
    options.perplexity.samples = m_samples;
    options.perplexity.unscored = m_unscored;
    options.divergence = m_divergence;
    options.perplexity.forward.precision = options.divergenceOptions.forward.precision = precision().value_or(Precision::Float32);
    return options;
}

std::optional<Precision> EvaluationOptions::precision() const
{
    return m_precision.empty() ? std::nullopt : std::optional(precisionFromString(m_precision));
}

}  // namespace lqer::cli
