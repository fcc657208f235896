"""The tokenizer gives every text back in NFC, is the same in every run, and keeps its layout of ids."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from unicodedata import normalize

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.config import TokenizerConfig
from clearhead.errors import LANGUAGES, ClearheadError, ConfigError, CorpusError, RunError, UsageError
from clearhead.text.corpus import read_lines
from clearhead.text.tokenizer import BYTES, FIRST_BYTE, FIRST_LEARNT, SPECIALS, Tokenizer, TokenizerPair

NOUNS = [
    "번역기",
    "문장",
    "mountain",
    "question",
    "Wörterbuch",
    "übersetzen",
    "학생",
    "선생님",
    "고양이",
    "동물",
    "street",
    "animal",
    "window",
    "Straße",
    "t-shirt",
    "café",
]
VERBS = ["갑니다", "않았다", "입니다", "crossed", "was too tired", "don't", "läuft", "isn't wide."]
LINES = [f"{a}은 {b} {v}" for a, b in combinations(NOUNS, 2) for v in VERBS]
TRAPS = ["</s>", "<pad>", "<unk>", "<bos>", "<eos>", "<0x41>", "<0xEB>", "<2de>", "<reserved-3>", "▁", " <", "<<"]
TRAP_LINES = [f"{a}{b} {a} x{b}" for a in TRAPS for b in TRAPS] * 3  # so often that merges would spell them
KINDS = ["bpe", "unigram"]
TAGS = ["2de", "2ko"]

text = st.text(st.characters(exclude_categories=["Cs"]))
nasty = st.lists(
    st.one_of(
        st.sampled_from([*TRAPS, *TAGS, " ", "  ", "\t", "\n", "\r\n", "\x00", "\u2028", "\u00a0", "\ufeff", "\ufffd"]),
        st.sampled_from(
            ["👨‍👩‍👧‍👦", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "e\u0301", "\u0301", "\u1112\u1161\u11ab", "뷁", "뷁뷁", "학생", "Å", "&apos;", "<"]
        ),
        st.characters(exclude_categories=["Cs"]),
    )
).map("".join)


@cache
def tokenizer(kind: str, traps: bool = True) -> Tokenizer:
    lines = LINES + TRAP_LINES if traps else LINES
    return Tokenizer.train(iter(lines), TokenizerConfig(kind=kind, vocabulary_size=520 if traps else 450), TAGS)


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture(params=["trained", "loaded"])
def any_tokenizer(request, kind) -> Tokenizer:
    trained = tokenizer(kind)
    return trained if request.param == "trained" else Tokenizer.from_json(trained.to_json())


# --- the round trip -----------------------------------------------------------------------------------------------


def check_round_trip(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == normalize("NFC", text)
    assert all(id >= FIRST_BYTE for id in ids)  # special tokens in a text are text


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=300)
@given(text=st.one_of(text, nasty))
def test_every_text_comes_back_in_nfc(kind, text):
    check_round_trip(tokenizer(kind), text)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=12)
@given(lines=st.lists(nasty, min_size=1), text=nasty)
def test_whatever_the_corpus_was(kind, lines, text):
    lines = [*lines * 3, *LINES[:40]]
    check_round_trip(Tokenizer.train(lines, TokenizerConfig(kind=kind, vocabulary_size=400)), text)


def test_every_syllable_and_jamo_comes_back(any_tokenizer):
    syllables = [chr(c) for c in range(0xAC00, 0xD7A4)]
    assert len(syllables) == 11_172
    jamo = [chr(c) for c in (*range(0x1100, 0x1200), *range(0x3130, 0x3190), *range(0xA960, 0xA980))]
    texts = syllables + [normalize("NFD", s) for s in syllables] + jamo
    batch = any_tokenizer.encode_batch(texts)
    assert any_tokenizer.decode_batch(batch) == [normalize("NFC", text) for text in texts]
    for syllable, ids in zip(syllables, batch):
        pieces = [any_tokenizer.token_text(id) for id in ids]
        spelt = [f"<0x{byte:02X}>" for byte in syllable.encode()]
        assert pieces in ([syllable], [" ", syllable], [" " + syllable], [" ", *spelt])


def test_these_too(any_tokenizer):
    for text in [
        "",
        " ",
        "   ",
        " a",
        "a ",
        "\t a  b\n",
        "👨‍👩‍👧‍👦🏳️‍🌈",
        "▁a ▁",
        "a\x00b\x1f",
        "\ufeffx",
        *TRAPS,
        "".join(TRAPS),
    ]:
        check_round_trip(any_tokenizer, text)
    assert any_tokenizer.encode("") == []


def test_every_character_comes_back(kind):
    blocks = [range(first, first + 0x800) for first in range(0, 0x20000, 0x800) if first != 0xD800]
    blocks += [range(first, first + 0x10) for first in range(0x20000, 0x110000, 0x1000)]
    texts = [" ".join(map(chr, block)) for block in blocks]
    t = tokenizer(kind)
    assert t.decode_batch(t.encode_batch(texts)) == [normalize("NFC", text) for text in texts]


def test_batches_are_the_single_texts(any_tokenizer):
    texts = ["", " ", "뷁 학생입니다", *TRAPS, *LINES[:50]]
    batch = any_tokenizer.encode_batch(texts)
    assert batch == [any_tokenizer.encode(text) for text in texts]
    assert any_tokenizer.decode_batch(batch) == [any_tokenizer.decode(ids) for ids in batch] == texts


def test_half_a_character_is_refused(kind):
    for call in (
        tokenizer(kind).encode,
        tokenizer(kind).tokens,
        lambda text: tokenizer(kind).encode_batch(["a", text]),
    ):
        with pytest.raises(UsageError) as caught:
            call("ab\ud800c")
        assert (caught.value.code, caught.value.fields["column"]) == ("lone-surrogate", 3)


def test_decoding_skips_special_ids_and_survives_broken_bytes(kind):
    t = tokenizer(kind)
    ids = t.encode("the 뷁")
    padded = [t.decoder_start_id, t.tag_id("2de"), *ids, t.eos_id, t.pad_id, t.unk_id]
    assert t.decode(padded) == "the 뷁"
    assert t.decode([FIRST_BYTE + 0xEB, FIRST_BYTE + 0x41]) == "\ufffdA"


# --- the layout ---------------------------------------------------------------------------------------------------


def test_layout_of_ids(kind):
    t = tokenizer(kind)
    names = [t.token_text(id) for id in range(t.vocabulary_size)]
    assert (t.pad_id, t.unk_id, t.bos_id, t.eos_id) == (0, 1, 2, 3)
    assert names[:6] == [*SPECIALS, "<2de>", "<2ko>"]
    assert FIRST_BYTE == 4 + 64
    assert tuple(names[FIRST_BYTE:FIRST_LEARNT]) == BYTES
    assert len(set(names)) == len(names) == t.vocabulary_size == 520
    assert [t.tag_id("2de"), t.tag_id("2ko")] == [4, 5]
    assert not any("<" in name for name in names[FIRST_LEARNT:] if name != "<")


@pytest.mark.parametrize("start, id", [("bos", 2), ("eos", 3), ("pad", 0)])
def test_the_decoder_start_is_its_own_setting(start, id):
    config = TokenizerConfig(vocabulary_size=450, decoder_start=start)
    trained = Tokenizer.train(LINES, config)
    assert (trained.decoder_start_id, trained.bos_id) == (id, 2)
    assert Tokenizer.from_json(trained.to_json(), start).decoder_start_id == id


def test_subwords_carry_the_space_and_never_cross_words(kind):
    t = tokenizer(kind, traps=False)
    learnt = [t.token_text(id) for id in range(FIRST_LEARNT, t.vocabulary_size)]
    assert not any(" " in name[1:] for name in learnt)
    assert any(name.startswith(" ") and len(name) > 2 for name in learnt)
    assert t.encode("window") == t.encode("x window")[-len(t.encode("window")) :]  # a word first or later: one token


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=100)
@given(text=nasty)
def test_tokens_lie_over_their_characters(kind, text):
    t, nfc = tokenizer(kind), normalize("NFC", text)
    tokens = t.tokens(text)
    assert [token.id for token in tokens] == t.encode(text)
    covered = 0
    for i, token in enumerate(tokens):
        assert token.text == t.token_text(token.id)
        if token.id >= FIRST_LEARNT:
            assert nfc[token.start : token.end] == (token.text[1:] if i == 0 else token.text)
        else:
            byte = token.id - FIRST_BYTE
            assert token.end == token.start + 1
            assert byte in nfc[token.start].encode()
        assert token.start in (covered, covered - 1)
        covered = token.end
    assert covered == len(nfc)


def test_bytes_of_a_split_character_all_point_to_it(kind):
    tokens = tokenizer(kind).tokens("a 뷁b")
    spans = [(token.start, token.end) for token in tokens if token.text in BYTES]
    assert spans[-3:] == [(2, 3)] * 3 or spans[-4:-1] == [(2, 3)] * 3
    assert (tokens[-1].start, tokens[-1].end) == (3, 4)


# --- learning -----------------------------------------------------------------------------------------------------

TRAIN = """
import sys
from tests_lines import LINES
from clearhead.config import TokenizerConfig
from clearhead.text.tokenizer import Tokenizer
for kind in ("bpe", "unigram"):
    print(Tokenizer.train(LINES, TokenizerConfig(kind=kind, vocabulary_size=600)).fingerprint)
