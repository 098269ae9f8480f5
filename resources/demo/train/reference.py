# SPDX-License-Identifier: Apache-2.0
"""Writes calibration.txt, evaluation.txt and reference.json beside the checkpoint: python3 reference.py FOLDER.

The reference is PyTorch's forward pass in double precision over the stored bf16 weights. Windows as GPTQ cuts them: the whole text is
tokenised once with BOS in front, cut into consecutive windows, the tail dropped; every window runs alone.
"""
import hashlib
import json
import math
import sys

import torch

import grammar
import model as llama
from tokenizer import Tokenizer

WINDOW = 256
TEXTS = {"calibration.txt": ("calibration", 200_000), "evaluation.txt": ("evaluation", 180_000)}


def windows(tokenizer, text):
    ids = [tokenizer.bos] + tokenizer.encode(text)
    count = len(ids) // WINDOW
    return torch.tensor(ids[:count * WINDOW]).view(count, WINDOW)


def logProbabilities(model, ids):
    parts = []
    with torch.no_grad():
        for part in ids.split(16):
            scores = torch.log_softmax(model(part), -1)
            parts.append(scores[:, :-1].gather(-1, part[:, 1:, None])[..., 0])
    return torch.cat(parts)


def unigramPerplexity(counted, scored, size):
    """How well the frequencies of one text's tokens (plus one each) predict another's."""
    counts = torch.bincount(counted.flatten(), minlength=size).double() + 1
    logs = (counts / counts.sum()).log()
    return math.exp(-logs[scored[:, 1:]].mean().item())


def channelSpread(model, ids):
    """Largest over median RMS of the channels of every linear layer's input."""
    inputs, hooks = {}, []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name.endswith(("k_proj", "o_proj", "gate_proj", "down_proj")):
            hooks.append(module.register_forward_hook(lambda m, x, y, name=name: inputs.__setitem__(name, x[0].reshape(-1, x[0].shape[-1]))))
    with torch.no_grad():
        model(ids[:64])
    for hook in hooks:
        hook.remove()
    spread = {}
    for name, x in inputs.items():
        rms = x.pow(2).mean(0).sqrt()
        spread["model." + name] = round((rms.max() / rms.median()).item(), 2)
    return spread


def main():
    folder = sys.argv[1]
    for name, (seed, length) in TEXTS.items():
        with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
            file.write(grammar.text(seed, length))
    torch.set_num_threads(1)
    tokenizer = Tokenizer(folder)
    model = llama.load(folder).double()
    model.cos, model.sin = model.cos.double(), model.sin.double()
    texts = {name: open(f"{folder}/{name}", encoding="utf-8").read() for name in TEXTS}
    ids = {name: windows(tokenizer, text) for name, text in texts.items()}
    scored = ids["evaluation.txt"]
    logs = logProbabilities(model, scored)
    weights = open(f"{folder}/model.safetensors", "rb").read()
    document = {
        "protocol": "the whole text with BOS in front, cut into windows of 256 tokens, tail dropped; each alone from position 0; ids[1:] scored; "
                    "perplexity = exp(-mean log-probability); PyTorch, float64, over the stored bf16 weights",
        "text": "evaluation.txt",
        "text_sha256": hashlib.sha256(texts["evaluation.txt"].encode()).hexdigest(),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "window": WINDOW,
        "windows": len(scored),
        "scored_tokens": logs.numel(),
        "mean_nll": -logs.mean().item(),
        "perplexity": math.exp(-logs.mean().item()),
        "unigram_perplexity": unigramPerplexity(ids["calibration.txt"], scored, tokenizer.size),
        "first_ids": scored[0].tolist(),
        "first_log_probabilities": [round(value, 7) for value in logs[0].tolist()],
        "channel_rms_largest_over_median": channelSpread(model, ids["calibration.txt"]),
    }
    with open(f"{folder}/reference.json", "w") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    print({key: value for key, value in document.items() if not key.startswith("first")})


if __name__ == "__main__":
    main()
