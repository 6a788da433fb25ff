"""The reward of Fleming-R1: right answer and right form, nothing else (arXiv 2509.15279, 3.3).

Weights are not published. r = right x well-formed [reconstructed: no farming of the form]; the arm pays
`format_credit` for the form of a wrong answer. Well-formed is one think block that is not empty and one answer block
behind it with only white space after; the letter needs no box, and may have one. The answer is read as evaluation
reads it, so that a reward and a score never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmreason.project import load_module
from mmreason.records import Outcome, Rollout, Sample, Stop, Unread, Verdict
from mmreason.rewards.extract import has_thinking
from mmreason.rewards.format import check_format
from mmreason.rewards.grade import grade
from mmreason.rewards.terms import Terms

settings = load_module(Path(__file__).parent / "settings.py")


def verifiable(rollout: Rollout, sample: Sample, *, options: Mapping[str, Any], progress: float = 1.0) -> Terms:
    """Reward term; `parts` are `correct` and `format`. An answer cut by the limit of tokens is unread and earns 0."""
    form = check_format(rollout.text, needs_box=False)
    verdict = grade(rollout.text, sample.answer)
    cut = rollout.stop is Stop.LENGTH
    if cut and verdict.unread is not Unread.GOLD:
        verdict = Verdict.no_read(Unread.PREDICTION, "cut by the limit of tokens", verdict.read)
    formed = form.ok and not cut
    right = verdict.outcome is Outcome.RIGHT
    credit = settings.settings_of(options).format_credit
    reward = 1.0 if right and formed else credit * formed
    return Terms(
        format=float(formed),
        accuracy=verdict.score,
        reward=reward,
        verdict=verdict,
        format_why="cut by the limit of tokens" if cut else form.why,
        think_empty=not has_thinking(rollout.text),
        parts={"correct": verdict.score, "format": float(formed)},
    )
