"""The models that come with the package: small enough, whole, and right about what nobody would doubt."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from clearhead import pipeline
from clearhead.config import TsvTexts
from clearhead.pipelines import SHIPPED
from clearhead.runs.committee import members
from clearhead.text.corpus import LostPairs, read_pairs

DATA = Path(os.environ.get("CLEARHEAD_DATA", "../shared/data"))
SENTENCES = {
    "I love this product! It's amazing and works perfectly.": "POSITIVE",
    "This is the worst experience I've ever had. Completely disappointed.": "NEGATIVE",
    "이 제품 정말 마음에 들어요! 품질도 최고예요.": "POSITIVE",
    "배우들 연기가 너무 좋았고 정말 감동적이었어요.": "POSITIVE",
    "지금까지 겪은 것 중 최악이었어요. 완전히 실망했습니다.": "NEGATIVE",
    "시간과 돈이 아깝다. 다시는 안 본다.": "NEGATIVE",
}


def test_nobody_would_doubt_these():
    found = pipeline("sentiment-analysis")(list(SENTENCES))
    assert [each["label"] for each in found] == list(SENTENCES.values())
    assert pipeline("sentiment-analysis")("정말 재미있어요")[0]["label"] == "POSITIVE"


def test_it_is_at_most_4_mb_and_says_what_it_is():
    folder = SHIPPED / "sentiment-analysis"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 4_000_000
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(word in card for word in ("CC0", "SST-2", "research", "%", "clearhead train"))
    for member, _ in members(folder):
        assert member.parent == folder and '"."' in (member / "run.toml").read_text(), "no path of a machine"


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no corpora in {DATA}; CLEARHEAD_DATA names their folder")
def test_it_is_as_good_as_its_card_says():
    accuracy = accuracy_on_dev()
    assert f"{accuracy:.2%}" in (SHIPPED / "sentiment-analysis" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no corpora in {DATA}; CLEARHEAD_DATA names their folder")
def test_it_is_as_good_as_what_is_significantly_better_than_an_svm():
    assert accuracy_on_dev() >= 0.882  # the SVM: 87.6; McNemar's test is in docs/evidence/sentiment


@cache
def accuracy_on_dev():
    names = {"0": "NEGATIVE", "1": "POSITIVE"}
    source = TsvTexts(tsv="dev.tsv", text_column=1, label_column=2, header=True, labels=names)
    pairs = list(read_pairs(source, str(DATA / "naver-movie-reviews"), False, LostPairs()))
    found = pipeline("sentiment-analysis")([pair.src for pair in pairs])
    return sum(each["label"] == pair.label for each, pair in zip(found, pairs)) / len(pairs)