"""


def test_the_same_corpus_gives_the_same_bytes_in_every_process(tmp_path):
    lines = LINES + [f"{chr(0xAC00 + 37 * i)}{chr(0x4E00 + i)} {i}" for i in range(300)]  # many characters seen once
    (tmp_path / "tests_lines.py").write_text(f"LINES = {lines!r}", encoding="utf-8")
    prints = set()
    for seed, threads in [("0", "1"), ("1", "4"), ("2", "3")]:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads, "PYTHONPATH": str(tmp_path)}
        ran = subprocess.run([sys.executable, "-c", TRAIN], env=environment, capture_output=True, text=True, check=True)
        prints.add(ran.stdout)
    assert len(prints) == 1


@settings(max_examples=50)
@given(st.one_of(text, nasty))
def test_characters_are_a_token_each_and_rare_ones_are_bytes(text):
    found = tokenizer("characters")
    ids, read = found.encode(text), normalize("NFC", text)
    assert found.decode(ids) == read
    known = {found.token_text(id) for id in found.ordinary_ids}
    sizes = [1 if character in known else len(character.encode()) for character in (f" {read}" if read else "")]
    assert len(ids) == sum(sizes)
    assert found.vocabulary_size <= 520 and "<" in known


def test_of_characters_the_most_frequent_have_a_token():
    config = TokenizerConfig(kind="characters", vocabulary_size=330)
    found = Tokenizer.train(["aaaa bbb cc d"] * 3 + ["eeeee fffff"] * 9, config)
    assert [found.token_text(id) for id in range(FIRST_LEARNT, found.vocabulary_size)] == [" ", "a", "b", "c", "e", "f"]
    assert found.fingerprint == Tokenizer.train(["aaaa bbb cc d"] * 3 + ["eeeee fffff"] * 9, config).fingerprint
    with pytest.raises(CorpusError):
        Tokenizer.train([], config)


def test_bpe_is_the_papers_algorithm():
    """Against Sennrich et al. 2016, algorithm 1, done the slow way; equal counts go by the pieces' places."""
    lines = [
        "low low low low low lower lower newest newest newest newest newest newest widest widest widest",
        *(line.rstrip(".") for line in LINES),
    ] * 2
    words = Counter(word for line in lines for word in (" " + line.replace(" ", "\n ")).split("\n"))
    spelt = {word: list(word) for word in words}
    pieces = sorted({c for word in words for c in word})
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in spelt.items():
            for pair in pairwise(symbols):
                pairs[pair] += words[word]
        if not pairs:
            break
        first, second = min(pairs, key=lambda pair: (-pairs[pair], pieces.index(pair[0]), pieces.index(pair[1])))
        if first + second not in pieces:
            pieces.append(first + second)
        for symbols in spelt.values():
            for i in range(len(symbols)):
                if symbols[i : i + 2] == [first, second]:
                    symbols[i : i + 2] = [first + second]
    t = Tokenizer.train(lines, TokenizerConfig(vocabulary_size=FIRST_LEARNT + len(pieces)))
    assert [t.token_text(id) for id in range(FIRST_LEARNT, t.vocabulary_size)] == pieces
    assert [[t.token_text(id) for id in t.encode(word[1:])] for word in words] == list(spelt.values())


