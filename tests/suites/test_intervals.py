"""Intervals against hand-checked and published values."""

from __future__ import annotations

import pytest

from mmreason.suites.intervals import bootstrap, cluster_bootstrap, mcnemar, stderr, wilson

# (right, total, low, high, origin)
WILSON = [
    (0, 10, 0.0, 0.2775, "closed form for zero: z^2 / (n + z^2) = 3.8415 / 13.8415"),
    (10, 10, 0.7225, 1.0, "mirror of the row above"),
    (50, 100, 0.4038, 0.5962, "hand: 0.5 +- 1.95996 * sqrt(.0025 + .00960) / 1.03841"),
    (81, 263, 0.2553, 0.3662, "Newcombe 1998, table I, method 3"),
    (1, 29, 0.0061, 0.1718, "Newcombe 1998, table I, method 3"),
]


@pytest.mark.parametrize(("right", "total", "low", "high", "origin"), WILSON)
def test_wilson(right: int, total: int, low: float, high: float, origin: str) -> None:
    found = wilson(right, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5), origin
    assert found.mean == right / total


def test_wilson_refuses_an_empty_sample() -> None:
    with pytest.raises(ValueError, match="0 of 0"):
        wilson(0, 0)


def test_bootstrap_of_equal_values_has_no_width_and_is_seeded() -> None:
    assert bootstrap([0.25] * 8)[:3] == (0.25, 0.25, 0.25)
    values = [0.0, 1.0, 1.0, 0.0, 1.0, 0.5]
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


def test_bootstrap_of_a_share_comes_near_wilson() -> None:
    found, exact = bootstrap([1.0] * 30 + [0.0] * 70), wilson(30, 100)
    assert found.mean == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.015)


def test_clusters_widen_the_interval() -> None:
    """Four answers to each of 25 questions, all alike: 100 values tell no more than 25 (width doubles)."""
    values = [float(question % 2) for question in range(25) for _ in range(4)]
    clusters = [question for question in range(25) for _ in range(4)]
    single, clustered = bootstrap(values), cluster_bootstrap(values, clusters)
    assert clustered.high - clustered.low == pytest.approx(2 * (single.high - single.low), rel=0.15)


# (only a right, only b right, p, origin)
MCNEMAR = [
    (0, 0, 1.0, "no discordant pair"),
    (0, 5, 0.0625, "2 / 2^5"),
    (1, 9, 0.021484375, "2 * (1 + 10) / 2^10"),
    (5, 5, 1.0, "two tails overlap: capped"),
]


@pytest.mark.parametrize(("a", "b", "p", "origin"), MCNEMAR)
def test_mcnemar(a: int, b: int, p: float, origin: str) -> None:
    assert mcnemar(a, b) == pytest.approx(p), origin
    assert mcnemar(b, a) == mcnemar(a, b)


def test_stderr_uses_the_sample_deviation() -> None:
    assert stderr([0.0, 1.0, 1.0, 0.0]) == pytest.approx((1 / 3) ** 0.5 / 2)
    assert stderr([1.0]) is None
