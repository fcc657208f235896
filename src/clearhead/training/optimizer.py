"""Adam and AdamW, and their state as named tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from clearhead.config import TrainingConfig
from clearhead.errors import RunError
from clearhead.runs.checkpoints import OPTIMIZER
from clearhead.runs.tensors import check_weights
from clearhead.training.distributed import part_like

MOMENTS = ("exp_avg", "exp_avg_sq")


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return Adam (Kingma and Ba 2015) or AdamW (Loshchilov and Hutter 2019) over the model's weights.

    Weight decay spares biases, normalisation and embeddings' companions: whatever is not a matrix.
    """
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]
    return kind(groups, lr=0.0, betas=config.betas, eps=config.epsilon, fused=True)


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as tensors named after the weights: what a checkpoint stores."""
    return {
        f"{name}.{moment}": optimizer.state[weight][moment]
        for name, weight in model.named_parameters()
        if weight in optimizer.state
        for moment in (*MOMENTS, "step")
    }


def check_optimizer(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Check that a checkpoint's tensors are the state of this model's optimizer, or of one that has made no step.

    Raises:
        FaultsError: lists every tensor that is missing, surplus or mis-shaped.
        RunError: a tensor is not fp32.
    """
    expected: dict[str, Tensor] = {}
    for name, weight in model.named_parameters() if tensors else ():
        if not weight.requires_grad:
            continue
        expected |= {f"{name}.{moment}": weight for moment in MOMENTS} | {f"{name}.step": torch.zeros(())}
    check_weights(tensors, expected)
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32:
            raise RunError("not-fp32", name=OPTIMIZER, tensor=name, dtype=tensor.dtype)


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give the optimizer the state of a checkpoint."""
    for name, weight in model.named_parameters():
        if f"{name}.step" in tensors:
            moments = {moment: part_like(tensors[f"{name}.{moment}"], weight).clone() for moment in MOMENTS}
            optimizer.state[weight] = {**moments, "step": tensors[f"{name}.step"].to(weight.device).clone()}
