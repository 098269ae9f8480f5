// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/io/checkpoint.h"
#include "core/io/json.h"
#include "core/tensor/tensor.h"

namespace lqer::test {

// A checkpoint in memory: what config.json says and the tensors by name.
struct SmallModel {
    Json config;
    std::map<std::string, Tensor> tensors;
};

// Models of two or three blocks with random weights whose activations stay around 1. `changes` is laid over the family's
// config; a null there is written as null. Names and shapes are spelled out here from transformers' classes, not taken from the
// engine.
SmallModel smallLlama(const Json::Object &changes = {});
SmallModel smallMistral(const Json::Object &changes = {});
SmallModel smallOpt(const Json::Object &changes = {});
SmallModel smallGpt2(const Json::Object &changes = {});

// Every tensor name that begins with `prefix` begins with `replacement` instead.
void renamePrefix(SmallModel &model, const std::string &prefix, const std::string &replacement);
void writeModel(const SmallModel &model, const std::string &folder, const std::map<std::string, std::string> &metadata = {});
std::shared_ptr<const Checkpoint> openModel(const SmallModel &model, const std::string &folder);

// float32, normal with the given deviation and mean; the seed comes from the name.
Tensor randomTensor(const std::string &name, const Shape &shape, double deviation, double mean = 0);

}  // namespace lqer::test
