# SPDX-License-Identifier: Apache-2.0
"""The LLaMA architecture in plain PyTorch, with Hugging Face's tensor names, and its checkpoint files."""
import json
import struct

import numpy
import torch
from torch import nn

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 2048, "hidden_size": 192, "intermediate_size": 512,
    "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 24, "max_position_embeddings": 256,
    "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None, "attention_bias": False, "mlp_bias": False,
    "attention_dropout": 0.0, "initializer_range": 0.02, "pretraining_tp": 1, "tie_word_embeddings": True, "use_cache": True,
    "bos_token_id": 2046, "eos_token_id": 2047, "torch_dtype": "bfloat16"}


class RmsNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kvHeads, self.headDim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        self.q_proj = nn.Linear(c["hidden_size"], self.heads * self.headDim, bias=False)
        self.k_proj = nn.Linear(c["hidden_size"], self.kvHeads * self.headDim, bias=False)
        self.v_proj = nn.Linear(c["hidden_size"], self.kvHeads * self.headDim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.headDim, c["hidden_size"], bias=False)

    def forward(self, x, cos, sin, mask):
        n, t, _ = x.shape
        q = rotate(self.q_proj(x).view(n, t, self.heads, self.headDim).transpose(1, 2), cos, sin)
        k = rotate(self.k_proj(x).view(n, t, self.kvHeads, self.headDim).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(n, t, self.kvHeads, self.headDim).transpose(1, 2)
        k, v = (y.repeat_interleave(self.heads // self.kvHeads, 1) for y in (k, v))
        weights = torch.softmax(q @ k.transpose(2, 3) * self.headDim ** -0.5 + mask, -1)
        return self.o_proj((weights @ v).transpose(1, 2).reshape(n, t, -1))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.up_proj = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.down_proj = nn.Linear(c["intermediate_size"], c["hidden_size"], bias=False)

    def forward(self, x):
        return self.down_proj(nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.self_attn, self.mlp = Attention(c), Mlp(c)
        self.input_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.post_attention_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])

    def forward(self, x, cos, sin, mask):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    def __init__(self, config=CONFIG):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))
        self.norm = RmsNorm(config["hidden_size"], config["rms_norm_eps"])
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deep = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, 0, 0.05 if not deep else 0.05 / (2 * config["num_hidden_layers"]) ** 0.5)
        size = config["head_dim"]
        angle = torch.arange(config["max_position_embeddings"]).float()[:, None] \
            * config["rope_theta"] ** (-torch.arange(0, size, 2).float() / size)
        angle = torch.cat((angle, angle), -1)
        self.cos, self.sin = angle.cos(), angle.sin()

    def forward(self, ids):
        t = ids.shape[1]
        mask = torch.full((t, t), float("-inf")).triu(1)
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, self.cos[:t], self.sin[:t], mask)
        return self.norm(x) @ self.embed_tokens.weight.T


def save(model, folder):
    """config.json, generation_config.json and model.safetensors (bf16, data 64-byte aligned, names sorted)."""
    tensors = {f"model.{name}": p.detach().to(torch.bfloat16) for name, p in sorted(model.named_parameters())}
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "BF16", "shape": list(t.shape), "data_offsets": [offset, offset + 2 * t.numel()]}
        offset += 2 * t.numel()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with open(f"{folder}/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            file.write(t.contiguous().view(torch.int16).numpy().tobytes())
    with open(f"{folder}/config.json", "w") as file:
        json.dump(model.config, file, indent=2)
        file.write("\n")
    with open(f"{folder}/generation_config.json", "w") as file:
        json.dump({"bos_token_id": model.config["bos_token_id"], "eos_token_id": model.config["eos_token_id"], "do_sample": True,
                   "temperature": 0.8}, file, indent=2)
        file.write("\n")


def load(folder):
    """The stored bf16 weights in float32."""
    with open(f"{folder}/config.json") as file:
        model = Llama(json.load(file))
    with open(f"{folder}/model.safetensors", "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(size)), file.read()
    parameters = dict(model.named_parameters())
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            bits = numpy.frombuffer(data[begin:end], dtype=numpy.uint16).astype(numpy.uint32) << 16
            parameters[name[len("model."):]].data = torch.from_numpy(bits.view(numpy.float32).reshape(entry["shape"]).copy())
    return model
