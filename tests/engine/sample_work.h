// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/format.h>

#include "core/base/hash.h"
#include "core/engine/engine.h"
#include "tests/support/random_llama.h"

namespace lqer::test {

inline const RandomLlama &sampleModel()
{
    static const RandomLlama model;
    return model;
}

inline QuantizationRecipe sampleRecipe(ScalingKind scaling = ScalingKind::Exact, Index rank = 8)
{
    QuantizationRecipe recipe;
    recipe.name = "sample";
    recipe.defaults.weight = FormatSpec::parse("mxint:width=3,block_size=16");
    recipe.defaults.a = recipe.defaults.b = FormatSpec::parse("mxint:width=8,block_size=16");
    recipe.defaults.scaling = scaling;
    recipe.defaults.rank = rank;
    return recipe;
}

// Two batches' worth of calibration, small enough that one run takes well under a second.
inline TokenWindows sampleCalibration() { return randomWindows(sampleModel(), 6, 32, 5); }
inline TokenWindows sampleEvaluation() { return randomWindows(sampleModel(), 4, 32, 6); }

// Hashes of everything that was computed, not of times: shards hold results only.
inline std::string shardHashes(const std::string &project)
{
    std::string text;
    for (const char *folder : {"statistics", "factors"}) {
        std::map<std::string, std::string> files;
        for (const auto &entry : std::filesystem::directory_iterator(project + "/" + folder)) {
            std::ifstream file(entry.path(), std::ios::binary);
            const std::string bytes((std::istreambuf_iterator<char>(file)), {});
            files[entry.path().filename().string()] = hashHex(std::as_bytes(std::span(bytes)));
        }
        for (const auto &[name, hash] : files)
            text += fmt::format("{} {}\n", name, hash);
    }
    return text;
}

}  // namespace lqer::test
