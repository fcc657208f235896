"""From stdin to stdout: one line for each line, whatever the lines are."""

import io
import json
import subprocess
import sys

import pytest

from clearhead.cli import run
from clearhead.cli.translate import CHUNK_LINES, available_lines
from clearhead.errors import CorpusError


@pytest.fixture
def translated(trained, monkeypatch, capfdbinary):
    """Run ``clearhead translate`` on bytes; gives the exit code, stdout and stderr."""

    def translate(content, *arguments):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        code = run(["translate", str(trained), *arguments])
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return translate


def test_one_line_for_each_line_and_an_empty_one_for_an_empty_one(translated):
    source = "the small cat\n\nthe dog\r\n   \nthe\u2028cat\u0085sees\x0bthe\x1cdog\nthe old house".encode()
    code, out, err = translated(source)
    lines = out.split(b"\n")
    assert code == 0 and err == "" and len(lines) == 7 and lines[-1] == b""
    assert lines[1] == lines[3] == b""


def test_the_same_lines_in_one_piece_and_in_small_ones(translated, monkeypatch):
    source = b"".join(b"the %s cat\n" % word for word in (b"old", b"new", b"big", b"small")) * 3
    whole = translated(source)[1]
    monkeypatch.setattr("clearhead.cli.translate.READ_BYTES", 7)
    assert translated(source)[1] == whole != b""


def test_nothing_gives_nothing(translated):
    assert translated(b"") == (0, b"", "")


def test_n_best_stays_on_the_line_and_json_has_it_all(translated):
    code, out, _ = translated(b"the cat\nthe dog\n", "--n-best=2", "--beam-size=3")
    assert code == 0 and [line.count(b"\t") for line in out.splitlines()] == [1, 1]
    code, out, _ = translated(b"the cat\n\n", "--n-best=2", "--beam-size=3", "--format=json", "--max-tokens=4")
    first, empty = (json.loads(line) for line in out.splitlines())
    assert first["source"] == "the cat" and len(first["n_best"]) == 2 and len(first["tokens"]) <= 4
    assert first["n_best"][0] == {"text": first["text"], "score": first["score"]}
    assert empty["text"] == ""


def test_a_prefix_and_a_seed(translated):
    _, out, _ = translated(b"the cat\nthe dog\n", "--prefix=그 작은")
    assert all(line.decode().startswith("그 작은") for line in out.splitlines())
    draws = [translated(b"the cat\n" * 5, "--sample", f"--seed={seed}", "--max-tokens=9")[1] for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert len(set(draws[0].splitlines())) > 1


@pytest.mark.parametrize(("language", "said"), [("en", "convert the text"), ("ko", "변환해서 넣으세요")])
def test_the_lines_before_a_bad_one_are_translated(translated, monkeypatch, language, said):
    monkeypatch.setenv("CLEARHEAD_LANG", language)
    code, out, err = translated(b"the cat\nthe dog\nthe \xe9\nthe cat\n")
    assert code == 3 and out.count(b"\n") == 2
    assert err.startswith("clearhead: <stdin>:3: ") and "0xe9" in err and said in err and err.count("\n") == 1


def test_a_line_of_ten_megabytes(translated):
    code, out, err = translated(b"the cat\n" + b"x" * 10_000_000 + b"\nthe cat\n")
    assert code == 3 and out.count(b"\n") == 1 and "<stdin>:2" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--beam-size=0"], "decoding.beam_size"),
        (["--beam-size=x"], "--beam-size"),
        (["--n-best=9"], "9"),
        (["--tag=2xx"], "2xx"),
        (["--device=tpu"], "tpu"),
        (["--beem-size=3"], "'--beam-size'"),
    ],
)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_wrong_options(translated, monkeypatch, language, arguments, said):
    monkeypatch.setenv("CLEARHEAD_LANG", language)
    code, out, err = translated(b"the cat\n", *arguments)
    assert code == 2 and out == b"" and said in err and err.count("\n") == 1


class Trickle(io.RawIOBase):
    """A stream that gives its bytes piece by piece."""

    def __init__(self, pieces):
        self.pieces = list(pieces)

    def readable(self):
        return True

    def readinto(self, buffer):
        piece = self.pieces.pop(0) if self.pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)


def test_a_line_is_given_as_soon_as_it_is_there():
    stream = io.BufferedReader(Trickle([b"one\ntw", b"o\n", b"three\nfour"]))
    assert list(available_lines(stream)) == [["one"], ["two"], ["three"], ["four"]]


def test_many_lines_come_in_chunks():
    lines = [str(n) for n in range(2 * CHUNK_LINES + 3)]
    chunks = list(available_lines(io.BufferedReader(io.BytesIO("\n".join(lines).encode()))))
    assert [line for chunk in chunks for line in chunk] == lines
    assert max(map(len, chunks)) <= CHUNK_LINES and chunks[0][0] == "0"


def test_a_byte_order_mark_is_left_out():
    assert list(available_lines(io.BufferedReader(io.BytesIO(b"\xef\xbb\xbfone\ntwo\n")))) == [["one", "two"]]


def test_a_line_without_end_is_refused_before_it_fills_the_memory():
    stream = io.BufferedReader(Trickle([b"x" * 8192] * 400))
    with pytest.raises(CorpusError):
        list(available_lines(stream))
    assert len(stream.raw.pieces) > 200


def test_a_reader_that_leaves_is_no_error(trained):
    translate = f"{sys.executable} -m clearhead translate {trained} --max-tokens 1"
    command = f"yes the cat | head -n 9000 | {translate} | head -n 1"
    done = subprocess.run(["bash", "-c", f"{command}; exit ${{PIPESTATUS[2]}}"], capture_output=True, text=True)
    assert done.returncode == 141 and done.stderr == "" and done.stdout.count("\n") == 1
