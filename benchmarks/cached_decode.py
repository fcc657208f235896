"""How much faster is greedy decoding with the key-value cache than without it?

The Transformer of the paper's base model with random weights and a 32,000-token vocabulary decodes the same random
sentences both ways, in turn, in one process, for a fixed number of steps (the end is forbidden). Without the cache
every step starts the decoder anew and reads all tokens so far; the encoder runs once either way. Prints a table and,
last, one line of JSON.

    python benchmarks/cached_decode.py
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from clearhead.config import TransformerConfig
from clearhead.decoding.greedy import greedy_search
from clearhead.decoding.hypothesis import Hypothesis
from clearhead.decoding.problem import Problem, pad_prefixes
from clearhead.device import Device, choose_device, processor_name
from clearhead.models.build import build_model
from clearhead.models.interface import Memory, Seq2Seq
from clearhead.version import __version__

PAD, UNK, BOS, EOS, FIRST = range(5)


@dataclass
class Prefix:
    """The state of a decoder without a cache: the encoder's output and the tokens so far."""

    memory: Memory
    tokens: Tensor  # (R, n)


class WithoutCache:
    """The same model; each step starts from the beginning and takes in everything again."""

    def __init__(self, model: Seq2Seq) -> None:
        self.model = model
        self.project = model.project

    def start(self, memory: Memory, max_length: int, rows_per_sentence: int = 1) -> Prefix:
        return Prefix(memory, torch.empty(len(memory.mask), 0, dtype=torch.int64, device=memory.mask.device))

    def step(self, tokens: Tensor, state: Prefix) -> tuple[Tensor, Prefix]:
        tokens = torch.cat([state.tokens, tokens], dim=1)
        hidden, _ = self.model.step(tokens, self.model.start(state.memory, tokens.shape[1]))
        return hidden[:, -1:], Prefix(state.memory, tokens)


def random_sentences(n: int, mean_length: int, vocabulary_size: int) -> tuple[Tensor, Tensor]:
    """Return ids (N, S) and mask (N, S) of sentences of 0.6 to 1.4 times ``mean_length`` tokens."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(int(0.6 * mean_length), int(1.4 * mean_length) + 1, (n,), generator=generator)
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
    return torch.randint(FIRST, vocabulary_size, mask.shape, generator=generator).where(mask, PAD), mask


@torch.no_grad()
def decode(model: Seq2Seq, decoder: Seq2Seq, src: Tensor, mask: Tensor, steps: int, device: Device) -> list[Hypothesis]:
    """Encode with ``model`` and decode ``steps`` tokens a sentence with ``decoder``."""
    with device.autocast():
        limits = torch.full((len(src),), steps - 1, device=src.device)
        forbidden = torch.tensor([PAD, UNK, BOS, EOS], device=src.device)
        prefixes = pad_prefixes([[]] * len(src), src.device)
        return greedy_search(decoder, Problem(model.encode(src, mask), limits, prefixes, forbidden, BOS, EOS))


def measure(model: Seq2Seq, src: Tensor, mask: Tensor, steps: int, rounds: int, device: Device) -> tuple[dict, float]:
    """Return the seconds of each round, "cached" and "uncached", and the share of sentences with the same tokens."""
    ways: dict[str, Seq2Seq] = {"cached": model, "uncached": WithoutCache(model)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, list[tuple[int, ...]]] = {}
    for decoder in ways.values():  # once before the clock runs
        decode(model, decoder, src[:8], mask[:8], steps, device)
    for _ in range(rounds):
        for name, decoder in ways.items():
            start = time.perf_counter()
            found[name] = [hypothesis.tokens for hypothesis in decode(model, decoder, src, mask, steps, device)]
            seconds[name].append(time.perf_counter() - start)
    same = sum(one == other for one, other in zip(found["cached"], found["uncached"])) / len(src)
    return seconds, same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sentences", type=int, default=256)
    parser.add_argument("--mean-length", type=int, default=25, help="source tokens")
    parser.add_argument("--steps", type=int, default=28, help="target tokens of every sentence")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", help="fp32, bf16 or auto")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    args = parser.parse_args()

    config, vocabulary_size = TransformerConfig(), 32_000
    if args.quick:
        config, vocabulary_size = TransformerConfig(d_model=32, d_ff=64, n_heads=2), 500
        args.sentences, args.steps, args.rounds = 6, 5, 1
    device = choose_device(args.device, args.precision)
    model = build_model(config, vocabulary_size, vocabulary_size, seed=1).to(device.name).eval()
    src, mask = (x.to(device.name) for x in random_sentences(args.sentences, args.mean_length, vocabulary_size))
    seconds, same = measure(model, src, mask, args.steps, args.rounds, device)

    cached, uncached = median(seconds["cached"]), median(seconds["uncached"])
    tokens = args.sentences * args.steps
    gpu = torch.cuda.get_device_name() if device.name == "cuda" else None
    result = {
        "benchmark": "cached_decode",
        "command": " ".join(["python", *sys.argv]),
        "machine": f"{gpu or processor_name()}, {torch.get_num_threads()} threads",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "clearhead": __version__},
        "precision": device.precision,
        "sentences": args.sentences,
        "steps": args.steps,
        "seconds": {name: [round(each, 3) for each in rounds] for name, rounds in seconds.items()},
        "tokens_per_s": {"cached": round(tokens / cached, 1), "uncached": round(tokens / uncached, 1)},
        "same_sentences": same,
        "ratio": round(uncached / cached, 2),
    }
    for name in ("machine", "versions", "command", "precision"):
        print(f"{name:<10} {result[name]}")
    print(f"{'way':<10} {'median s':>10} {'tokens/s':>10}")
    for name, each in (("cached", cached), ("uncached", uncached)):
        print(f"{name:<10} {each:>10.3f} {tokens / each:>10.1f}")
    print(f"ratio      {uncached / cached:.2f}   (same tokens in {same:.1%} of the sentences)")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
