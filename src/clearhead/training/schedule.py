"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from clearhead.config import TrainingConfig


def learning_rate(config: TrainingConfig, d_model: int, step: int, minutes_spent: float = 0.0) -> float:
    """Return the learning rate of update ``step``, counted from 1.

    minutes_spent: the share of ``max_minutes`` that was spent before it, 0 to 1; 0 where minutes are not counted.

    - "paper": factor * d_model^-0.5 * min(step^-0.5, step * warmup^-1.5) (Vaswani et al. 2017, equation 3);
    - "inverse-sqrt": the same shape with its peak, at the end of the warm-up, given;
    - "cosine": linear warm-up, then half a cosine down to 0 at ``max_steps`` (Loshchilov and Hutter 2017), or at
      ``max_minutes``, whichever is nearer;
    - "warmup-stable-decay": linear warm-up, level, then linear to 0 over the last ``decay_steps``;
    - "constant": linear warm-up, then level.
    """
    warmup = max(config.warmup_steps, 1)
    rate = config.learning_rate
    if config.schedule == "paper":
        return rate * d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)
    if step <= warmup:
        return rate * step / warmup
    match config.schedule:
        case "inverse-sqrt":
            return rate * (warmup / step) ** 0.5
        case "cosine":
            done = max((step - warmup) / max(config.max_steps - warmup, 1), minutes_spent)
            return rate * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
        case "warmup-stable-decay":
            left = max(config.max_steps + 1 - step, 0)
            return rate * min(1.0, left / (config.decay_steps + 1))
        case _:
            return rate


def doubts(config: TrainingConfig, d_model: int) -> list[str]:
    """Return why the learning rate may not be what was meant, a line each."""
    lines = []
    if config.warmup_steps >= config.max_steps:
        lines.append(
            f"training.warmup_steps = {config.warmup_steps:,}, max_steps = {config.max_steps:,}: "
            "the learning rate does not come to its peak"
        )
    if config.schedule == "paper" and config.learning_rate < 0.1:
        peak = learning_rate(config, d_model, max(config.warmup_steps, 1))
        lines.append(
            f'training.learning_rate = {config.learning_rate:g} is a factor where schedule = "paper": '
            f'at most {peak:.1e}; with "inverse-sqrt" it is the rate itself'
        )
    return lines
