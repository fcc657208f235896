"""The learning rate against the paper's formula and each schedule's landmarks."""

from __future__ import annotations

import pytest

from clearhead.config import TrainingConfig
from clearhead.training.schedule import doubts, learning_rate


def rate(step, d_model=512, **changes):
    return learning_rate(TrainingConfig(**changes), d_model, step)


def test_equation_3():
    for step in (1, 100, 3999, 4000, 4001, 100_000):
        assert rate(step) == pytest.approx(512**-0.5 * min(step**-0.5, step * 4000**-1.5))
    assert max(range(1, 9000), key=rate) == 4000
    assert rate(4000) == pytest.approx(7e-4, rel=2e-3)  # the paper's peak for the base model


def test_inverse_sqrt_is_the_papers_shape_with_a_peak_of_ones_own():
    for step in (1, 500, 2000, 8000):
        paper = rate(step, 128, warmup_steps=2000) / rate(2000, 128, warmup_steps=2000)
        assert rate(step, schedule="inverse-sqrt", learning_rate=5e-3, warmup_steps=2000) == pytest.approx(5e-3 * paper)


@pytest.mark.parametrize("schedule", ["inverse-sqrt", "cosine", "warmup-stable-decay", "constant"])
def test_warm_up_is_linear_to_the_peak(schedule):
    for step in (1, 5, 10):
        got = rate(step, schedule=schedule, learning_rate=0.01, warmup_steps=10, max_steps=100, decay_steps=20)
        assert got == pytest.approx(0.01 * step / 10)


def test_how_the_others_end():
    cosine = {"schedule": "cosine", "learning_rate": 1.0, "warmup_steps": 10, "max_steps": 110}
    assert rate(60, **cosine) == pytest.approx(0.5)
    assert rate(110, **cosine) == pytest.approx(0.0, abs=1e-12)
    stable = {"schedule": "warmup-stable-decay", "learning_rate": 1.0, "warmup_steps": 10, "max_steps": 100}
    assert [rate(s, **stable, decay_steps=20) for s in (11, 50, 80)] == [1.0, 1.0, 1.0]
    falling = [rate(s, **stable, decay_steps=20) for s in range(80, 101)]
    assert falling == sorted(falling, reverse=True) and falling[-1] == pytest.approx(1 / 21)
    assert rate(99_999, schedule="constant", learning_rate=0.3, warmup_steps=10) == 0.3


def test_a_cosine_ends_with_the_minutes_where_they_are_nearer():
    minutes = TrainingConfig(schedule="cosine", learning_rate=1.0, warmup_steps=10, max_steps=1_000_000, max_minutes=20)
    assert learning_rate(minutes, 512, 60, 0.5) == pytest.approx(0.5)
    assert learning_rate(minutes, 512, 110, 1.0) == pytest.approx(0.0, abs=1e-12)
    steps = minutes.model_copy(update={"max_steps": 110})
    assert learning_rate(steps, 512, 60, 0.2) == pytest.approx(0.5)


def test_no_warm_up():
    assert rate(1, schedule="constant", learning_rate=0.3, warmup_steps=0) == 0.3


def test_a_rate_that_may_not_be_meant_is_told():
    assert doubts(TrainingConfig(), 512) == doubts(TrainingConfig(schedule="cosine", learning_rate=0.003), 512) == []
    (late,) = doubts(TrainingConfig(max_steps=40), 512)
    assert "warmup_steps = 4,000, max_steps = 40" in late
    (factor,) = doubts(TrainingConfig(learning_rate=0.003), 512)
    assert 'learning_rate = 0.003 is a factor where schedule = "paper": at most 2.1e-06' in factor
