// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/eval/perplexity.h"
#include "core/recipe/layer_selector.h"
#include "tests/golden/golden_case.h"

namespace lqer::golden {

namespace {

JsonReader derivedOf(const Case &golden)
{
    return {golden.derived(), golden.name(), "derived"};
}

// evaluate_perplexity: the losses of the batches are given, how they become one number is compared.
void runPerplexity(const Case &golden, Verdict &verdict)
{
    constexpr std::int64_t many = 1LL << 40;
    std::vector<double> means;
    const JsonReader losses = golden.params()["batch_mean_losses"];
    for (std::size_t i = 0; i < losses.size(); ++i)
        means.push_back(losses.at(i).number());
    const std::int64_t batch = golden.params()["batch_size"].integer(1, many);
    std::optional<std::int64_t> samples;
    if (golden.params().has("num_samples"))
        samples = golden.params()["num_samples"].integer(0, many);
    const BatchLoss found = batchLoss(means, batch, samples);

    const JsonReader expected = derivedOf(golden);
    const double relative = toleranceNumber(golden, "rtol", 0);
    const double absolute = toleranceNumber(golden, "atol", 0);
    compareNumber(verdict, "loss", expected["loss"].number(), found.loss, relative, absolute);
    compareNumber(verdict, "perplexity", expected["perplexity"].number(), found.perplexity, relative, absolute);
    if (expected.has("num_samples"))
        compareNumber(verdict, "num_samples", expected["num_samples"].number(), static_cast<double>(found.samples), 0);
}

// find_matched_pattern: "derived" maps module names to the pattern, null for none, "ValueError" for an ambiguity.
void runMatchedPattern(const Case &golden, Verdict &verdict)
{
    std::vector<std::string> patterns;
    const JsonReader list = golden.params()["patterns"];
    for (std::size_t i = 0; i < list.size(); ++i)
        patterns.push_back(list.at(i).string());
    for (const auto &[module, value] : golden.derived().asObject()) {
        const std::string expected = value.isNull() ? "none" : value.asString();
        std::string found;
        try {
            found = findMatchedPattern(patterns, module).value_or("none");
        } catch (const Error &error) {
            found = error.code() == ErrorCode::Argument ? "ValueError" : error.what();
        }
        if (found != expected)
            verdict.fail(fmt::format("'{}': expected {}, found {}", module, expected, found));
    }
}

}  // namespace

std::vector<CaseRunner> evaluationCases()
{
    return {{"evaluate_perplexity", runPerplexity}, {"find_matched_pattern", runMatchedPattern}};
}

}  // namespace lqer::golden
