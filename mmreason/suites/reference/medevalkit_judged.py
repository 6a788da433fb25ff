"""MedEvalKit with its judge, from stored verdicts: no judge is asked here.

Open questions take the judge's verdict; PathVQA then loses its closed hits, and SLAKE counts a closed hit twice, once
by rule and once by the judge, so that its closed accuracy can pass 1. The open accuracy is divided twice, as without
the judge.

Predictions (`results`): the array that MedEvalKit saves, [{"question", "response", "correct", ...}, ...], in the order
of the test file. Each verdict is handed on as a last line "<judge>0</judge>" behind the response (0: correct).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mmreason.records import Sample
from mmreason.suites.reference.forms import field, text
from mmreason.suites.reference.llava_med import is_closed
from mmreason.suites.reference.medevalkit import Rule, Total, matched, slake, slake_right, vqa, vqa_closed, vqa_right
from mmreason.suites.references import Reference, Scored

_JUDGE = re.compile(r"\n<judge>([01])</judge>\Z")


def judged(output: str) -> bool:
    """Whether an output carries the verdict of MedEvalKit's judge."""
    return _JUDGE.search(output) is not None


def _by_judge(rule: Rule, all_judged: bool) -> Rule:
    """The verdict that is saved with an item: the judge's for open questions (SLAKE: for all), else the rule's."""

    def score(output: str, sample: Sample, rng: random.Random) -> bool:
        verdict = _JUDGE.search(output)
        if verdict and (all_judged or not vqa_closed(sample)):
            return verdict.group(1) == "0"
        return rule(_JUDGE.sub("", output), sample, rng)

    return score


def _judged_table(closed: Callable[[Sample], bool], rule_weight: int, judge_weight: int, rule: Rule) -> Total:
    """Hits of closed questions enter `rule_weight` times by rule and `judge_weight` times by the saved verdict."""

    def numbers(scored: Sequence[Scored]) -> dict[str, float]:
        shut = [one for one in scored if closed(one.sample)]
        free = [one.value or 0.0 for one in scored if not closed(one.sample)]
        plain = [rule(_JUDGE.sub("", one.output or ""), one.sample, random.Random(0)) for one in shut]
        hits = rule_weight * sum(plain) + judge_weight * sum(one.value or 0.0 for one in shut)
        return {
            "acc": (hits + sum(free)) / len(scored),
            "close": hits / max(1, len(shut)),
            "open": sum(free) / max(1, len(free)) ** 2,
        }

    return numbers


vqa_rad = Reference(
    f"{vqa.origin}, stored judge verdicts",
    _by_judge(vqa_right, False),
    _judged_table(vqa_closed, 1, 0, vqa_right),
    applies=judged,
)
path_vqa = Reference(
    f"{vqa.origin}, stored judge verdicts",
    _by_judge(vqa_right, False),
    _judged_table(vqa_closed, 0, 0, vqa_right),
    applies=judged,
)
slake_both = Reference(
    f"{slake.origin}, stored judge verdicts",
    _by_judge(slake_right, True),
    _judged_table(is_closed, 1, 1, slake_right),
    applies=judged,
)


def results(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Sample id -> response with the saved verdict behind it."""
    found = {}
    for where, row, sample in matched(path, samples):
        wrong = int(not field(where, row, "correct"))
        found[sample.id] = [f"{text(field(where, row, 'response'))}\n<judge>{wrong}</judge>"]
    return found
