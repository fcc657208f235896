"""All randomness is keyed: a draw is a pure function of (seed, purpose, step or pair), not of earlier draws."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def derive_seed(seed: int, purpose: str, *numbers: int) -> int:
    """Return the seed of one draw, the same on every machine and version: BLAKE2b of (seed, purpose, numbers).

    Args:
        seed: the run's seed.
        purpose: what is drawn, for example "dropout" or "order"; unlike purposes never share a stream.
        numbers: which draw it is: a step, an epoch, a pair, a rank.

    Returns:
        An integer in [0, 2**63), fit for ``torch.manual_seed``.
    """
    key = json.dumps([int(seed), purpose, *map(int, numbers)]).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Return numpy's generator of one draw: Philox, a counter-based generator, with the key ``derive_seed`` gives."""
    return np.random.Generator(np.random.Philox(key=derive_seed(seed, purpose, *numbers)))
