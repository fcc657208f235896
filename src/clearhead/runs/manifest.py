"""The manifest: size and sha256 of each file of a folder that must be whole to be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearhead.errors import RunError
from clearhead.runs.files import Stamp, read_json

MANIFEST = "manifest.json"
Stamps = dict[str, tuple[Stamp, ...]]
"""File name -> what that file may be: as written last and, while it is being replaced, also as it was before."""


def manifest_bytes(stamps: Mapping[str, tuple[Stamp, ...]]) -> bytes:
    """Return a manifest as JSON: ``{"format": 1, "files": {name: {"size": ..., "sha256": ...}}}``.

    A file that is being replaced has its former self too, under "former": the manifest goes out first, then the file,
    then the manifest without it, so that a kill in between leaves a folder that is whole.
    """
    files: dict[str, Any] = {}
    for name, (stamp, *former) in stamps.items():
        files[name] = {"size": stamp.size, "sha256": stamp.sha256}
        if former:
            files[name]["former"] = {"size": former[0].size, "sha256": former[0].sha256}
    return json.dumps({"format": 1, "files": files}, indent=2).encode() + b"\n"


def read_manifest(folder: Path) -> Stamps:
    """Read ``folder``'s manifest.

    Raises:
        RunError: it is missing, not JSON, or not a manifest.
    """
    content = read_json(folder / MANIFEST)
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict):
        raise RunError("bad-manifest", name=MANIFEST, entry="files")
    stamps: Stamps = {}
    for name, entry in files.items():
        former = entry.get("former") if isinstance(entry, dict) else None
        found = tuple(_stamp(name, part) for part in ([entry] if former is None else [entry, former]))
        stamps[name] = found
    if content != json.loads(manifest_bytes(stamps)):  # whatever else it says has not been said by us
        raise RunError("bad-manifest", name=MANIFEST, entry="format")
    return stamps


def _stamp(name: str, entry: object) -> Stamp:
    if isinstance(entry, dict):
        size, sha256 = entry.get("size"), entry.get("sha256")
        if type(size) is int and isinstance(sha256, str):
            return Stamp(size, sha256)
    raise RunError("bad-manifest", name=MANIFEST, entry=name)
