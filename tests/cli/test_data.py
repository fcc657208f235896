"""Downloads of public corpora, against a file server on this machine."""

import functools
import gzip
import hashlib
import http.server
import re
import threading
from pathlib import Path

import pytest

from clearhead.cli import run
from clearhead.errors import ClearheadError, UsageError
from clearhead.text import public_corpora
from clearhead.text.public_corpora import CORPORA, PublicCorpus, PublicFile, download

TEXT = {"train.en": b"a cat\na dog\n" * 500, "train.ko": "고양이\n개\n".encode() * 500}


class Server(http.server.SimpleHTTPRequestHandler):
    """A file server that knows ranges and can be told to break off."""

    break_after = None
    redirect_to = ""

    def do_GET(self):
        self.asked.append((self.path, self.headers.get("Range")))
        if self.redirect_to:
            self.send_response(302)
            self.send_header("Location", self.redirect_to)
            self.end_headers()
            return
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        first = int(re.match(r"bytes=(\d+)-", self.headers["Range"])[1]) if "Range" in self.headers else 0
        if first and first >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first : type(self).break_after])

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server(tmp_path):
    """A mirror that holds train.en.gz and, in two pieces, train.ko; gives its address and its folder."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "train.en.gz").write_bytes(gzip.compress(TEXT["train.en"]))
    (folder / "train.ko.000").write_bytes(TEXT["train.ko"][:1000])
    (folder / "train.ko.001").write_bytes(TEXT["train.ko"][1000:])
    handler = type("Handler", (Server,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=folder)) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        listening.address = f"http://127.0.0.1:{listening.server_port}"
        listening.handler, listening.folder = handler, folder
        yield listening
        listening.shutdown()
        thread.join()


@pytest.fixture
def corpus(server, monkeypatch):
    """A small corpus whose source is that server."""
    urls = {"train.en": ["train.en.gz"], "train.ko": ["train.ko.000", "train.ko.001"]}
    files = tuple(
        PublicFile(name, tuple(f"{server.address}/{url}" for url in urls[name]), hashlib.sha256(text).hexdigest())
        for name, text in TEXT.items()
    )
    small = PublicCorpus("small", "for tests", "en-ko", "1,000", "none", "http://127.0.0.1", files)
    monkeypatch.setitem(CORPORA, "small", small)
    return small


def texts(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_corpus_arrives_whole_and_is_not_fetched_twice(corpus, server, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["data", "small", "--to", str(out)]) == 0
    assert texts(out) == TEXT
    assert capsys.readouterr().out == f"{out}\n"
    before = len(server.handler.asked)
    list(download(corpus, out))
    assert len(server.handler.asked) == before == 3


def test_a_file_that_stands_there_wrong_is_fetched_again(corpus, tmp_path):
    list(download(corpus, tmp_path / "out"))
    (tmp_path / "out" / "train.en").write_bytes(b"spoilt")
    list(download(corpus, tmp_path / "out"))
    assert texts(tmp_path / "out") == TEXT


def test_a_download_that_broke_off_goes_on_where_it_stopped(corpus, server, tmp_path, capsys):
    out = tmp_path / "out"
    server.handler.break_after = 20
    assert run(["data", "small", "--to", str(out)]) == 5
    assert "broke off after 20 of" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [".train.en.gz.part"]
    server.handler.break_after = None
    assert run(["data", "small", "--to", str(out)]) == 0
    assert server.handler.asked[1] == ("/train.en.gz", "bytes=20-")
    assert texts(out) == TEXT


def test_a_piece_that_is_complete_already_is_kept(corpus, server, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".train.en.gz.part").write_bytes((server.folder / "train.en.gz").read_bytes())
    list(download(corpus, out))
    assert texts(out) == TEXT


def test_a_mirror_takes_the_place_of_the_source(corpus, server, tmp_path, monkeypatch):
    moved = [
        PublicFile(f.name, tuple(u.replace("//", "//nowhere.invalid/") for u in f.urls), f.sha256) for f in corpus.files
    ]
    monkeypatch.setitem(CORPORA, "small", PublicCorpus("small", "", "", "", "", "", tuple(moved)))
    monkeypatch.setenv("CLEARHEAD_MIRROR", server.address + "/")
    assert run(["data", "small", "--to", str(tmp_path / "out")]) == 0
    assert texts(tmp_path / "out") == TEXT


@pytest.mark.parametrize(
    "spoilt",
    [gzip.compress(b"other"), b"other", b"\x1f\x8b broken", gzip.compress(b"x" * 99)[:-4]],
    ids=["another text", "not zipped", "broken", "cut short"],  # gzip writes the time: two collections would differ
)
def test_another_text_is_refused_and_not_kept(corpus, server, tmp_path, capsys, spoilt):
    (server.folder / "train.en.gz").write_bytes(spoilt)
    out = tmp_path / "out"
    assert run(["--lang", "ko", "data", "small", "--to", str(out)]) == 3
    assert "sha256" in (line := capsys.readouterr().err.splitlines()[-1]) and "저장하지 않았으니" in line
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda server: (server.folder / "train.en.gz").unlink(), 5, "404"),
        (lambda server: setattr(server.handler, "redirect_to", "http://example.invalid/"), 2, "not an https address"),
    ],
)
def test_a_server_that_fails(corpus, server, tmp_path, capsys, change, code, said):
    change(server)
    assert run(["--lang", "en", "data", "small", "--to", str(tmp_path / "out")]) == code
    assert said in capsys.readouterr().err


def test_without_a_network_one_line_says_so(tmp_path, capsys):
    assert run(["--lang", "en", "data", "multi30k", "--to", str(tmp_path), "--mirror", "http://127.0.0.1:9"]) == 5
    assert "http://127.0.0.1:9/train.en.gz: cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["http://example.org/x", "ftp://example.org/x", "file:///etc/passwd", "example.org", ""]
)
def test_only_https_or_this_machine(url):
    with pytest.raises(UsageError):
        public_corpora.check_address(url)


def test_every_known_corpus_is_listed_with_licence_and_source(capsys):
    assert run(["data"]) == 0
    said = capsys.readouterr().out
    for corpus in CORPORA.values():
        assert all(each in said for each in (corpus.name, corpus.licence, corpus.homepage))
        for file in corpus.files:
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            for url in file.urls:
                public_corpora.check_address(url)


def test_an_unknown_corpus_is_answered_with_the_nearest(capsys):
    assert run(["--lang", "en", "data", "multi3k"]) == 2
    assert "did you mean 'multi30k'?" in capsys.readouterr().err


def test_a_full_disk(corpus, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(public_corpora.shutil, "copyfileobj", full)
    assert run(["--lang", "en", "data", "small", "--to", str(tmp_path / "out")]) == 5
    assert "no space left on the disk" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "folder"),
    [("multi30k", "multi30k-en-de"), ("multi30k-tok", "multi30k-en-de/tok"), ("tanaka-en-ja", "tanaka-en-ja")],
)
def test_the_checksums_are_those_of_the_real_text(name, folder, data_folder):
    for file in CORPORA[name].files:
        path = data_folder / folder / file.name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def test_errors_are_of_the_documented_kind(tmp_path):
    with pytest.raises(ClearheadError) as caught:
        list(download(CORPORA["multi30k"], tmp_path, "http://127.0.0.1:9"))
    assert caught.value.exit_code == 5
