"""Audits that every suite passes: gold answers are right, constants stay below the majority, chance is chance."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from mmreason.config import load_domain
from mmreason.project import project_dir
from mmreason.records import AnswerKind, Sample
from mmreason.rewards.grade import grade
from mmreason.suites.baselines import as_output, chance, constants, gold_output, majority
from mmreason.suites.reading import read_suite
from mmreason.suites.rules import references
from mmreason.suites.suite import Suite, load_suite

SLACK = 1e-6


def questions(name: str, data: Path | None, subset: bool = True, need_media: bool = True) -> tuple[Suite, list[Sample]]:
    """The suite and its questions as evaluation asks them."""
    suite = load_suite(name)
    domain = load_domain(project_dir() / "domains" / str(suite.domain))
    return suite, read_suite(suite, domain, data, subset=subset, need_media=need_media).samples


def wrong_golds(samples: Sequence[Sample], rendered: dict[str, str] | None = None) -> dict[str, str]:
    """Sample id -> why its own gold, given in the asked form, is not right. `rendered`: other renderings by id."""
    given = rendered or {}
    verdicts = {
        s.id: grade(given.get(s.id, gold_output(s.answer)), s.answer, table=s.evidence.get("table")) for s in samples
    }
    return {name: verdict.why for name, verdict in verdicts.items() if not verdict.score}


def audit(name: str, data: Path | None, listed: Sequence[str] = (), need_media: bool = True) -> list[Sample]:
    """Gold scores 100 % but for `suite.known_bad` and `listed`; no constant beats the majority; random is chance."""
    suite, samples = questions(name, data, need_media=need_media)
    wrong = set(wrong_golds(samples))
    assert wrong <= set(suite.known_bad) | set(listed), f"{name}: golds not right: {sorted(wrong)[:5]}"
    shares = majority(samples)
    bound = sum(one["share"] * one["questions"] for one in shares.values()) / len(samples)
    for word, scores in constants(suite, samples).items():
        assert scores["strict"] <= bound + SLACK, f"{name}: always {word!r} scores {scores['strict']}, majority {bound}"
    for metric, one in references(suite).items():
        assert one.origin, f"{metric} names no origin"
    _random_is_chance(name, samples)
    return samples


def _random_is_chance(name: str, samples: Sequence[Sample]) -> None:
    single = [s for s in samples if s.answer.kind is AnswerKind.CHOICE and s.answer.options and not s.answer.multi]
    if len(single) < 50:
        return
    rng = random.Random(0)
    right = [grade(as_output(rng.choice(sorted(s.answer.options))), s.answer).score for s in single]
    expected = chance(single)
    assert expected is not None
    spread = (expected * (1 - expected) / len(single)) ** 0.5
    assert abs(sum(right) / len(single) - expected) < 4 * spread, f"{name}: random letters score {sum(right)}"
