"""The reward of EARL: right answers, selections that were made, and selections that were pure (arXiv 2510.15440).

    r = r_correct + alpha(t) r_action + beta(t) IoU

r_correct is 1 for a right answer whose evidence is pure enough, 0.5 for another right one, -1 for a wrong one; r_action
is 1 if a selection was executed; alpha and beta change once (`EarlSettings`, which holds every constant). With
alpha = beta = gate = 0, correct = half = 1 and wrong = 0 it is the outcome reward of plain GRPO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from mmreason.config.recipe import RewardSettings
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import AnswerKind, Outcome, Rollout, Sample, Stop, Unread, Verdict
from mmreason.rewards.quantity import parse_number
from mmreason.rewards.terms import Terms, score

_HERE = Path(__file__).parent
calls = load_module(_HERE / "calls.py")
evidence = load_module(_HERE / "purity.py")
gold = load_module(_HERE / "gold.py")
settings = load_module(_HERE / "settings.py")

_OUTCOME = RewardSettings(mode="accuracy")


def purity(rollout: Rollout, sample: Sample, *, progress: float, options: Mapping[str, Any]) -> Terms:
    """r of one rollout that was played in `environment.frames`; `progress` is the share of the training in (0, 1].

    `parts` are the three terms, and what was looked at: IoU in each of its forms, frames a selection, selections,
    failed calls, frames seen, gold frames.
    Raises UserError in training where the reward asks for purity and the sample has no gold frames.
    """
    own = settings.of(options)
    alpha, beta = own.weights(progress)
    if progress < 1 and (beta or own.gate) and not sample.evidence.get("gold_times"):
        raise UserError(f"sample {sample.id} has no gold_times in its evidence; label it, or drop it from RL")
    terms = outcome(rollout, sample)
    said = rollout.extras.get("said") or [rollout.text]
    told = rollout.extras.get("turns", [])[: len(said) - 1]  # frames for the very last turn were never shown
    done = [turn for turn in told if turn.get("kind") == calls.Kind.CALL]
    found = ious(done)
    right = own.correct if found[own.iou] >= own.gate else own.half
    correct = right if terms.verdict.score else own.wrong
    parts = {"correct": correct, "action": alpha * bool(done), "relevance": beta * found[own.iou]}
    looks = {
        "iou": found["mean"],
        **{f"iou_{name}": found[name] for name in ("first", "last", "union")},
        "selected": fmean(len(turn["selected"]) for turn in done) if done else 0.0,
        "rounds": float(len(done)),
        "errors": float(sum(turn.get("kind") == calls.Kind.ERROR for turn in told)),
        "frames": float(_seen(told, own.grid)),
        "gold": float(gold.count_of(sample, own.grid)),
    }
    return replace(terms, reward=sum(parts.values()), parts={**parts, **looks})


def outcome(rollout: Rollout, sample: Sample) -> Terms:
    """The verdict on the last turn: unread where it was cut or is another call, else as graded there.

    Numbers are equal when they are after rounding to two decimals [reconstructed].
    """
    said = (rollout.extras.get("said") or [rollout.text])[-1]
    terms = score(said, sample.answer, _OUTCOME, lenient=True)
    verdict = terms.verdict
    if verdict.unread is Unread.GOLD:
        return terms
    if rollout.stop is Stop.LENGTH:
        verdict = Verdict.no_read(Unread.PREDICTION, "cut by the limit of tokens", verdict.read)
    elif calls.is_call(said):
        verdict = Verdict.no_read(Unread.PREDICTION, "the last turn is a call, not an answer", verdict.read)
    elif sample.answer.kind is AnswerKind.NUMBER and not (sample.answer.scale or sample.answer.asks_percent):
        verdict = _rounded(verdict, sample.answer.gold)
    return replace(terms, verdict=verdict, accuracy=verdict.score, reward=verdict.score)


def _rounded(verdict: Verdict, gold: str) -> Verdict:
    """The verdict by two decimals where both sides are numbers; it stays for yes and no."""
    said = parse_number(verdict.read or "") if verdict.unread is None else None
    meant = parse_number(gold)
    if verdict.outcome is Outcome.UNREAD or said is None or meant is None:
        return verdict
    equal = round(said.value, 2) == round(meant.value, 2)
    return Verdict.of(equal, verdict.read or "", f"{said.value:.10g} against {meant.value:.10g}, to two decimals")


def ious(done: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """IoU over the executed calls, by the names of `Purity`; rounds without gold among their frames are skipped."""
    known = [turn["iou"] for turn in done if turn["iou"] is not None]
    if not known:
        return dict.fromkeys(("mean", "first", "last", "union"), 0.0)
    return {"mean": fmean(known), "first": known[0], "last": known[-1], "union": evidence.union_iou(done)}


def _seen(told: Sequence[Mapping[str, Any]], grid: int) -> int:
    """Frames shown in all rounds together, those of the grid included."""
    first = next((len(turn["shown"]["frames"]) for turn in told if "shown" in turn), grid)
    return first + sum(len(turn["refined"]["frames"]) for turn in told if turn.get("refined"))
