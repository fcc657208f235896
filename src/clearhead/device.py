"""Which processor features, GPU and number formats there are, and which are chosen."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from clearhead.errors import UsageError

if TYPE_CHECKING:
    import torch

Where: TypeAlias = "str | int | torch.device"
"""How a device may be named; see ``choose_device``."""

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
"""Where Linux says what a container, a service or a job of a cluster may use, and which of them this process is."""


@dataclass(frozen=True)
class Device:
    """Where a run computes and in which number format.

    name: PyTorch's name, "cpu" or "cuda".
    precision: "fp32" or "bf16", that of the matrix products; weights and sums stay in fp32.
    reason: why that precision, for people.
    """

    name: str
    precision: str
    reason: str

    def autocast(self) -> torch.autocast:
        """Return the context in which the model's matrix products run in the chosen format.

        In training no weight's copy in bf16 is kept for its next use: autocast keeps them once a process, and whichever
        worker leaves empties that store for all. Where a weight is used at every step of a sequence, it would hang on
        chance how many copies there are, and over each copy's uses gradients would be summed in bf16.
        """
        import torch

        enabled, keep = self.precision == "bf16", not torch.is_grad_enabled()
        return torch.autocast(self.name, dtype=torch.bfloat16, enabled=enabled, cache_enabled=keep)


def processor_flags() -> frozenset[str]:
    """Return the processor's feature flags as Linux names them; empty where the system does not tell."""
    return frozenset(_processor("flags").split())


def processor_name() -> str:
    """Return the processor's name for people."""
    return _processor("model name") or platform.processor() or platform.machine()


def _processor(key: str) -> str:
    """Return what Linux says of the first processor under ``key``; empty where it says nothing."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return ""


def fast_bf16() -> str:
    """Return what multiplies bf16 faster than fp32 on this processor; empty for nothing.

    AVX512_BF16 alone was measured on both makes: slower than fp32 on Intel's cores, 2.2 to 3.5 times faster on AMD's
    (Zen 4; docs/log.md).
    """
    flags = processor_flags()
    if "amx_bf16" in flags:
        return "AMX"
    if "avx512_bf16" in flags and _processor("vendor_id") == "AuthenticAMD":
        return "AMD's AVX512_BF16"
    return ""


def choose_device(device: Where = "auto", precision: str = "fp32") -> Device:
    """Return where to compute: a GPU if there is one, and in which number format.

    Args:
        device: "auto", "cpu" or "cuda"; or as users of Transformers say it: a torch.device, "cuda:0", 0 for the GPU, -1
            for the processor. The GPU is the first one: CUDA_VISIBLE_DEVICES says which that is.
        precision: "fp32", "bf16", or "auto": bf16 where the hardware multiplies it fast, fp32 otherwise.

    Raises:
        UsageError: a GPU is asked for and there is none, or another than the first one.
    """
    import torch

    asked = device
    device = {"-1": "cpu", "0": "cuda", "cuda:0": "cuda"}.get(str(device), str(device))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("no-gpu", value=asked)
    if device not in ("cpu", "cuda"):
        raise UsageError("unknown-device", value=asked)
    if precision != "auto":
        return Device(device, precision, "as asked for")
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):  # emulated, as on a T4, it is slower than fp32
            return Device(device, "bf16", "the GPU supports bf16")
        return Device(device, "fp32", "the GPU does not support bf16")
    if fast := fast_bf16():
        return Device(device, "bf16", f"the processor has {fast}")
    return Device(device, "fp32", "the processor multiplies bf16 no faster")


def memory_limit(device: str = "cpu") -> int:
    """Return how many bytes this process may use at the most: the GPU's memory, or the machine's or the container's.

    Of several processes that torchrun starts on one machine each may use its share of that.

    Args:
        device: "cpu" or "cuda".
    """
    if device == "cuda":
        import torch

        return torch.cuda.get_device_properties("cuda").total_memory
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _limit_files():
        with suppress(OSError, ValueError):  # "max", where there is no limit, is no number
            limits.append(int(path.read_text()))
    return min(limits) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _limit_files() -> Iterator[Path]:
    """Yield where the limits of this process's control group stand and of all around it, in version 2 and 1."""
    with suppress(OSError):
        for line in _OWN_GROUPS.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers in ("", "memory"):
                root = _CONTROL_GROUPS / controllers
                name = "memory.limit_in_bytes" if controllers else "memory.max"
                inner = root.joinpath(*Path(group).parts[1:])
                yield from (folder / name for folder in (inner, *inner.parents) if folder.is_relative_to(root))


def cache_folder() -> Path:
    """Return where tokenised corpora are kept: $CLEARHEAD_CACHE, else clearhead in the user's cache folder."""
    if "CLEARHEAD_CACHE" in os.environ:
        return Path(os.environ["CLEARHEAD_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "clearhead"


def keep_freed_memory(most_bytes: int = 2**31 - 1) -> None:
    """Tell glibc to reuse the memory of large tensors and not to give it back to the system after each step.

    By default every tensor over 32 MB is mapped and unmapped, and the kernel zeroes its pages anew each time. Only on
    Linux with glibc; elsewhere nothing happens.

    Args:
        most_bytes: more free memory than this at the heap's end goes back all the same; below 2 GiB.
    """
    import ctypes

    trim_threshold, mmap_threshold, arena_max = -1, -3, -8  # malloc.h: M_TRIM_THRESHOLD and so on
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if platform.system() == "Linux" else None
    if mallopt is not None:
        mallopt(mmap_threshold, 2**30)
        mallopt(arena_max, 1)  # a thread's own arena cannot hold large tensors
        mallopt(trim_threshold, most_bytes)
