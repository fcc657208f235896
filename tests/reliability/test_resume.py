"""A training that is killed, wherever, and gone on with equals one that never was, bit for bit."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from .training import arguments, finish, outcome, write_corpus

PLACES = ["piece", "piece", "updated", "decode", "decode", "logged", "prune", "write", "fsync", "rename", "replace"]
KILLS = 20


@pytest.mark.reliability
def test_killed_anywhere_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path) -> None:
    corpus, cache, mark = write_corpus(tmp_path), tmp_path / "cache", tmp_path / "mark"
    whole = tmp_path / "whole"
    assert finish({"mark": str(mark)}, arguments(corpus, whole), cache)[0] == 0
    counts, expected = json.loads(mark.read_text()), outcome(whole)
    assert (
        counts["piece"] >= 2 * 24 and counts["decode"] > 20 and counts["prune"] >= 6 and counts["write"] > 999
    )  # so there is what to cut in

    draw = random.Random(1)
    plans = [{"place": PLACES[n % len(PLACES)], "signals": ["SIGKILL"], "mark": str(mark)} for n in range(KILLS)]
    for number, plan in enumerate(plans):
        plan["call"] = draw.randint(1, counts[plan["place"]])
        if number == 0:
            plan["call"] = counts["piece"] - 1  # for sure between two micro-batches of one update
        mark.unlink()
        out = tmp_path / f"cut-{number}"
        code, said = finish(plan, arguments(corpus, out), cache)
        assert code == -9 and json.loads(mark.read_text())["place"] == plan["place"], (plan, said)
        code, said = finish({"mark": str(mark)}, arguments(corpus, out), cache)
        assert code == 0, (plan, said)
        assert "Traceback" not in said
        found = outcome(out)
        assert found["log"] == expected["log"], plan
        assert expected.items() <= found.items(), plan  # a kill before the last pruning leaves one checkpoint more
        print(f"killed at {plan['place']} {plan['call']} of {counts[plan['place']]}: the same")
