// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/import/quantized_checkpoint.h"
#include "core/io/json.h"

namespace lqer {

// A way in which Hugging Face folders keep quantized layers. One per file in this folder; one more is its file and a line in the list.
struct PackingMethod {
    std::string_view name;  // quantization_config.quant_method
    std::unique_ptr<QuantizedBase> (*open)(const std::string &folder, const JsonReader &config, const Transformer &model);
};

PackingMethod gptqMethod();
PackingMethod awqMethod();
PackingMethod compressedTensorsMethod();

const std::vector<PackingMethod> &packingMethods();

bool isGgufFile(const std::string &path);
std::unique_ptr<QuantizedBase> openGgufBase(const std::string &path, const Transformer &model);

}  // namespace lqer
