// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/sweep_presets.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer {

namespace {

std::vector<SweepPreset> makePresets()
{
    return {
        {"papers-table", "plain, LQER, L2QER, QERA-approx and QERA-exact at W4A8, W4A6, W3A8 and W2A8, rank 32 (2 bits: 256)", R"({
  "version": 1,
  "name": "papers-table",
  "base": "l2qer-w4a8",
  "over": {
    "setting": [
      {"label": "W4A8", "set": {"weight.width": 4, "activation.width": 8, "bias.width": 8, "factors.width": 8, "attention.width": 8}},
      {"label": "W4A6", "set": {"weight.width": 4, "activation.width": 6, "bias.width": 6, "factors.width": 6, "attention.width": 6}},
      {"label": "W3A8", "set": {"weight.width": 3}},
      {"label": "W2A8", "set": {"weight.width": 2, "rank": 256}}
    ],
    "method": [
      {"label": "plain", "set": {"rank": 0}},
      {"label": "LQER", "set": {"scaling": "identity"}},
      {"label": "L2QER", "set": {"scaling": "lqer"}},
      {"label": "QERA-approx", "set": {"scaling": "diag"}},
      {"label": "QERA-exact", "set": {"scaling": "exact"}}
    ]
  },
  "sensible_ranks": true
})"},
        {"l2qer-mxint", "LQER's sweep_lqer_act.sh: L2QER in block_fp, W4A8, blocks of 16, 32 samples", R"({
  "version": 1,
  "name": "l2qer-mxint",
  "base": "l2qer-w4a8",
  "calibration": {"windows": 32, "batch": 2, "convention": "sharded"},
  "evaluation": {"convention": "sharded", "weighting": "batch"},
  "over": {
    "rank": [32],
    "weight.width": [4],
    "activations": [
      {"label": "A8", "set": {"activation.width": 8, "bias.width": 8, "factors.width": 8, "attention.width": 8}}
    ],
    "weight block": [
      {"label": "1x16", "set": {"weight.block_size": [1, 16]}}
    ],
    "activation block": [
      {"label": "1x16", "set": {"activation.block_size": [1, 16], "bias.block_size": [16], "factors.block_size": [1, 16], "attention.block_size": [1, 16]}}
    ]
  }
})"},
        {"l2qer-int", "LQER's sweep_lqer_act_int.sh: block_fp weights of 4 bits in blocks of 128, nothing else quantized, 64 samples", R"({
  "version": 1,
  "name": "l2qer-int",
  "base": "l2qer-int-w4",
  "calibration": {"windows": 64, "batch": 2, "convention": "sharded"},
  "evaluation": {"convention": "sharded", "weighting": "batch"},
  "over": {
    "rank": [32],
    "weight.width": [4],
    "weight block": [
      {"label": "1x128", "set": {"weight.block_size": [1, 128]}}
    ]
  }
})"},
        {"weight-only", "LQER's sweep_lqer_act_w-only.sh: block_fp weights of 3 bits in blocks of 32, rank 64, 256 samples", R"({
  "version": 1,
  "name": "weight-only",
  "base": "l2qer-int-w4",
  "calibration": {"batch": 2, "convention": "sharded"},
  "evaluation": {"convention": "sharded", "weighting": "batch"},
  "over": {
    "rank": [64],
    "weight.width": [3],
    "weight block": [
      {"label": "1x32", "set": {"weight.block_size": [1, 32]}}
    ],
    "samples": [256]
  }
})"},
        {"lqer-svd", "LQER's sweep_lqer_svd.sh: plain SVD of the error, W4A8, blocks of 16", R"({
  "version": 1,
  "name": "lqer-svd",
  "base": "lqer-w4a8",
  "calibration": {"windows": 32, "batch": 2, "convention": "sharded"},
  "evaluation": {"convention": "sharded", "weighting": "batch"},
  "over": {
    "rank": [32],
    "weight.width": [4],
    "activations": [
      {"label": "A8", "set": {"activation.width": 8, "bias.width": 8, "factors.width": 8, "attention.width": 8}}
    ],
    "weight block": [
      {"label": "1x16", "set": {"weight.block_size": [1, 16]}}
    ]
  }
})"},
        {"no-lqer", "LQER's sweep_baseline_no_lqer.sh: W8A8, one scale a row, no correction", R"({
  "version": 1,
  "name": "no-lqer",
  "base": "plain-w4a8",
  "evaluation": {"convention": "sharded", "weighting": "batch"},
  "over": {
    "weight.width": [8],
    "activations": [
      {"label": "A8", "set": {"activation.width": 8, "bias.width": 8, "attention.width": 8}}
    ],
    "weight block": [
      {"label": "1x-1", "set": {"weight.block_size": [1, -1]}}
    ],
    "activation block": [
      {"label": "1x-1", "set": {"activation.block_size": [1, -1], "bias.block_size": [-1], "attention.block_size": [1, -1]}}
    ]
  }
})"},
        {"qera-configs", "QERA's shipped configurations: MXINT4, MXINT3, NF4, block_fp4 and the chunked one, 256 samples", R"({
  "version": 1,
  "name": "qera-configs",
  "base": "qera-approx-mxint4",
  "calibration": {"windows": 256, "batch": 4, "convention": "sharded"},
  "evaluation": {"convention": "sharded", "weighting": "batch"},
  "over": {
    "config": [
      {"label": "uniform-rank", "set": {"recipe": "qera-approx-mxint4"}},
      {"label": "uniform-rank-3bit", "set": {"recipe": "qera-exact-mxint3", "scaling": "diag"}},
      {"label": "uniform-rank-NF4", "set": {"recipe": "qera-exact-nf4"}},
      {"label": "uniform-rank-bfp", "set": {"recipe": "qera-exact-mxint4", "weight": "block_fp:width=4,block_size=1x32"}},
      {"label": "uniform-rank-chunked", "set": {"recipe": "qera-exact-mxint4"}}
    ]
  }
})"},
        {"ranks", "Rank and scaling of MXINT3 weights: how much each rank wins back", R"({
  "version": 1,
  "name": "ranks",
  "base": "qera-exact-mxint3",
  "over": {
    "rank": [4, 8, 16, 32, 64],
    "scaling": ["identity", "lqer", "diag", "exact"]
  }
})"},
    };
}

}  // namespace

const std::vector<SweepPreset> &sweepPresets()
{
    static const std::vector<SweepPreset> presets = makePresets();
    return presets;
}

const SweepPreset &findSweepPreset(std::string_view name)
{
    std::vector<std::string> names;
    for (const SweepPreset &preset : sweepPresets()) {
        if (preset.name == name)
            return preset;
        names.push_back(preset.name);
    }
    const std::string near = nearest(name, names);
    throw Error(ErrorCode::Argument, near.empty() ? fmt::format("unknown sweep '{}'; there are: {}", escaped(name), fmt::join(names, ", "))
                                                  : fmt::format("unknown sweep '{}'; did you mean '{}'?", escaped(name), near));
}

}  // namespace lqer
