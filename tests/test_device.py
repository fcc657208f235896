"""Which number format is chosen on which processor."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from clearhead import device
from clearhead.device import choose_device, fast_bf16, processor_flags, processor_name


def cpuinfo(maker: str, flags: str) -> str:
    core = f"processor\t: 0\nvendor_id\t: {maker}\nmodel\t\t: 17\nmodel name\t: A processor: fast\nflags\t\t: {flags}\n"
    return f"{core}vmx flags\t: vnmi\n\n{core.replace('flags', 'flags and more')}"


class Told:
    """A file of this text, in the place of what Linux says of the processor."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def __call__(self, path: str) -> Told:
        assert path == "/proc/cpuinfo"
        return self

    def read_text(self) -> str:
        if self.text is None:
            raise FileNotFoundError
        return self.text


@pytest.mark.parametrize(
    ("maker", "flags", "chosen"),
    [
        ("GenuineIntel", "fpu avx512f avx512_bf16 amx_bf16", "bf16"),
        ("GenuineIntel", "fpu avx512f avx512_bf16", "fp32"),
        ("AuthenticAMD", "fpu avx512f avx512_bf16", "bf16"),
        ("AuthenticAMD", "fpu avx2", "fp32"),
    ],
)
def test_training_is_in_bf16_where_that_is_faster(monkeypatch, maker, flags, chosen):
    monkeypatch.setattr(device, "Path", Told(cpuinfo(maker, flags)))
    assert processor_flags() == frozenset(flags.split()) and processor_name() == "A processor: fast"
    found = choose_device("cpu", "auto")
    assert found.precision == chosen and (fast_bf16() or "no faster") in found.reason
    assert choose_device("cpu").precision == "fp32" and choose_device("cpu", "bf16").precision == "bf16"


@pytest.mark.parametrize(("generation", "chosen"), [(7, "fp32"), (8, "bf16")])
def test_a_gpu_that_only_emulates_bf16_gets_fp32(monkeypatch, generation, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=generation))
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True)
    assert choose_device("auto", "auto").precision == chosen


def test_a_system_that_tells_nothing_of_its_processor_gets_fp32(monkeypatch):
    monkeypatch.setattr(device, "Path", Told(None))
    assert processor_flags() == frozenset() and choose_device("cpu", "auto").precision == "fp32"
    assert processor_name()
