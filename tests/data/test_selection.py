"""Which questions a rule keeps, on spreads worked out by hand."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from mmreason.config.selection import Rule, Selection
from mmreason.config.strict import validate
from mmreason.data.selection import Trial, choose, fault, split, spread, stratum, weighted
from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source


def trials(*credits: float | None) -> list[Trial]:
    """None stands for an answer that could not be read."""
    return [Trial("t", credit or 0.0, credit == 1, credit is None) for credit in credits]


def question(name: str, family: str = "when", dataset: str = "d", duration: float = 20.0) -> Sample:
    return Sample(
        name,
        Source(dataset, "train", "", name),
        (Message.of(Role.USER, "?"),),
        Answer(AnswerKind.INTERVAL, "[[1, 2]]"),
        metadata={"family": family, "duration": duration},
    )


def test_spread_leaves_unread_answers_out() -> None:
    seen = spread(trials(0.2, 0.6, None, None))
    assert (seen.mean, seen.best, seen.hits, seen.unread) == (pytest.approx(0.4), 0.6, 1, 0.5)
    assert seen.sigma == pytest.approx(0.2), "population deviation"
    assert spread(trials(None, None)).unread == 1.0
    assert spread(trials(1, 1, 0, 0)).sigma == 0.5, "binary: mean (1 - mean) is the variance"


@pytest.mark.parametrize(
    ("credits", "rule", "why"),
    [
        ((0, 0, 1, 1), Rule.VARIANCE, ""),
        ((0, 0, 0, 0), Rule.VARIANCE, "never_near"),
        ((1, 1, 1, 1), Rule.VARIANCE, "nearly_solved"),
        ((0.5, 0.5, 0.5, 0.52), Rule.VARIANCE, "little_spread"),
        ((0.05, 0.0, 0.09, 0.0), Rule.VARIANCE, "never_near"),
        ((0.95, 0.9, 0.95, 0.9), Rule.VARIANCE, "nearly_solved"),
        ((None, None, None, 1.0), Rule.VARIANCE, "unread"),
        ((None, None, 0.0, 1.0), Rule.VARIANCE, ""),
        ((0, 0, 0, 0.4), Rule.RITA, "all_wrong"),
        ((1, 1, 1, 1), Rule.RITA, ""),
        ((1, 0, 0, 0), Rule.UNSOLVED, "solved"),
        ((0.4, 0, 0, 0), Rule.UNSOLVED, ""),
        ((0, 0, 0, 0), Rule.RANDOM, ""),
        ((None, None, None, None), Rule.LOWEST, ""),
        ((0.5, 0.5, 0.5, 0.5), Rule.GAUSSIAN, ""),
    ],
)
def test_bounds(credits: tuple[float | None, ...], rule: Rule, why: str) -> None:
    assert fault(spread(trials(*credits)), Selection(rule=rule), len(credits)) == why


def test_split_by_shares_within_room() -> None:
    assert split(10, {"a": 1, "b": 1}, {"a": 100, "b": 100}) == {"a": 5, "b": 5}
    assert split(10, {"a": 1, "b": 1}, {"a": 2, "b": 100}) == {"a": 2, "b": 8}, "what one cannot hold the other takes"
    assert split(10, {"a": 1, "b": 6, "c": 3}, dict.fromkeys("abc", 100)) == {"a": 1, "b": 6, "c": 3}
    assert split(10, {"a": 1, "b": 0}, {"a": 3, "b": 100}) == {"a": 3, "b": 0}
    assert sum(split(7, {"a": 1, "b": 1, "c": 1}, dict.fromkeys("abc", 9)).values()) == 7


def test_draws_follow_the_weights() -> None:
    rng = random.Random(0)
    first = Counter(weighted(["low", "high", "none"], [1.0, 3.0, 0.0], 1, rng)[0] for _ in range(4000))
    assert first["none"] == 0 and first["high"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert set(weighted(["a", "b"], [1.0, 0.0], 2, rng)) == {"a", "b"}, "weight 0 only where nothing else is left"


def pool(spreads: dict[str, tuple[float, ...]], **of: str) -> tuple[list[Sample], dict[str, list[Trial]]]:
    return [question(name, of.get(name, "when")) for name in spreads], {n: trials(*c) for n, c in spreads.items()}


def test_variance_prefers_disagreement_and_says_why_others_left() -> None:
    spreads = {f"wide{i}": (0.0, 1.0, 0.0, 1.0) for i in range(20)} | {
        f"flat{i}": (0.4, 0.4, 0.4, 0.6) for i in range(20)
    }
    spreads |= {"solved": (1.0, 1.0, 1.0, 1.0), "lost": (0.0, 0.0, 0.0, 0.0), "noise": (None, None, None, 1.0)}  # type: ignore[dict-item]
    samples, answers = pool(spreads)
    chosen = choose(samples, answers, Selection(keep=20), seed=0)
    assert len(chosen.kept) == 20 and sum(name.startswith("wide") for name in chosen.kept) >= 15, "weights 0.5 to 0.087"
    assert chosen.counts() == {"kept": 20, "not_drawn": 20, "nearly_solved": 1, "never_near": 1, "unread": 1}
    assert choose(samples, answers, Selection(keep=20), seed=0).kept == chosen.kept
    assert choose(samples, answers, Selection(keep=20), seed=1).kept != chosen.kept
    row = next(row for row in chosen.rows if row["id"] == "noise")
    assert (row["unread"], row["type"], row["source"], row["length"]) == (0.75, "when", "d", 0)


def test_types_keep_equal_shares_or_their_quotas() -> None:
    spreads = {f"{kind}{i}": (0.0, 1.0) for kind in ("when", "what") for i in range(30 if kind == "when" else 10)}
    kinds = {name: name.rstrip("0123456789") for name in spreads}
    samples, answers = pool(spreads, **kinds)

    def counts(**rule: object) -> Counter[str]:
        chosen = choose(samples, answers, Selection(keep=16, **rule), seed=0)  # type: ignore[arg-type]
        return Counter(kinds[name] for name in chosen.kept)

    assert counts() == {"when": 8, "what": 8}
    assert counts(quotas={"when": 3, "what": 1}) == {"when": 12, "what": 4}
    assert counts(quotas={"what": 1}) == {"what": 10}, "a type without a share gives nothing"


def test_sources_and_lengths_keep_their_share_inside_a_type() -> None:
    samples = [question(f"q{i}", dataset="big" if i < 30 else "small", duration=20 if i % 2 else 90) for i in range(40)]
    chosen = choose(samples, {s.id: trials(0, 1) for s in samples}, Selection(keep=0.5), seed=0)
    kept = [sample for sample in samples if sample.id in chosen.kept]
    assert Counter(sample.source.dataset for sample in kept) == {"big": 15, "small": 5} or len(kept) == 20
    assert stratum(samples[0], Selection()) == ("when", "big", 1) and stratum(samples[1], Selection())[2] == 0


def test_rita_takes_one_hard_to_six_medium_to_three_easy() -> None:
    hits = {"hard": 1, "medium": 4, "easy": 8, "never": 0}
    spreads = {f"{kind}{i}": tuple([0.7] * n + [0.1] * (8 - n)) for kind, n in hits.items() for i in range(50)}
    samples, answers = pool(spreads)
    chosen = choose(samples, answers, Selection(rule=Rule.RITA, keep=20), seed=0)
    assert Counter(name.rstrip("0123456789") for name in chosen.kept) == {"hard": 2, "medium": 12, "easy": 6}
    assert chosen.counts()["all_wrong"] == 50


def test_gaussian_prefers_the_centre() -> None:
    spreads = {f"near{i}": (0.3, 0.3) for i in range(50)} | {f"far{i}": (0.85, 0.85) for i in range(50)}
    samples, answers = pool(spreads)
    chosen = choose(samples, answers, Selection(rule=Rule.GAUSSIAN, keep=20), seed=0)
    assert sum(name.startswith("near") for name in chosen.kept) >= 18, "weights 1 and 0.023"


def test_controls() -> None:
    spreads = {"still": (0.5, 0.5), "wide": (0.0, 1.0), "some": (0.4, 0.6)}
    samples, answers = pool(spreads)
    assert choose(samples, answers, Selection(rule=Rule.LOWEST, keep=2), seed=0).kept == ["still", "some"]
    assert len(choose(samples, answers, Selection(rule=Rule.RANDOM), seed=0).kept) == 3, "keep 1.0 is all of them"


@pytest.mark.parametrize(
    "values", [{"keep": 1.5}, {"keep": 0}, {"hard": 0.9}, {"mix": (0, 0, 0)}, {"rule": "best"}, {"rule": 3}]
)
def test_settings_without_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"data\.selection"):
        validate(Selection, values, "data.selection")


def test_a_rule_is_named_or_refers_to_a_function() -> None:
    assert validate(Selection, {"rule": "rita"}, "data.selection").rule is Rule.RITA
    assert validate(Selection, {"rule": "mine/rules.py:pool"}, "data.selection").rule == "mine/rules.py:pool"
    with pytest.raises(UserError, match=r"no rule 'varience' \(did you mean 'variance'\?\)"):
        validate(Selection, {"rule": "varience"}, "data.selection")
