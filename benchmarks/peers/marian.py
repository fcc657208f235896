"""Hugging Face's MarianMTModel with random weights and a plain AdamW loop. Runs in the peer's environment.

Given: the size, dropout, ReLU and three-way tied embeddings of the others; its own sinusoidal positions, post-norm (it
knows no other) and loss from ``labels``, which is a cross-entropy without smoothing; AdamW with a constant rate and no
clipping. All of this is as much work as the others have, or less.
"""

from __future__ import annotations

from typing import Any

import torch
from plain_loop import Rows, main, pad
from torch import Tensor
from transformers import MarianConfig, MarianMTModel


def make(recipe: dict[str, Any], facts: dict[str, Any]) -> tuple:
    sides = {"layers": recipe["n_layers"], "attention_heads": recipe["n_heads"], "ffn_dim": recipe["d_ff"]}
    config = MarianConfig(
        vocab_size=facts["vocabulary_size"],
        d_model=recipe["d_model"],
        **{f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in sides.items()},
        dropout=recipe["dropout"],
        activation_function="relu",
        scale_embedding=True,
        max_position_embeddings=512,
        pad_token_id=facts["pad_id"],
        eos_token_id=facts["eos_id"],
        decoder_start_token_id=facts["start_id"],
        use_cache=False,
    )
    model = MarianMTModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)

    def loss_of(src: Rows, tgt: Rows) -> Tensor:
        ids = pad(src, facts["pad_id"])
        return model(input_ids=ids, attention_mask=(ids != facts["pad_id"]).long(), labels=pad(tgt, -100)).loss

    return model, optimizer, loss_of


if __name__ == "__main__":
    main(make)
