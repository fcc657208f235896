"""Public corpora: where their files lie, and downloading them whole and unchanged.

Only the addresses and the checksums are ours; the text belongs to its authors, under the licence named with it.
A checksum is that of the text itself (after gzip), so that a mirror may pack the same text as it likes.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clearhead.errors import CorpusError, MachineError, UsageError

CHUNK = 1 << 18
TIMEOUT_S = 30


@dataclass(frozen=True)
class PublicFile:
    """One text file. urls: the pieces to lay end to end, each plain or gzip; sha256: of the whole text."""

    name: str
    urls: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class PublicCorpus:
    """A corpus anybody may fetch from its source, under ``licence``."""

    name: str
    about: str
    languages: str
    pairs: str
    licence: str
    homepage: str
    files: tuple[PublicFile, ...]


@dataclass(frozen=True)
class Fetched:
    """How far a file has come. total: bytes of the piece, None where the server does not say; done at ``finished``."""

    file: str
    received: int
    total: int | None
    finished: bool = False


MULTI30K = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1"
TANAKA = "https://raw.githubusercontent.com/odashi/small_parallel_enja/master"


def _multi30k(pattern: str, checksums: dict[str, str]) -> tuple[PublicFile, ...]:
    files = []
    for name, sha256 in checksums.items():
        part, language = name.rsplit(".", 1)
        url = f"{MULTI30K}/{pattern.format(part=part, language=language)}"
        files.append(PublicFile(name, (url,), sha256))
    return tuple(files)


def _tanaka(checksums: dict[str, str]) -> tuple[PublicFile, ...]:
    files = []
    for name, sha256 in checksums.items():
        pieces = [f"{name}.{i:03d}" for i in range(5)] if name.startswith("train") else [name]
        files.append(PublicFile(name, tuple(f"{TANAKA}/{piece}" for piece in pieces), sha256))
    return tuple(files)


CORPORA: dict[str, PublicCorpus] = {
    corpus.name: corpus
    for corpus in (
        PublicCorpus(
            name="multi30k",
            about="captions of pictures, raw text",
            languages="en-de",
            pairs="29,000 train, 1,014 val, 1,000 test",
            licence="research and education, not commercial (captions of Flickr30k)",
            homepage="https://github.com/multi30k/dataset",
            files=_multi30k(
                "raw/{part}.{language}.gz",
                {
                    "train.en": "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
                    "train.de": "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
                    "val.en": "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
                    "val.de": "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
                    "test_2016_flickr.en": "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
                    "test_2016_flickr.de": "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16",
                },
            ),
        ),
        PublicCorpus(
            name="multi30k-tok",
            about="the same, lowercased, normalised and tokenised by its authors",
            languages="en-de",
            pairs="29,000 train, 1,014 val, 1,000 test",
            licence="research and education, not commercial (captions of Flickr30k)",
            homepage="https://github.com/multi30k/dataset",
            files=_multi30k(
                "tok/{part}.lc.norm.tok.{language}",
                {
                    "train.en": "08925f8e0572bcd5a006702fc5fe20e2d77c6917d4eebd576fc20de6693c2119",
                    "train.de": "cb5a23529b65ec2061f1dc446192a9c37382b63cc75f81a0be59d34894b3a505",
                    "val.en": "46573ce391ae227f1c72f873392436a20ef18e0a6d518098cfbd70b77c8572ec",
                    "val.de": "97232bd273eceb7207f689527386a97e4be2616b18ada47576bdaf96c8ae1f00",
                    "test_2016_flickr.en": "5b7f32627cf99eced828311b955dae9800bb52bc8b91cf8b6526829e605b29d2",
                    "test_2016_flickr.de": "c6a33d39d48f9f510de147651316cd9d918e09ad0219df734a2f16b6baccacc4",
                },
            ),
        ),
        PublicCorpus(
            name="tanaka-en-ja",
            about="short everyday sentences from the Tanaka corpus, tokenised, English lowercased",
            languages="en-ja",
            pairs="50,000 train, 500 dev, 500 test",
            licence="CC BY",
            homepage="https://github.com/odashi/small_parallel_enja",
            files=_tanaka(
                {
                    "train.en": "148b05dcd28638fe20ee84f2b1127001c80982be352007dda241fb759adadc76",
                    "train.ja": "fc81a1434349ec98a449d7ae9cd2530057f689637684ecfed3501ea6a8a07ecc",
                    "dev.en": "04a2673449770657fd5e3b963cb856be3130923212b6db8ac7eaeef18f06c041",
                    "dev.ja": "cd534f56b8639dc130f86a365e5ec0aa70042000bdd740a622fbbf8b6be4acca",
                    "test.en": "45edb380749ec2b49cca7618fc5a7595fc9f791180672ba466b90c873a4aa8bf",
                    "test.ja": "d37dc460a81b064e4106c8913eb11fa300da05cf3f58a7a5bbfec7e20947ddef",
                },
            ),
        ),
    )
}
"""Every corpus known by name."""


def download(corpus: PublicCorpus, folder: Path, mirror: str = "") -> Iterator[Fetched]:
    """Bring ``corpus`` into ``folder``, saying how far each file has come.

    A file that stands there with the right checksum is not fetched again; one that broke off goes on where it stopped;
    a file appears under its name only when it is whole and right.

    Args:
        mirror: address of a folder that holds the files under the last part of their own addresses; "" for the source.

    Raises:
        UsageError: an address that is not https (http is for this machine's own addresses only).
        MachineError: no network, or the server has no such file.
        CorpusError: the text is not the one this project knows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in corpus.files:
        target = folder / file.name
        if target.is_file() and _sha256(target) == file.sha256:
            yield Fetched(file.name, target.stat().st_size, None, finished=True)
            continue
        urls = [f"{mirror.rstrip('/')}/{url.rsplit('/', 1)[1]}" if mirror else url for url in file.urls]
        pieces = [folder / f".{url.rsplit('/', 1)[1]}.part" for url in urls]
        for url, piece in zip(urls, pieces):
            yield from _fetch(url, piece, file.name)
        _join(pieces, target, file, urls[0])
        yield Fetched(file.name, target.stat().st_size, None, finished=True)


def check_address(url: str) -> None:
    """Raise UsageError unless ``url`` is https, or http on this machine itself."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")):
        return
    raise UsageError("insecure-address", url=url)


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect must not lead out of https."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, piece: Path, name: str) -> Iterator[Fetched]:
    """Write what lies at ``url`` to ``piece``, after what already stands there."""
    check_address(url)
    received = piece.stat().st_size if piece.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "clearhead", "Accept-Encoding": "identity"})
    if received:
        request.add_header("Range", f"bytes={received}-")
    opener = urllib.request.build_opener(_CheckedRedirects)
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                received = 0  # the server sends the whole again
            length = answer.headers.get("Content-Length")
            total = received + int(length) if length else None
            with open(piece, "ab" if received else "wb") as out:
                while chunk := answer.read(CHUNK):
                    out.write(chunk)
                    received += len(chunk)
                    yield Fetched(name, received, total)
            if total is not None and received < total:
                raise MachineError("download-broke-off", url=url, received=received, total=total)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and received:
            return  # nothing is left to fetch; the checksum tells whether that is right
        raise MachineError("download-refused", url=url, status=error.code, problem=error.reason) from error
    except urllib.error.URLError as error:
        raise MachineError("no-network", url=url, problem=error.reason) from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise MachineError("download-broke-off", url=url, received=received, total="?") from error


def _join(pieces: list[Path], target: Path, file: PublicFile, url: str) -> None:
    """Unpack the pieces one after another into ``target``, if the whole has the right checksum."""
    whole = target.with_name(f".{target.name}.whole")
    unreadable: Exception | None = None
    with open(whole, "wb") as out:
        for piece in pieces:
            try:
                with _open(piece) as text:
                    shutil.copyfileobj(text, out, CHUNK)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                unreadable = error
    found = _sha256(whole)
    for piece in pieces:
        piece.unlink(missing_ok=True)
    if unreadable or found != file.sha256:
        whole.unlink()
        raise CorpusError("wrong-checksum", path=target, url=url, expected=file.sha256, found=found)
    os.replace(whole, target)


def _open(path: Path) -> contextlib.AbstractContextManager:
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else open(path, "rb")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
