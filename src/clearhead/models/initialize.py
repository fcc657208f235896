"""What every weight starts from: a table, first match wins."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from clearhead.config import DecoderConfig, ModelConfig
from clearhead.data.randomness import derive_seed

Rule = Callable[[Tensor, torch.Generator], Tensor]


def _embedding(weight: Tensor, generator: torch.Generator) -> Tensor:
    # Scaled by sqrt(d_model) in use, so of unit size beside the positions; small enough for a tied output.
    return nn.init.normal_(weight, std=weight.shape[1] ** -0.5, generator=generator)


def _small(weight: Tensor, generator: torch.Generator) -> Tensor:
    return nn.init.normal_(weight, std=0.02, generator=generator)  # BERT's and GPT's, whose embeddings are not scaled


def _glorot(weight: Tensor, generator: torch.Generator) -> Tensor:
    return nn.init.xavier_uniform_(weight, generator=generator)


def _projection(weight: Tensor, generator: torch.Generator) -> Tensor:
    # W_Q, W_K and W_V as thirds of one (D, 3 D) matrix: Glorot and Bengio 2010 with the width of all three together.
    return nn.init.xavier_uniform_(weight, gain=2**-0.5, generator=generator)


def _orthogonal(weight: Tensor, generator: torch.Generator) -> Tensor:
    # Each gate's square matrix by itself: what goes round neither grows nor fades at first (Saxe et al. 2014).
    for gate in weight.split(weight.shape[1]):
        nn.init.orthogonal_(gate, generator=generator)
    return weight


def _zeros(weight: Tensor, generator: torch.Generator) -> Tensor:
    return nn.init.zeros_(weight)


def _ones(weight: Tensor, generator: torch.Generator) -> Tensor:
    return nn.init.ones_(weight)


TABLE: list[tuple[str, Rule]] = [
    (r"((src|tgt)_embedding|output)\.weight", _embedding),
    (r"(src|tgt)_positions\.table", _embedding),
    (r"(body\.)?((token_embedding|segments)\.weight|positions\.table)", _small),
    (r"ngram_evidence\.(weight|gain)", _ones),
    (r".*norm\.weight", _ones),
    (r".*(\.|output_)bias", _zeros),
    (r".*\.bias_forget", _ones),  # so that a memory lasts from the start: Jozefowicz et al. 2015
    (r".*\.bias_\w+", _zeros),
    (r".*\.w_hidden", _orthogonal),
    (r".*\.w_input", _glorot),
    (r".*\.w_[qkv]\.weight", _projection),
    (r".*\.w_(o|1|2|gate|c|score|up)\.weight", _glorot),
    (r"w_(transform|pooler|label)\.weight", _glorot),
]


def table_of(config: ModelConfig) -> list[tuple[str, Rule]]:
    """Return the table for the model that ``config`` describes.

    GPT's matrices are as small as its embeddings (Radford et al. 2018, 4.1), and where nothing normalises the sum that
    goes past the layers, those that add to it are smaller the more there are (Radford et al. 2019, 2.3): with Glorot's
    a token would drown in what the first layers make of it.
    """
    if not isinstance(config, DecoderConfig):
        return TABLE
    scale = (2 * config.n_layers) ** -0.5 if config.norm == "pre" else 1.0

    def adding(weight: Tensor, generator: torch.Generator) -> Tensor:
        return _small(weight, generator).mul_(scale)

    return [(r".*\.w_(o|2)\.weight", adding), (r".*\.w_\w+\.weight", _small), *TABLE]


def initialize(model: nn.Module, seed: int, table: list[tuple[str, Rule]]) -> None:
    """Give every weight of ``model`` its first value, a pure function of (table, seed, the weight's name and shape)."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            rule = next(rule for pattern, rule in table if re.fullmatch(pattern, name))
            generator = torch.Generator().manual_seed(derive_seed(seed, f"initialize {name}"))
            weight.copy_(rule(torch.empty(weight.shape), generator))
