"""clearhead, measured by its own command."""

from __future__ import annotations

import sys
from pathlib import Path

from runlog import reports_of

from clearhead.runs.log import read_log
from peers.task import SRC, TGT, Measured, Task, measured, run

SAME_DROPOUT = ("model.attention_dropout=0.1", "model.feed_forward_dropout=0.1")
"""Dropout also where JoeyNMT's and torch.nn.Transformer's one probability falls."""
FP32 = ("training.precision=fp32",)


def clearhead(task: Task, more: tuple[str, ...] = ()) -> Measured:
    """Measure ``clearhead train``; ``more``: settings beyond the task's."""
    command = [sys.executable, "-m", "clearhead", "train", "--out", "run"]
    for flag, path in files(task.data).items():
        command += [f"--{flag}", str(path)]
    for setting in (*settings(task), *more):
        command += ["--set", setting]
    peak = run(command, task.work)
    log = task.work / "run" / "log.jsonl"
    precision = next(event["precision"] for event in read_log(log) if event["event"] == "Started")
    return measured(task, reports_of(log), precision, task.facts()["tokens_per_pair"], peak)


def files(data: Path) -> dict[str, Path]:
    """Return the corpus's files by the flags that name them."""
    return {
        f"{prefix}{side}": data / f"{name}.{language}"
        for prefix, name in (("", "train"), ("valid-", "val"))
        for side, language in (("src", SRC), ("tgt", TGT))
    }


def settings(task: Task) -> list[str]:
    """Return what is said to ``clearhead train`` with --set."""
    recipe, steps = task.recipe, task.warmup + task.updates
    if recipe.attention:
        model = [
            "model.kind=recurrent",
            f"model.n_layers={recipe.n_layers}",
            f"model.attention={recipe.attention}",
            f"model.attends={recipe.attends}",
            "model.tie=none",
        ]
    else:
        model = [
            f"model.d_ff={recipe.d_ff}",
            f"model.n_heads={recipe.n_heads}",
            f"model.n_encoder_layers={recipe.n_layers}",
            f"model.n_decoder_layers={recipe.n_layers}",
            f"model.norm={recipe.norm}",
            "model.tie=three-way",
        ]
    return [
        f"tokenizer.vocabulary_size={recipe.vocabulary_size}",
        *model,
        f"model.d_model={recipe.d_model}",
        f"model.dropout={recipe.dropout}",
        f"training.seed={task.seed}",
        f"training.max_steps={steps}",
        f"training.batch_tokens={recipe.batch_tokens}",
        "training.optimizer=adam",
        "training.schedule=inverse-sqrt",
        f"training.learning_rate={recipe.learning_rate}",
        f"training.warmup_steps={recipe.warmup_steps}",
        f"training.label_smoothing={recipe.label_smoothing}",
        f"training.log_every={task.report_every}",
        f"training.validate_every={steps}",
        f"training.checkpoint_every={steps}",
    ]
