"""How much arithmetic is a training, and how fast does this machine multiply large matrices?

    python benchmarks/arithmetic.py                  the rates of a large product in fp32 and bf16, as JSON

The model's arithmetic is its matrix products alone: no softmax, no normalisation, no optimizer, no padding, and nothing
that is computed twice. For each pair of S source and T target tokens, end of sentence counted:

    6 ((E + X) S + (D + O) T)  +  12 d (Le S^2 + Ld T^2 + Ld S T)   FLOP

E = Le (4 d^2 + 2 d f) and X = 2 Ld d^2 weights work on a source token (the encoder; keys and values of
cross-attention), D = Ld (6 d^2 + 2 d f) and O = V d on a target token (the decoder; the output). A weight at work is
one multiplication and one addition, once forward and twice backward. The second part is the attention's two products;
the decoder's are counted whole, though its mask makes half of them vain.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The sizes of an encoder-decoder Transformer that its arithmetic follows from."""

    d_model: int
    d_ff: int
    n_encoder_layers: int
    n_decoder_layers: int
    vocabulary_size: int


@dataclass(frozen=True)
class Lengths:
    """Sums over pairs of S source and T target tokens: what the arithmetic needs to know of a corpus."""

    src: int
    tgt: int
    src_src: int
    tgt_tgt: int
    src_tgt: int

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> Lengths:
        """Return the sums over ``pairs`` of (source tokens, target tokens)."""
        sums = [0] * 5
        for s, t in pairs:
            sums = [total + part for total, part in zip(sums, (s, t, s * s, t * t, s * t))]
        return cls(*sums)


def training_flop(shape: Shape, lengths: Lengths) -> int:
    """Return the FLOP of training once on what ``lengths`` sums up."""
    d, feed_forward = shape.d_model, 2 * shape.d_model * shape.d_ff
    encoder = shape.n_encoder_layers * (4 * d * d + feed_forward)
    keys_values = shape.n_decoder_layers * 2 * d * d
    decoder = shape.n_decoder_layers * (6 * d * d + feed_forward)
    output = shape.vocabulary_size * d
    attention = shape.n_encoder_layers * lengths.src_src
    attention += shape.n_decoder_layers * (lengths.tgt_tgt + lengths.src_tgt)
    weights = (encoder + keys_values) * lengths.src + (decoder + output) * lengths.tgt
    return 6 * weights + 12 * d * attention


def large_product(precision: str, n: int = 4096, device: str = "cpu", seconds: float = 3.0) -> float:
    """Return the FLOP/s of an (n, n) by (n, n) product, the best of several within about ``seconds``."""
    import torch

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    a, b = (
        torch.randn(n, n, device=device, dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[precision]) for _ in "ab"
    )
    out = a @ b  # once before the clock runs
    wait()
    best, began, times = float("inf"), time.perf_counter(), 8 if device == "cuda" else 1
    while best == float("inf") or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        for _ in range(times):
            torch.mm(a, b, out=out)
        wait()
        best = min(best, (time.perf_counter() - start) / times)
    return 2 * n**3 / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096, help="rows and columns of the matrices")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each number format")
    options = parser.parse_args()
    print(json.dumps({name: large_product(name, options.size, "cpu", options.seconds) for name in ("fp32", "bf16")}))


if __name__ == "__main__":
    main()
