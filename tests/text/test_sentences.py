"""Cutting at sentence ends loses nothing and does not cut inside numbers and abbreviations."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.text.sentences import split_sentences

PIECES = st.sampled_from(
    ["Mr. ", "a", ".", "!", "?", "…", " ", "\n", "3.5", "。", "「", "」", '"', ")", "\u2028", "다. ", "e.g. "]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_the_parts_give_the_text_back(text):
    parts = split_sentences(text)
    assert "".join(parts) == text
    assert "" not in parts


@pytest.mark.parametrize(
    "sentences",
    [
        ["Mr. Kim paid 3.5 dollars. ", "He left! ", "Why?"],
        ["나는 학생입니다. ", "집에 갑니까? ", "네…  ", "안녕!"],
        ["これはペンです。", "「本です。」", "はい！"],
        ['She said "no." ', "(He laughed.) ", "J. S. Bach wrote it."],
        ["First line\n", "second line."],
        ["a man walks . ", "a dog runs ."],
        ["See example.com, i.e. the site.\n\n", "Next"],
        ["  "],
        [],
    ],
)
def test_the_ends_are_where_a_reader_sees_them(sentences):
    assert split_sentences("".join(sentences)) == sentences


@pytest.mark.parametrize("text", ["." * 200_000, "a. " * 60_000, "!)" * 100_000 + "x", " \n" * 100_000])
def test_time_grows_with_the_length_not_its_square(text):
    start = time.perf_counter()
    assert "".join(split_sentences(text)) == text
    assert time.perf_counter() - start < 5
