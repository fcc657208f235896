"""Work in a process of its own: its exit code, its errors, the signals that are passed on, and no orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from clearhead.cli.apart import in_own_process
from clearhead.cli.stop import StopRequest
from clearhead.errors import MachineError, RunError


def gives(code: int | None, not_in: int) -> int | None:
    assert os.getpid() != not_in
    return code


def fails() -> int:
    raise RunError("file-foreign", name="state.json")


def killed() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def waits(ready: Path) -> int:
    """Say that a stop can be asked for, wait for it, and say that it came."""
    with StopRequest() as stop:
        ready.touch()
        while not stop():
            time.sleep(0.01)
    ready.rename(ready.with_name("stopped"))
    return stop.exit_code


def appears(path: Path) -> bool:
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    return path.exists()


def test_its_exit_code_is_returned_and_its_error_is_one_line(capfd):
    assert [in_own_process(partial(gives, code, os.getpid()), "it") for code in (0, 6, None)] == [0, 6, 0]
    assert in_own_process(fails, "it") == RunError.exit_code
    assert capfd.readouterr().err.splitlines() == [
        f"clearhead: {RunError('file-foreign', name='state.json').message()}"
    ]


def test_what_killed_it_is_named():
    with pytest.raises(MachineError, match=r"it: .*SIGKILL.*--resume"):
        in_own_process(killed, "it")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on(tmp_path, number):
    before = signal.getsignal(number)

    def tell() -> None:
        assert appears(tmp_path / "ready")
        os.kill(os.getpid(), number)

    teller = threading.Thread(target=tell)
    teller.start()
    assert in_own_process(partial(waits, tmp_path / "ready"), "it") == 128 + number
    teller.join()
    assert signal.getsignal(number) is before and (tmp_path / "stopped").exists()


def test_it_stops_when_who_began_it_is_gone(tmp_path):
    program = (
        "import functools, pathlib, test_apart\n"
        "from clearhead.cli.apart import in_own_process\n"
        f"in_own_process(functools.partial(test_apart.waits, pathlib.Path({str(tmp_path / 'ready')!r})), 'it')\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    parent = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": paths})
    assert appears(tmp_path / "ready")
    parent.kill()
    parent.wait()
    assert appears(tmp_path / "stopped")
