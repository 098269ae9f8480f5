// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace lqer::test {

// A configuration with QERA's keys for LLaMA and OPT: MXINT3 weights, activations and attention operands of 8 bits.
inline std::string qeraSample()
{
    return R"(model_name: somebody/some-model
qera_dtype: float32
eval_dtype: bfloat16
device_map: auto-balanced
num_workers: 2
output_dir: null
AB_dict: null
calibration_set: slim_pajama_6b
num_calibration_samples: 8
perplexity_eval_batch_size: 2
perplexity_eval_set: wikitext2
perplexity_max_seq_length: 32
lm_eval_tasks: [arc_easy, boolq]
lm_eval_batch_size: auto
lm_eval_num_fewshot: 0
max_position_embeddings: null
disable_qera: false
disable_perplexity_eval: false
disable_lm_eval: true
overwrite_output_dir: null
qera_scaling_mode: rxx
qera_sqrtm_implementation: blocked
qera_sqrtm_num_iters: 100
qera_scaling_mode_map:
  'model\.layers\.[0-9]+\.self_attn\.(k|o)_proj': rxx
  'model\.layers\.[0-9]+\.mlp\.(gate|down)_proj': diag
qera_config:
  'model\.layers\.[0-9]+\.self_attn\.(k|q|v|o)_proj': attention
  'model\.layers\.[0-9]+\.mlp\.(gate|down|up)_proj': default-1
  'model\.layers\.[0-9]+\.self_attn\.(matmul_0|matmul_1)': default-matmul
  'model\.decoder\.layers\.[0-9]+\.self_attn\.(k|q|v|out)_proj': attention
  'model\.decoder\.layers\.[0-9]+\.(fc1|fc2)': default-1
  'model\.decoder\.layers\.[0-9]+\.self_attn\.(bmm_0|bmm_1)': default-matmul
  default-1:
    rank: 8
    name: qera
    is_ptq: true
    x_quantizer: &x {name: mxint, width: 8, block_size: 16, block_axis: -1}
    w_quantizer: &w {name: mxint, width: 3, block_size: 16, block_axis: -1}
    b_quantizer: {name: bypass}
  attention: {rank: 6, name: qera, is_ptq: true, x_quantizer: *x, w_quantizer: *w, A_out_quantizer: {name: bypass}}
  default-matmul: {name: flexible, x_quantizer: *x, w_quantizer: {name: bypass}}
)";
}

// `text` with `from`, which must be in it, replaced.
inline std::string replaced(std::string text, const std::string &from, const std::string &to)
{
    return text.replace(text.find(from), from.size(), to);
}

}  // namespace lqer::test
