"""Small translators with random weights that are large enough to have opinions, and the text that they read."""

from __future__ import annotations

from functools import cache

import torch

from clearhead.config import DecodingConfig, RecurrentConfig, TokenizerConfig, TransformerConfig
from clearhead.decoding.translator import Translator
from clearhead.models.build import build_model
from clearhead.text.tokenizer import TokenizerPair

LINES = [
    f"{subject} {verb} {thing} {place}."
    for subject in ("The dog", "A teacher", "My sister", "We", "Nobody")
    for verb in ("sees", "bought", "will find", "reads")
    for thing in ("a house", "the old book", "three apples")
    for place in ("in the garden", "at school", "today")
]
TEXT = "My sister reads the old book."
SIZES = {"d_model": 24, "d_ff": 32, "n_heads": 4, "n_encoder_layers": 1, "n_decoder_layers": 2, "max_positions": 40}
DECODING = DecodingConfig(beam_size=3, max_tokens=5)


@cache
def tokenizers():
    return TokenizerPair.train(LINES, LINES, TokenizerConfig(vocabulary_size=400))


@cache
def not_words():
    """The tokens that are no whole word of ``LINES``; eos is one."""
    words = {id for line in LINES for word in line.split() for id in tokenizers().tgt.encode(word)}
    words = {id for id in words if tokenizers().tgt.encode(tokenizers().tgt.decode([id])) == [id]}
    return [id for id in range(400) if id not in words and id != tokenizers().tgt.eos_id]


def transformer(seed=6, spread=0.3, **choices):
    return translator(TransformerConfig(**{**SIZES, "tie": "none", **choices}), seed, spread)


def recurrent(seed=1, **choices):
    return translator(RecurrentConfig(**{"d_model": 16, "max_positions": 40, **choices}), seed)


def translator(config, seed=1, spread=0.3):
    size = tokenizers().src.vocabulary_size
    model = sharpened(build_model(config, size, size, seed=seed), seed, spread)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("embedding.weight", "output.weight")):
                weight[not_words()] *= 0.1  # what comes out is words, which as a prefix are the same tokens again
    return Translator(model, tokenizers(), DECODING, device="cpu")


def sharpened(model, seed, spread=0.3):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            own = spread if weight.dim() == 2 else 0.1
            weight.add_(torch.randn(weight.shape, generator=generator) * own)
    return model.eval()
