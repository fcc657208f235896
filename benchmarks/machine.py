"""What every benchmark says of itself: the machine and the versions that its figures come from. Loads no torch."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from clearhead.device import processor_flags, processor_name
from clearhead.version import __version__

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def machine() -> dict[str, object]:
    return {
        "processor": processor_name(),
        "features": [feature for feature in FEATURES if feature in processor_flags()],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Return the versions of this environment that figures depend on."""
    found = {"python": platform.python_version(), "clearhead": __version__}
    return found | {name: importlib.metadata.version(name) for name in ("torch", "numpy", "tokenizers")}


def commit() -> str:
    """Return which commit this is, "-dirty" where files differ from it; empty outside a clone."""
    ask = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    return subprocess.run(ask, capture_output=True, text=True).stdout.strip()


def facts() -> dict[str, object]:
    """Return command, commit, machine and versions: the start of every result."""
    command = " ".join(["python", *sys.argv])
    return {"command": command, "commit": commit(), "machine": machine(), "versions": versions()}


def print_facts(known: dict[str, object]) -> None:
    for name, fact in known.items():
        print(f"{name:<10}{fact if isinstance(fact, str) else json.dumps(fact)}", flush=True)
