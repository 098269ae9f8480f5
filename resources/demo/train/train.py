# SPDX-License-Identifier: Apache-2.0
"""Trains the demo checkpoint: python3 train.py FOLDER MINUTES [continue].

Needs PyTorch (1.13 was used) and nothing else; tokenizer.json must lie in FOLDER already (tokenizer.py FOLDER writes it). The
texts are generated while training, so no window is seen twice. AdamW with weight decay on the matrices only; the learning rate follows a
cosine over the time that MINUTES gives. "continue" goes on from the checkpoint in FOLDER at half the rate, with texts of its own and
with the norms' gains learning GAIN_RATIO times as fast.
"""
import math
import os
import sys
import time

import torch

import grammar
import model as llama
from tokenizer import Tokenizer

WINDOW, BATCH = 256, 12
PEAK_RATE, LAST_RATE, WARM_UP = 4e-3, 1e-4, 100
GAIN_RATIO = 15  # in the second phase


def batches(tokenizer, seed):
    """Rows of WINDOW tokens. Three of four begin with BOS; texts of a dozen documents end with EOS."""
    pool, part = [], 0
    generator = torch.Generator().manual_seed(seed)
    while True:
        ids = []
        for _ in range(40):
            ids += tokenizer.encode(grammar.text(f"train-{seed}-{part}", 5000)) + [tokenizer.eos, tokenizer.bos]
            part += 1
        cut = int(torch.randint(0, WINDOW, (1,), generator=generator))
        rows = []
        for at in range(cut, len(ids) - WINDOW, WINDOW - 1):
            row = ids[at:at + WINDOW]
            rows.append(row if torch.rand(1, generator=generator) < 0.25 else [tokenizer.bos] + row[:-1])
        order = torch.randperm(len(rows), generator=generator).tolist()
        pool += [rows[i] for i in order]
        while len(pool) >= BATCH:
            yield torch.tensor(pool[:BATCH])
            pool = pool[BATCH:]


def loss(model, ids):
    logits = model(ids)
    return torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))


def main():
    folder, minutes, second = sys.argv[1], float(sys.argv[2]), sys.argv[3:] == ["continue"]
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    torch.manual_seed(1)
    tokenizer = Tokenizer(folder)
    model = llama.load(folder) if second else llama.Llama()
    peak, gainRatio = (PEAK_RATE / 2, GAIN_RATIO) if second else (PEAK_RATE, 1)
    print(sum(p.numel() for p in model.parameters()), "parameters", flush=True)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    gains = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1, "ratio": 1},
                                   {"params": gains, "weight_decay": 0.0, "ratio": gainRatio}], lr=1.0, betas=(0.9, 0.95), eps=1e-8)
    held = [row for row, _ in zip(batches(tokenizer, 999), range(4))]
    start, step, average, saved = time.time(), 0, None, 0
    for ids in batches(tokenizer, 2 if second else 1):
        done = (time.time() - start) / (60 * minutes)
        if done >= 1:
            break
        rate = LAST_RATE + (peak - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = group["ratio"] * rate * min(1.0, (step + 1) / WARM_UP)
        value = loss(model, ids)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        average = value.item() if average is None else 0.95 * average + 0.05 * value.item()
        if step % 50 == 0:
            print(f"step {step} tokens {step * BATCH * WINDOW} minute {(time.time() - start) / 60:.1f} rate {rate:.2e} loss {average:.4f}", flush=True)
        if time.time() - saved > 300:
            saved = time.time()
            llama.save(model, folder)
            with torch.no_grad():
                print(f"held-out perplexity {math.exp(sum(loss(model, x).item() for x in held) / len(held)):.3f}", flush=True)
    llama.save(model, folder)
    with torch.no_grad():
        print(f"done: step {step}, tokens {step * BATCH * WINDOW}, held-out perplexity {math.exp(sum(loss(model, x).item() for x in held) / len(held)):.3f}")


if __name__ == "__main__":
    main()
