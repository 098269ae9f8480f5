// SPDX-License-Identifier: Apache-2.0
#include "tests/export/measured_export.h"

namespace lqer::test {

const char *const hostileText = "=1+1,\"<script>alert('x')</script>\" & \xE2\x80\xAE\x01 end";

std::unique_ptr<SampleExport> measuredExport(const std::string &place)
{
    const std::string folder = sampleModelFolder("random", place);
    QuantizationRecipe recipe = mixedRanks("mxint:width=3,block_size=16", Engine(EngineOptions{1, 0}).load(folder, {})->transformer().linearSites());
    recipe.name = hostileText;
    recipe.defaults.scaling = ScalingKind::Exact;
    auto sample = std::make_unique<SampleExport>(folder, place, recipe);
    auto evaluation = std::make_shared<TokenWindows>(*sample->windows(3, 7));
    evaluation->source = hostileText;
    RunRequest request;
    request.recipe = recipe;
    request.calibrationWindows = sample->windows(4, 1);
    request.evaluationWindows = evaluation;
    request.evaluate.divergence = true;
    request.plain = true;
    request.compare = {ScalingKind::Diagonal};
    sample->engine().run(sample->model(), sample->project(), request, sample->engine().context());
    return sample;
}

std::string writeRecipe(const SampleExport &sample, const QuantizationRecipe &recipe, const std::string &target, const std::string &name)
{
    const ExportRequest request{target, {}, sample.place() + "/" + name, false};
    sample.engine().exportModel(sample.model(), sample.project(), recipe, request, sample.engine().context());
    return request.path;
}

void markAsEstimated(const SampleExport &sample)
{
    for (const auto &stored : sample.project().decompositions()) {
        DecompositionRecord record = *stored;
        ErrorDecomposition decomposition = *sample.project().loadDecomposition(record.key);
        constexpr Index few = 6;
        record.maxRank = record.sigmaExact = decomposition.sigmaExact = few;
        record.sigmaUnscaledExact = decomposition.sigmaUnscaledExact = 0;
        record.weightCaptured.conservativeResize(few);
        record.outputCaptured.conservativeResize(few);
        decomposition.a.conservativeResize(Eigen::NoChange, few);
        decomposition.b.conservativeResize(few, Eigen::NoChange);
        sample.project().storeDecomposition(record, decomposition);
    }
}

}  // namespace lqer::test