def test_lines_are_read_once_and_not_held(kind):
    def lines(repeats):
        for line in LINES:
            yield f"{line} " * repeats

    tracemalloc.start()
    once = Tokenizer.train(lines(40), TokenizerConfig(kind=kind, vocabulary_size=450))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < sum(map(sys.getsizeof, lines(40))) / 3
    assert once.to_json() == Tokenizer.train(list(lines(40)), TokenizerConfig(kind=kind, vocabulary_size=450)).to_json()


def test_any_normal_form_trains_the_same(kind):
    decomposed = [normalize("NFD", line) for line in LINES]
    trained = Tokenizer.train(decomposed, TokenizerConfig(kind=kind, vocabulary_size=450), TAGS)
    assert trained.to_json() == tokenizer(kind, traps=False).to_json()


def test_rare_characters_do_not_eat_the_vocabulary(kind):
    stray = [chr(c) for c in range(0x4E00, 0x4E00 + 500)]
    lines = LINES * 4 + stray
    t = Tokenizer.train(lines, TokenizerConfig(kind=kind, vocabulary_size=460))
    learnt = [t.token_text(id) for id in range(FIRST_LEARNT, t.vocabulary_size)]
    assert sum(len(name) == 1 for name in learnt) <= len(learnt) / 2
    assert {"학", "e", " "} <= set(learnt) | {name[0] for name in learnt} | {name[-1] for name in learnt}
    check_round_trip(t, "".join(stray))


