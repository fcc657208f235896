"""BLEU by the length of the source: the groups are a partition, and each one's score is BLEU of it alone."""

from __future__ import annotations

from clearhead.config import EvaluationConfig
from clearhead.evaluation.lengths import bleu_by_length, fifths
from clearhead.evaluation.scores import validation_scores

SOURCES = ["a", "a b", "a b c", "a b c d", "a b c d e", "a b c d e f"] * 4
REFERENCES = [f"{source} x y z" for source in SOURCES]
HYPOTHESES = [reference if len(reference) < 14 else "x y z" for reference in REFERENCES]
PLAIN = EvaluationConfig(tokenize="none")


def test_each_group_has_the_bleu_of_its_sentences():
    found = bleu_by_length(HYPOTHESES, REFERENCES, SOURCES, [3, 5, 9], PLAIN)
    assert [(each.low, each.high, each.sentences, each.mean) for each in found] == [
        (1, 2, 8, 1.5),
        (3, 4, 8, 3.5),
        (5, 6, 8, 5.5),
    ]
    for each in found:
        rows = [row for row, source in enumerate(SOURCES) if each.low <= len(source.split()) <= each.high]
        expected = validation_scores([HYPOTHESES[row] for row in rows], [REFERENCES[row] for row in rows], PLAIN)
        assert each.bleu == expected["bleu"]
    assert found[0].bleu > 99.9 > found[2].bleu


def test_fifths_divide_evenly_and_one_length_is_one_group():
    assert fifths([" ".join("a" * length) for length in range(1, 101)]) == [21, 41, 61, 81]
    assert fifths(["a b"] * 7) == [] and fifths(["a b"] * 9 + ["a b c"]) == []
    assert len(bleu_by_length(["x"] * 7, ["x"] * 7, ["a b"] * 7, [], PLAIN)) == 1
