"""Run folders and files that somebody, or something, has made other than we did; and a process that only loads them."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import resource
import sys
import time
import tomllib
import traceback
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import tomli_w

from clearhead.errors import ClearheadError
from clearhead.runs.files import Stamp
from clearhead.runs.manifest import manifest_bytes

LIMIT_S, LIMIT_MB = 2.0, 500.0
VALUES: list[Any] = [
    0, -1, 1, 2**31, 2**63, 10**30, -(10**9), 1e308, -0.0, float("inf"), float("nan"), True, False, "", "x" * 5000,
    "../../etc", "/dev/zero", ["x"] * 3000,
    "\x00", "\ud800", "transformer", [], [1, 2], {}, {"a": {"b": []}}, None, "1", [[[]]],
]  # fmt: skip
PIECES = [b'"', b"[", b"{", b"9" * 30, b"\n", b"\0", b"null", b"-1", b"\xff", b"NaN", b"1e999", b"[" * 5000, b"\r\n"]


class Payload:
    """What a pickle that is loaded would do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/clearhead-was-here",)


# --- changes


def change_bytes(draw: random.Random, content: bytes) -> bytes:
    """Flip, cut, drop, insert, double or overwrite something."""
    at = draw.randrange(len(content) + 1)
    length = draw.choice([1, 1, 2, 8, 100, 4000])
    match draw.randrange(7):
        case 0:
            at = min(at, len(content) - 1)
            return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :] if content else b"x"
        case 1:
            return content[:at]
        case 2:
            return content[:at] + content[at + length :]
        case 3:
            return content[:at] + draw.choice([*PIECES, draw.randbytes(length)]) + content[at:]
        case 4:
            return content + content
        case 5:
            return content[:at] + draw.randbytes(length) + content[at + length :]
        case _:
            return draw.choice([b"", b"\0" * length, draw.randbytes(length), pickle.dumps(Payload()), b"[" * 100_000])


def change_value(draw: random.Random, value: Any) -> Any:
    """Return a table with one value, key or branch of it other than before."""
    if isinstance(value, dict) and value and draw.random() < 0.95:
        key = draw.choice(list(value))
        match draw.randrange(8):
            case 0:
                return {name: part for name, part in value.items() if name != key}
            case 1:
                return {**value, draw.choice(["x", "", "step", "__class__", "kind"]): draw.choice(VALUES)}
            case _:
                return {**value, key: change_value(draw, value[key])}
    if isinstance(value, list) and value and draw.random() < 0.8:
        at = draw.randrange(len(value))
        kept = [] if draw.random() < 0.2 else [change_value(draw, value[at])]
        return [*value[:at], *kept, *value[at + 1 :]]
    if isinstance(value, (int, float)) and draw.random() < 0.4:
        return draw.choice([value + 1, value - 1, value * 1000, -value, value * 2**40])
    return draw.choice(VALUES)


def change_json(draw: random.Random, content: bytes) -> bytes:
    """Change a value of a JSON file; of one with a JSON object a line, in one of the lines."""
    try:
        lines = [json.loads(line) for line in content.splitlines()] if content.count(b"}\n{") else [json.loads(content)]
        at = draw.randrange(len(lines))
        lines[at] = change_value(draw, lines[at])
        return b"\n".join(json.dumps(line).encode() for line in lines) + b"\n"
    except (ValueError, RecursionError, OverflowError):
        return change_bytes(draw, content)


def change_toml(draw: random.Random, content: bytes) -> bytes:
    try:
        return tomli_w.dumps(change_value(draw, tomllib.loads(content.decode()))).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return change_bytes(draw, content)


def change_tensors(draw: random.Random, content: bytes) -> bytes:
    """Change the header of a safetensors file: names, types, shapes, places, its own length."""
    try:
        length = int.from_bytes(content[:8], "little")
        header = change_value(draw, json.loads(content[8 : 8 + length]))
        text = json.dumps(header).encode()
        size = draw.choice([len(text)] * 6 + [0, 1, 2**63, 2**64 - 1, len(text) + 1, 10**9])
        return size.to_bytes(8, "little") + text + content[8 + length :]
    except (ValueError, RecursionError):
        return change_bytes(draw, content)


