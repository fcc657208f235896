"""Memory must not grow with the corpus by more than the benchmark's target allows: 1.5 GB for 5 million pairs."""

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc/PID/status is Linux's")
def test_a_pair_costs_less_than_its_share(tmp_path):
    path = Path(__file__).parents[2] / "benchmarks" / "memory.py"
    spec = importlib.util.spec_from_file_location("memory", path)
    memory = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(memory)
    pairs = memory.SMALL_PAIRS + 250_000
    costs = memory.measure(pairs, tmp_path)["cost_bytes"]
    print({start: f"{cost / 250_000:.0f} bytes a pair" for start, cost in costs.items()})
    assert max(costs.values()) / 250_000 < memory.TARGET_BYTES / 5_000_000 / 2
