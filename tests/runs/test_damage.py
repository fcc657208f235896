"""Damage: a flipped bit anywhere in a checkpoint is found, and the newest one that is whole is gone on with."""

from __future__ import annotations

import random

import torch

from clearhead.runs.checkpoints import latest_checkpoint, save_checkpoint

FLIPS = 1000


def test_every_flipped_bit_is_found(run, weights):
    for step in (1, 2, 3):
        state = {"step": step, "epoch": 1, "best": 0.5, "since": {"steps": 2, "loss": 1.5}}
        save_checkpoint(run, step, weights(step), {"m": torch.randn(5), "step": torch.tensor(1.0)}, state)
    draw = random.Random(0)
    newest = run.checkpoints_path / "step-00000003"
    files = sorted(newest.iterdir())
    assert len(files) == 4
    for number in range(FLIPS):
        path = files[number % 4]
        content = path.read_bytes()
        at, bit = draw.randrange(len(content)), draw.randrange(8)
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        found, damaged = latest_checkpoint(run)
        assert found and found.name == "step-00000002" and len(damaged) == 1, f"{path.name}, bit {bit} of byte {at}"
        assert str(newest) in damaged[0].message("en")
        path.write_bytes(content)
    assert latest_checkpoint(run) == (newest, [])
