"""What a power loss may leave of what was written: a recorder of everything done to a folder, and a model of a disk.

The model asks for no more than POSIX promises, and is weaker than ext4 or XFS are:

- What was written to a file since its last fsync is there, or not at all, or half of it, or as zeros in its length.
- What was done to the names of a folder since its last fsync (made, renamed, removed) has happened or not, each by
  itself, but that nothing happens to a name before what was done to that name earlier. A rename is one event.
- An fsync of a file makes its content durable, not its name; of a folder its names, not its own name in its parent.

``losses`` gives every state that may be found, after each operation and each once. Where one moment allows more than
``MOST`` combinations, so many are drawn.
"""

from __future__ import annotations

import builtins
import itertools
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clearhead.runs import files

Operation = tuple[str, str, Any]
"""What was done ("create", "write", "sync", "mkdir", "rename", "unlink", "rmdir"), to which path, and with what."""
Tree = dict[str, bytes | None]
"""Path -> a file's content, or None for a folder."""

MOST = 512


# --- recording


@contextmanager
def recording(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Operation]]:
    """Record what the code does to the disk below ``root``, in its order."""
    done: list[Operation] = []

    def name(path: Any, dir_fd: int | None = None) -> str:
        folder = os.readlink(f"/proc/self/fd/{dir_fd}") if dir_fd is not None else ""
        return os.path.relpath(os.path.join(folder, os.fspath(path)), root)

    def noting(what: str, function: Any) -> Any:
        def noted(path: Any, *args: Any, dir_fd: int | None = None, **more: Any) -> None:
            if what == "sync":
                done.append((what, name(os.readlink(f"/proc/self/fd/{path}")), None))
                return
            function(path, *args, **({} if dir_fd is None else {"dir_fd": dir_fd}), **more)
            done.append((what, name(path, dir_fd), name(args[0]) if what == "rename" else None))

        return noted

    def open_noted(path: Any, mode: str = "r", **more: Any) -> Any:
        file = builtins.open(path, mode, **more)  # noqa: SIM115 - whoever opens it closes it
        if "x" not in mode:
            return file
        done.append(("create", name(path), None))
        return _Noted(file, name(path), done)

    with monkeypatch.context() as patch:
        for what, function in (("sync", "fsync"), ("rename", "rename"), ("rename", "replace")):
            patch.setattr(os, function, noting(what, getattr(os, function)))
        for what in ("mkdir", "unlink", "rmdir"):
            patch.setattr(os, what, noting(what, getattr(os, what)))
        patch.setattr(files, "open", open_noted, raising=False)
        yield done


class _Noted:
    def __init__(self, file: Any, path: str, done: list[Operation]) -> None:
        self._file, self._path, self._done = file, path, done

    def __enter__(self) -> _Noted:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, chunk: Any) -> None:
        self._file.write(chunk)
        self._done.append(("write", self._path, bytes(chunk)))


# --- what may be left