def change_file(draw: random.Random, path: Path) -> None:
    """Change a file of a run in a way that suits its kind, or by its bytes, or put something else in its place."""
    content = path.read_bytes()
    special = draw.random()
    if special < 0.04:
        path.unlink()
        match draw.randrange(6):
            case 0:
                path.mkdir()
            case 1:
                path.symlink_to(draw.choice(["/etc/passwd", "/dev/zero", "/nowhere", path.name, "/proc/self/mem", "."]))
            case 2:
                os.mkfifo(path)
        return
    kinds = {".toml": change_toml, ".json": change_json, ".jsonl": change_json, ".safetensors": change_tensors}
    change = kinds[path.suffix] if special < 0.6 else change_bytes
    path.write_bytes(change(draw, content))


def restamp(folder: Path) -> None:
    """Let the manifest say what is there now: so that the readers are tried, not the sha256 alone."""
    files = [path for path in folder.iterdir() if path.is_file() and path.suffix in (".toml", ".json", ".safetensors")]
    stamps = {
        path.name: (Stamp(path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()),)
        for path in files
        if path.name != "manifest.json" and not path.is_symlink()
    }
    (folder / "manifest.json").unlink(missing_ok=True)
    (folder / "manifest.json").write_bytes(manifest_bytes(stamps))


# --- the process that loads


class Watch:
    """An audit hook: code run, processes started, files written and connections made while ``armed`` are noted.

    It stays for the life of the process, hence only in one of its own.
    """

    def __init__(self, writes: bool) -> None:
        self.writes = writes
        self.armed = False
        self.seen: list[str] = []
        self.ours = tuple({sys.prefix, sys.base_prefix, *filter(None, sys.path), "<frozen"})
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        what = event.partition(".")[0]
        if event == "exec":  # modules that are imported late are run too: those of the installation may be
            wrong = not str(arguments[0].co_filename).startswith(self.ours)
        elif event == "compile":
            wrong = not str(arguments[1]).startswith(self.ours)
        elif event == "open":
            mode, flags = arguments[1], arguments[2]
            wrong = not self.writes and bool(
                (mode and set(mode) & set("wax+")) or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
        else:
            dangerous = {"os.system", "os.exec", "os.fork", "os.posix_spawn", "os.chmod"}
            wrong = event in dangerous or what in ("subprocess", "socket", "pickle", "urllib")
            wrong = wrong or (not self.writes and event in ("os.remove", "os.rename", "shutil.rmtree"))
        if wrong:
            self.seen.append(f"{event} {str(arguments)[:200]}")


def in_a_child(work: Callable[[Callable[[str], None]], None], seconds: float) -> list[str]:
    """Do ``work`` in a process of its own, which gets a function to tell of faults; return what it told.

    A process that dies by a signal, or takes longer than ``seconds``, is a fault too.
    """
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the test's process has threads that sleep
        child = os.fork()
    if child == 0:
        os.close(read)
        try:
            soft = _status_mb("VmSize") + 4 * LIMIT_MB  # a runaway is ended before it takes the machine along
            resource.setrlimit(resource.RLIMIT_AS, (int(soft * 1e6), resource.RLIM_INFINITY))
            signal_alarm(seconds)
            with os.fdopen(write, "w") as out:
                work(lambda fault: print(json.dumps(fault), file=out, flush=True))
        except BaseException:
            os.write(2, traceback.format_exc().encode())
            os._exit(1)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        faults = [json.loads(line) for line in said]
    status = os.waitpid(child, 0)[1]
    return faults + ([] if status == 0 else [f"the process ended with status {status}"])


def signal_alarm(seconds: float) -> None:
    import signal

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def attempt_each(
    cases: Iterable[tuple[str, Callable[[], object]]], tell: Callable[[str], None], writes: bool = False
) -> None:
    """Do each case; tell of what is neither done nor refused in our own words, or takes too long or too much.

    writes: whether the cases may write files.
    """
    watch = Watch(writes)
    for name, use in cases:
        before, began = _peak_mb(reset=True), time.process_time()
        watch.armed, watch.seen = True, []
        problem = ""
        try:
            use()
        except ClearheadError as error:
            lines = [error.message("en"), error.message("ko")]
            problem = "" if all(line and "\n" not in line for line in lines) else f"told as {lines}"
        except BaseException as error:
            problem = "".join(traceback.format_exception(error)[-3:])
        watch.armed = False
        took, grew = time.process_time() - began, _peak_mb() - before
        problem = problem or "; ".join(watch.seen)
        if took > LIMIT_S or grew > LIMIT_MB:
            problem += f" took {took:.1f} s and {grew:.0f} MB"
        if problem:
            tell(f"{name}: {problem}")


def _peak_mb(reset: bool = False) -> float:
    if reset:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    return _status_mb("VmHWM")


def _status_mb(name: str) -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1000 for line in file if line.startswith(name))
