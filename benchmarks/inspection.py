"""What does looking at a translation cost, and how large is its page?

A Transformer of random weights translates a sentence of 30 tokens into 30 (beam 4, the end forbidden), in turn plainly
and looked at: greedy search beside it, the beam as a tree, and every number of the best hypothesis. Then the page of
that is made, without rivals and heads switched off, which add some 50 kB of words. Prints a table and, last, one line
of JSON. On two cores a minute for each of the small models, five for paper-base.

    python benchmarks/inspection.py
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from statistics import median

import torch
from machine import facts, print_facts

from clearhead.config import PRESETS, DecodingConfig, TransformerConfig
from clearhead.decoding.translator import Translator
from clearhead.inspection.document import document
from clearhead.inspection.explain import explain
from clearhead.inspection.page import render
from clearhead.models.build import build_model
from clearhead.text.library import Token
from clearhead.text.tokenizer import TokenizerPair

TOKENS = 30


class Numbers:
    """A tokenizer whose words are the ids, of as many tokens as are wished."""

    pad_id, unk_id, bos_id, eos_id = range(4)
    decoder_start_id, special_ids, start_ids = bos_id, range(4), ()

    def __init__(self, vocabulary_size: int) -> None:
        self.vocabulary_size = vocabulary_size

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: list[int]) -> str:
        return " ".join(str(id) for id in ids if id not in self.special_ids)

    def decode_batch(self, batch: list[list[int]]) -> list[str]:
        return [self.decode(ids) for ids in batch]

    def token_text(self, id: int) -> str:
        return f" {id}"

    def tokens(self, text: str) -> list[Token]:
        found, at = [], 0
        for word in text.split():
            found.append(Token(int(word), f" {word}", at, at + len(word)))
            at += len(word) + 1
        return found


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(preset: str, vocabulary_size: int, rounds: int) -> dict[str, float | str]:
    config = TransformerConfig(**PRESETS[preset])
    tokenizer = Numbers(vocabulary_size)
    model = build_model(config, vocabulary_size, vocabulary_size)
    decoding = DecodingConfig(beam_size=4, max_tokens=TOKENS)
    translator = Translator(model, TokenizerPair(tokenizer, tokenizer), decoding, device="cpu")  # type: ignore[arg-type]
    translator._forbidden = torch.tensor(tokenizer.special_ids)  # the end too: every search takes as long
    ids = torch.randint(4, vocabulary_size, (TOKENS - 1,), generator=torch.Generator().manual_seed(1))
    text = tokenizer.decode(ids.tolist())
    plain, looked = [], []
    for number in range(rounds + 1):  # the first warms up
        times = seconds(lambda: translator(text)), seconds(lambda: explain(translator, text))
        if number:
            plain.append(times[0])
            looked.append(times[1])
    sizes = {"src_vocabulary": vocabulary_size, "tgt_vocabulary": vocabulary_size}
    run = {"name": preset, "version": "", "parameters": 0, "weights_sha256": ""}
    began = time.perf_counter()
    page = render(document(explain(translator, text), run, {**config.model_dump(mode="json"), **sizes}))
    return {
        "model": preset,
        "translation_s": round(median(plain), 3),
        "looked_at_s": round(median(looked), 3),
        "ratio": round(median(two / one for one, two in zip(plain, looked)), 2),
        "page_s": round(time.perf_counter() - began, 3),
        "page_mb": round(len(page.encode()) / 1e6, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["tiny", "small", "paper-base"], choices=sorted(PRESETS))
    parser.add_argument("--vocabulary", type=int, default=32_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="show that it runs; the figures mean nothing")
    options = parser.parse_args()
    known = facts()
    print_facts(known)
    results = []
    for preset in ["starter"] if options.quick else options.models:
        vocabulary, rounds = (500, 1) if options.quick else (options.vocabulary, options.rounds)
        results.append(measure(preset, vocabulary, rounds))
        print("  ".join(f"{name} {value}" for name, value in results[-1].items()), flush=True)
    print(json.dumps({**known, "results": results}))


if __name__ == "__main__":
    main()