@dataclass
class _File:
    durable: bytes = b""
    now: bytes = b""

    def after_a_loss(self) -> list[bytes]:
        """What may be found: as synced last, half of what came since, zeros in its place, or all."""
        more = self.now[len(self.durable) :]
        return list(
            dict.fromkeys(self.durable + part for part in (b"", more[: len(more) // 2], bytes(len(more)), more))
        )


@dataclass
class _Folder:
    durable: dict[str, Any] = field(default_factory=dict)
    now: dict[str, Any] = field(default_factory=dict)
    pending: list[tuple[frozenset[str], dict[str, Any]]] = field(default_factory=list)
    """What was done since the last sync: the names it touches, and what each of them is then (None: nothing)."""

    def change(self, change: dict[str, Any]) -> None:
        self.pending.append((frozenset(change), change))
        self.now = _changed(self.now, change)

    def after_a_loss(self) -> list[dict[str, Any]]:
        """The names that may be found: each subset of what was done that leaves no gap in what befell one name."""
        found = []
        for chosen in itertools.product((False, True), repeat=len(self.pending)):
            names, skipped, gap = self.durable, set[str](), False
            for take, (touched, change) in zip(chosen, self.pending):
                gap = gap or (take and bool(touched & skipped))
                names = _changed(names, change) if take else names
                skipped |= set() if take else touched
            if not gap:
                found.append(names)
        return found


def _changed(names: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return {name: node for name, node in {**names, **change}.items() if node is not None}


def losses(before: Tree, operations: list[Operation]) -> Iterator[tuple[int, Tree]]:
    """Yield each state that a power loss may leave, with the number of operations that had been done at the latest."""
    seen, draw = set[frozenset[Any]](), random.Random(0)
    for done in range(len(operations), -1, -1):  # from the end, so that each state is told with the latest moment
        root = _disk(before)
        for operation in operations[:done]:
            _do(root, *operation)
        for tree in _after_a_loss(root, draw):
            key = frozenset(tree.items())
            if key not in seen:
                seen.add(key)
                yield done, tree


def tree_of(folder: Path) -> Tree:
    """Return what a folder holds."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def lay_out(tree: Tree, folder: Path) -> None:
    """Write a tree into an empty folder."""
    for name, content in sorted(tree.items()):
        if content is None:
            (folder / name).mkdir(parents=True)
        else:
            (folder / name).write_bytes(content)


def _disk(tree: Tree) -> _Folder:
    root = _Folder()
    for name, content in sorted(tree.items()):
        folder, last = _find(root, name)
        node = _Folder() if content is None else _File(content, content)
        folder.now[last] = folder.durable[last] = node
    return root


def _find(root: _Folder, path: str) -> tuple[_Folder, str]:
    *above, last = Path(path).parts
    for part in above:
        root = root.now[part]
    return root, last


def _do(root: _Folder, what: str, path: str, more: Any) -> None:
    if path == ".":
        assert what == "sync"
        root.durable, root.pending = dict(root.now), []
        return
    folder, last = _find(root, path)
    match what:
        case "create":
            folder.change({last: _File()})
        case "mkdir":
            folder.change({last: _Folder()})
        case "write":
            folder.now[last].now += more
        case "sync":
            node = folder.now[last]
            node.durable = node.now if isinstance(node, _File) else dict(node.now)
            if isinstance(node, _Folder):
                node.pending = []
        case "rename":
            other, new = _find(root, more)
            assert other is folder, "a rename between folders is not modelled"
            folder.change({new: folder.now[last], last: None})
        case "unlink" | "rmdir":
            folder.change({last: None})
        case _:
            raise AssertionError(what)


def _after_a_loss(root: _Folder, draw: random.Random) -> Iterator[Tree]:
    """Yield what may be found, every combination of what every file and folder may be found as."""
    nodes = _nodes(root)
    choices = [node.after_a_loss() for node in nodes]
    total = 1
    for choice in choices:
        total *= len(choice)
    combinations = itertools.product(*choices)
    if total > MOST:
        combinations = ([draw.choice(choice) for choice in choices] for _ in range(MOST))  # type: ignore[assignment]
    for combination in combinations:
        found = {id(node): state for node, state in zip(nodes, combination)}
        yield dict(_lines(root, found, ""))


def _nodes(root: _Folder) -> list[Any]:
    """Return every file and folder that may be found under some name."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if any(node is other for other in found):
            return
        found.append(node)
        if isinstance(node, _Folder):
            pending = [part for _, change in node.pending for part in change.values() if part is not None]
            for part in [*node.durable.values(), *pending]:
                visit(part)

    visit(root)
    return found


def _lines(folder: _Folder, found: dict[int, Any], above: str) -> Iterator[tuple[str, bytes | None]]:
    for name, node in found[id(folder)].items():
        path = f"{above}{name}"
        if isinstance(node, _Folder):
            yield path, None
            yield from _lines(node, found, f"{path}/")
        else:
            yield path, found[id(node)]
