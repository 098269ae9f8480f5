// SPDX-License-Identifier: Apache-2.0
// Mistral 7B: LLaMA's block with a sliding attention window. transformers, models/mistral.
#include <fmt/format.h>

#include "core/model/architectures/architecture.h"
#include "core/model/architectures/config_fields.h"

namespace lqer {

namespace {

void readConfig(const JsonReader &json, ModelConfig &config)
{
    readLlamaConfig(json, config, 8);
    config.attentionBias = false;  // the class has no biases, whatever the file says
    config.mlpBias = false;
    // The class's default is 4096; null switches the window off.
    const bool stated = json.value().find("sliding_window");
    config.slidingWindow = stated ? json.integer("sliding_window", 0, mostPositions, 0) : 4096;
    if (stated && json.has("sliding_window") && config.slidingWindow == 0)
        config.warnings.push_back("sliding_window is 0: read as no window");
    if (stated && config.slidingWindow > config.maxPositions)
        config.warnings.push_back(fmt::format("sliding_window {} is above max_position_embeddings {}", config.slidingWindow,
                                              config.maxPositions));
}

}  // namespace

Architecture mistralArchitecture()
{
    return {"mistral", {"MistralForCausalLM"}, readConfig, llamaLayout};
}

}  // namespace lqer
