"""A classifier's scores against scikit-learn's definitions worked by hand, and McNemar's test against counting."""

import random
from itertools import product

import pytest

from clearhead.evaluation.classification import classification_scores, mcnemar, wilson


def test_scores_worked_by_hand():
    scores = classification_scores(["a", "b", "c"], [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 2])
    assert scores.confusion == ((2, 1, 0), (1, 1, 0), (0, 0, 1))
    assert scores.accuracy == pytest.approx(4 / 6)
    assert scores.f1 == pytest.approx((4 / 6, 2 / 4, 1.0))  # precision and recall 2/3; 1/2; 1
    assert scores.macro_f1 == pytest.approx((4 / 6 + 2 / 4 + 1) / 3)
    assert scores.to_dict()["accuracy"] == scores.accuracy


def test_the_interval_of_the_mean_f1_is_that_of_resampled_texts():
    draw = random.Random(0)
    right = [draw.randrange(3) for _ in range(200)]
    said = [label if draw.random() < 0.7 else draw.randrange(3) for label in right]
    scores = classification_scores(["a", "b", "c"], right, said)
    means = []
    for _ in range(1000):
        texts = draw.choices(range(200), k=200)
        means.append(
            classification_scores(["a", "b", "c"], [right[i] for i in texts], [said[i] for i in texts]).macro_f1
        )
    low, high = scores.macro_f1_interval
    assert low < scores.macro_f1 < high
    assert (low, high) == pytest.approx((sorted(means)[25], sorted(means)[975]), abs=0.01)
    assert classification_scores(["a", "b"], [0, 1], [0, 1]).macro_f1_interval[1] == 1.0


def test_a_class_that_never_occurs_has_no_f1():
    assert classification_scores(["a", "b"], [0, 0], [0, 0]).f1 == (1.0, 0.0)


def test_wilsons_interval_is_that_of_the_textbook():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10)[0] == pytest.approx(0.0, abs=1e-12) and wilson(10, 10)[1] == pytest.approx(1.0)


@pytest.mark.parametrize(("one", "other"), [(0, 0), (1, 0), (3, 3), (5, 1), (2, 7)])
def test_mcnemar_counts_coins(one, other):
    right = [1] * (one + other + 4)
    first = [1] * one + [0] * other + [1, 1, 0, 0]
    second = [0] * one + [1] * other + [1, 1, 0, 0]
    found = mcnemar(right, first, second)
    tosses = [sum(coins) for coins in product((0, 1), repeat=one + other)]
    far = abs(one - (one + other) / 2)
    assert (found.only_first, found.only_second) == (one, other)
    assert found.p == pytest.approx(sum(abs(heads - (one + other) / 2) >= far for heads in tosses) / len(tosses))
