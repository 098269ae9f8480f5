# SPDX-License-Identifier: Apache-2.0
"""Byte-level BPE: training, encoding, and the tokenizer.json that Hugging Face's tokenizers reads (the LLaMA 3 layout)."""
import json
import re
from collections import Counter, defaultdict

BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"

# LLaMA 3's split. Python's re has no \p{L}; on the demo texts [^\W\d_] is the same set, and \d is \p{N}.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
PYTHON_SPLIT = re.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|(?:_|[^\r\n\w])?[^\W\d_]+|\d{1,3}| ?(?:_|[^\s\w])+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byteAlphabet():
    """GPT-2's printable stand-in for each byte."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 0
    for byte in range(256):
        if byte in keep:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


ALPHABET = byteAlphabet()


def pieces(text):
    return ["".join(ALPHABET[b] for b in part.encode("utf-8")) for part in PYTHON_SPLIT.findall(text)]


def learn(text, vocabulary):
    """Merges of the most frequent pair, ties by text order of the pair. Digits stay single, so that sums keep their columns."""
    words = Counter(pieces(text))
    split = {word: list(word) for word in words}
    counts, places = Counter(), defaultdict(set)
    for word, parts in split.items():
        for pair in zip(parts, parts[1:]):
            counts[pair] += words[word]
            places[pair].add(word)
    merges = []
    while len(merges) < vocabulary - 256 - 2:
        allowed = ((n, pair) for pair, n in counts.items() if n > 1 and not any(c.isdigit() for c in pair[0] + pair[1]))
        best = max(allowed, key=lambda entry: (entry[0], entry[1]))[1]
        merges.append(best)
        for word in list(places[best]):
            old, new, i = split[word], [], 0
            for pair in zip(old, old[1:]):
                counts[pair] -= words[word]
                places[pair].discard(word)
            while i < len(old):
                if i + 1 < len(old) and (old[i], old[i + 1]) == best:
                    new.append(old[i] + old[i + 1])
                    i += 2
                else:
                    new.append(old[i])
                    i += 1
            split[word] = new
            for pair in zip(new, new[1:]):
                counts[pair] += words[word]
                places[pair].add(word)
        del counts[best]
    return merges


def write(folder, merges):
    vocabulary = {ALPHABET[b]: i for i, b in enumerate(sorted(ALPHABET, key=lambda b: ALPHABET[b]))}
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    first = len(vocabulary)
    added = [{"id": first + i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for i, token in enumerate((BOS, EOS))]
    document = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "post_processor": {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
            {"type": "TemplateProcessing",
             "single": [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
             "pair": [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                      {"SpecialToken": {"id": BOS, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
             "special_tokens": {BOS: {"id": BOS, "ids": [first], "tokens": [BOS]}}}]},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocabulary,
                  "merges": [f"{left} {right}" for left, right in merges]}}
    with open(f"{folder}/tokenizer.json", "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, indent=1)
        file.write("\n")
    entry = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    with open(f"{folder}/tokenizer_config.json", "w", encoding="utf-8") as file:
        json.dump({"added_tokens_decoder": {str(first): {"content": BOS, **entry}, str(first + 1): {"content": EOS, **entry}},
                   "bos_token": BOS, "eos_token": EOS, "clean_up_tokenization_spaces": False, "model_max_length": 256,
                   "tokenizer_class": "PreTrainedTokenizerFast"}, file, indent=2)
        file.write("\n")


class Tokenizer:
    def __init__(self, folder):
        with open(f"{folder}/tokenizer.json", encoding="utf-8") as file:
            document = json.load(file)
        self.ids = document["model"]["vocab"]
        self.ranks = {tuple(merge.split(" ")): i for i, merge in enumerate(document["model"]["merges"])}
        self.bos, self.eos = (token["id"] for token in document["added_tokens"])
        self.size = self.eos + 1
        self.cache = {}

    def word(self, word):
        if word not in self.cache:
            parts = list(word)
            while len(parts) > 1:
                rank, at = min((self.ranks.get(pair, 1 << 30), i) for i, pair in enumerate(zip(parts, parts[1:])))
                if rank == 1 << 30:
                    break
                parts[at:at + 2] = [parts[at] + parts[at + 1]]
            self.cache[word] = [self.ids[part] for part in parts]
        return self.cache[word]

    def encode(self, text):
        """Without BOS."""
        return [token for word in pieces(text) for token in self.word(word)]


if __name__ == "__main__":
    import sys
    import grammar
    folder = sys.argv[1]
    write(folder, learn(grammar.text("tokenizer", 4_000_000), 2048))
    tokenizer = Tokenizer(folder)
    sample = grammar.text("sample", 100_000)
    print(tokenizer.size, "tokens;", len(sample.encode()) / len(tokenizer.encode(sample)), "bytes per token")
