"""How large a micro-batch the machine holds, predicted: a processor that runs out of memory is killed, not told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from clearhead.device import Device, memory_limit

PROCESSOR_TOKENS = 8192
"""On a processor larger micro-batches are no faster."""
SHARE = 0.6
"""How much of the memory is planned for; the rest is for buffers of a moment, the corpus' pages and everybody else."""


def micro_batch_tokens(
    loss: nn.Module,
    device: Device,
    batch_tokens: int,
    sample: Callable[[int], Any],
    length: int,
    workers: int,
    parts: int = 1,
) -> int:
    """Return the size of the largest micro-batch that fits, for ``training.micro_batch_tokens = "auto"``.

    It is ``batch_tokens`` (on a processor at most 8,192) or that halved as often as needed: a function of the machine,
    the model and the corpus, not of what else is running, so that a resumed training is cut into the same pieces.

    Args:
        loss: the model in its loss.
        batch_tokens: of a whole update.
        sample: gives the corpus' longest pair, so many times over, as a batch of the loss; what a token of it costs is
            the most that one costs.
        length: of its longer side, in tokens.
        workers: how many micro-batches are computed at once.
        parts: among how many processes the weights and what belongs to them are divided.
    """
    weights = sum(weight.numel() * weight.element_size() for weight in loss.parameters())
    state = weights * (3 + workers) / parts  # weights, two moments, and each worker's gradients
    if parts > 1:
        state += weights  # of a layer while its turn is, and of all in a validation
    one, two = (saved_bytes(loss, sample(pairs)) for pairs in (1, 2))
    per_token = (two - one) / length
    fixed = max(0, 2 * one - two)  # of any batch: the loss's gradient of its weights, and in bf16 copies of all weights
    room = (SHARE * memory_limit(device.name) - state) / workers - fixed
    tokens = batch_tokens if device.name != "cpu" else min(batch_tokens, PROCESSOR_TOKENS)
    while tokens > 1 and tokens * per_token > room:
        tokens //= 2
    return tokens


def saved_bytes(loss: nn.Module, batch: Any) -> int:
    """Return how much of a batch's forward pass is kept for the backward pass, weights not counted."""
    weights = {weight.untyped_storage().data_ptr() for weight in loss.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # what an operation returned, saved by that operation as it is, would keep both forever

    before = [buffer.clone() for buffer in loss.buffers()]
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = loss.train()(batch)
    for buffer, was in zip(loss.buffers(), before):  # a trial leaves no trace in running statistics
        buffer.copy_(was)
    total = sum(size for place, size in kept.items() if place not in weights)
    del outputs  # until here it keeps the tensors alive, so that no two of them have had the same place
    return total