def test_characters_are_kept_by_their_share_of_the_text(kind):
    rare, frequent = "丁丂七", "갊"
    filler = LINES * (1 + 2 * len(rare) * 5000 // sum(map(len, LINES)))
    lines = [*filler, rare, rare, frequent * 40]
    with pytest.raises(CorpusError) as caught:
        Tokenizer.train(lines, TokenizerConfig(kind=kind, vocabulary_size=5000))
    t = Tokenizer.train(lines, TokenizerConfig(kind=kind, vocabulary_size=caught.value.fields["possible"]))
    learnt = [t.token_text(id) for id in range(FIRST_LEARNT, t.vocabulary_size)]
    assert not any(set(name) & set(rare) for name in learnt)
    assert frequent in learnt
    few = Tokenizer.train([*LINES[:150], rare], TokenizerConfig(kind=kind, vocabulary_size=470))
    assert {few.token_text(id) for id in few.encode(rare)} > set(rare)  # in a small corpus nothing is rare


def test_a_corpus_of_many_characters_and_few_subwords_can_be_filled(kind):
    characters = [chr(0xAC00 + 28 * i) for i in range(300)]
    lines = [
        "".join(characters[i * step % 300] for i in range(300)) for step in (1, 7, 11)
    ]  # hardly a pair comes twice
    with pytest.raises(CorpusError) as caught:
        Tokenizer.train(lines, TokenizerConfig(kind=kind, vocabulary_size=1000))
    possible = caught.value.fields["possible"]
    assert FIRST_LEARNT + 301 <= possible < FIRST_LEARNT + 450
    t = Tokenizer.train(lines, TokenizerConfig(kind=kind, vocabulary_size=possible))
    assert t.vocabulary_size == possible


def test_a_vocabulary_the_corpus_cannot_give_names_what_it_can(kind):
    with pytest.raises(CorpusError) as caught:
        Tokenizer.train(LINES, TokenizerConfig(kind=kind, vocabulary_size=50_000))
    assert caught.value.code == "vocabulary-too-large"
    possible = caught.value.fields["possible"]
    for language in LANGUAGES:
        assert "50000" in caught.value.message(language) and str(possible) in caught.value.message(language)
    fits = Tokenizer.train(LINES, TokenizerConfig(kind=kind, vocabulary_size=possible))
    assert fits.vocabulary_size == possible
    with pytest.raises(CorpusError):
        Tokenizer.train(LINES, TokenizerConfig(kind=kind, vocabulary_size=possible + 1))


@pytest.mark.parametrize("lines", [[], ["", ""]])
def test_no_text_is_an_error(kind, lines):
    with pytest.raises(CorpusError) as caught:
        Tokenizer.train(lines, TokenizerConfig(kind=kind, vocabulary_size=400))
    assert caught.value.code == "no-text"


@pytest.mark.parametrize(
    "tags", [["2de", "2de"], ["pad"], ["0x41"], ["reserved-1"], [""], [f"t{i}" for i in range(65)]]
)
def test_tags_need_names_of_their_own(tags):
    with pytest.raises(ConfigError) as caught:
        Tokenizer.train(LINES, TokenizerConfig(vocabulary_size=450), tags)
    assert caught.value.code == "bad-tag"
    assert all("64" in caught.value.message(language) for language in LANGUAGES)


def test_sixty_four_tags_fit_and_an_unknown_one_is_named(kind):
    t = Tokenizer.train(LINES, TokenizerConfig(kind=kind, vocabulary_size=450), [f"t{i}" for i in range(64)])
    assert [t.tag_id(f"t{i}") for i in range(64)] == list(range(4, 68))
    for tag in ("2xx", "pad", "0x41"):
        with pytest.raises(ConfigError) as caught:
            tokenizer(kind).tag_id(tag)
        assert caught.value.message("en").endswith("it has: 2de, 2ko")


# --- saving, pairs, other roads -----------------------------------------------------------------------------------


def test_saved_and_loaded_is_the_same(kind):
    t = tokenizer(kind)
    loaded = Tokenizer.from_json(t.to_json())
    assert loaded.to_json() == t.to_json()
    assert loaded.fingerprint == t.fingerprint and len(t.fingerprint) == 64
    assert loaded.encode_batch(LINES + TRAPS) == t.encode_batch(LINES + TRAPS)
    assert tokenizer("bpe").fingerprint != tokenizer("unigram").fingerprint


def test_the_file_says_the_same_to_the_library_alone(kind):
    t = tokenizer(kind)
    plain = tokenizers.Tokenizer.from_str(t.to_json())
    for text in [*LINES[:50], "뷁 é </s>", "  two  spaces ", normalize("NFD", "학생")]:
        ids = plain.encode(text).ids
        assert ids == t.encode(text)
        assert plain.decode(ids) == t.decode(ids)


@pytest.mark.parametrize("broken", ["", "{}", "[]", '{"model": null}', "half", "foreign", "shifted", "panic"])
def test_a_file_that_is_not_ours_is_an_error(broken):
    whole = tokenizer("bpe").to_json()
    foreign = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={"a": 0}, merges=[])).to_str()
    shifted = json.loads(whole)
    vocabulary = shifted["model"]["vocab"]
    vocabulary["<pad>"], vocabulary["<unk>"] = 1, 0
    panic = json.loads(whole)
    panic["model"]["continuing_subword_prefix"] = "longer than what it would stand before"
    files = {"half": whole[: len(whole) // 2], "foreign": foreign, "shifted": json.dumps(shifted)}
    given = {**files, "panic": json.dumps(panic)}.get(broken, broken)
    with pytest.raises(RunError) as caught:
        Tokenizer.from_json(given)
    assert caught.value.code == "bad-tokenizer"
    assert "\n" not in caught.value.message("en")


def test_pairs_share_a_vocabulary_or_have_one_each(kind):
    korean, english = [line for line in LINES if "다" in line], [line for line in LINES if "다" not in line]
    config = TokenizerConfig(kind=kind, vocabulary_size=430)
    joint = TokenizerPair.train(iter(korean), iter(english), config, TAGS)
    assert joint.joint and joint.src is joint.tgt
    assert joint.src.to_json() == Tokenizer.train(korean + english, config, TAGS).to_json()
    apart = TokenizerPair.train(iter(korean), iter(english), config.model_copy(update={"joint": False}), TAGS)
    assert not apart.joint
    assert apart.src.to_json() == Tokenizer.train(korean, config, TAGS).to_json()
    assert apart.tgt.to_json() == Tokenizer.train(english, config, TAGS).to_json()


FORK = """
import os
from clearhead.config import TokenizerConfig
from clearhead.text.tokenizer import Tokenizer
lines = [f"word{i % 50} and more {i % 7}" for i in range(2000)]
t = Tokenizer.train(lines, TokenizerConfig(vocabulary_size=400))
t.encode_batch(lines)
if os.fork() == 0:
    assert t.decode_batch(t.encode_batch(lines)) == lines
    os._exit(0)
assert os.wait()[1] == 0
assert "TOKENIZERS_PARALLELISM" not in os.environ
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_tokenises_without_a_warning():
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    environment["RAYON_NUM_THREADS"] = "2"
    ran = subprocess.run([sys.executable, "-c", FORK], env=environment, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_every_error_here_speaks_both_languages():
    errors: list[ClearheadError] = [
        CorpusError("broken-gzip", path="p", line=1),
        CorpusError("no-text"),
        UsageError("lone-surrogate", column=1, character="U+D800"),
    ]
    for error in errors:
        assert error.message("en") != error.message("ko")


@pytest.mark.slow
def test_real_text_comes_back_in_few_tokens_and_little_time(kind):
    data = Path(os.environ.get("CLEARHEAD_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not data.is_dir():
        pytest.skip(f"no data folder {data}; set CLEARHEAD_DATA")
    src, tgt = ([line for _, line in read_lines(data / f"multi30k-en-de/tok/train.{x}")] for x in ("en", "de"))
    t = TokenizerPair.train(src, tgt, TokenizerConfig(kind=kind, vocabulary_size=10_000)).src
    lines = src + tgt
    start = time.perf_counter()
    batch = t.encode_batch(lines)
    assert time.perf_counter() - start < 20
    assert t.decode_batch(batch) == [normalize("NFC", line) for line in lines]
    words = sum(len(line.split()) for line in lines)
    assert words < sum(map(len, batch)) < 1.12 * words


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("lines", [["a"], ["ab ba", "b"], ["the cat", "the dog"]])
def test_the_largest_vocabulary_that_is_named_can_be_had(kind, lines):
    with pytest.raises(CorpusError) as caught:
        Tokenizer.train(lines, TokenizerConfig(kind=kind, vocabulary_size=400))
    found = Tokenizer.train(lines, TokenizerConfig(kind=kind, vocabulary_size=caught.value.fields["possible"]))
    assert [found.decode(found.encode(line)) for line in lines] == lines
