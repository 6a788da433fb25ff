"""What a model judges, in evaluation only: replies by a rubric, and free answers that are not equal to the gold.

A rubric suite (HealthBench) has no score without a judge, or a judge's stored labels in the answers. For all others
the judge's word stands beside the strict number and never in it (survey of verifiers, section 9). Every reply of the
judge is cached by its request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mmreason.config.parts import Endpoint
from mmreason.data.endpoint import Chat
from mmreason.data.judge import ask_object
from mmreason.errors import UserError
from mmreason.records import AnswerKind, Sample
from mmreason.rewards.judge import answer_judge
from mmreason.suites.intervals import bootstrap
from mmreason.suites.reference.healthbench import clipped_mean, has_labels, labels_of, rubric_score
from mmreason.suites.rules import cut
from mmreason.suites.suite import Suite

RUBRICS = "rubrics"
"""Key of `Sample.evidence`: a list of {criterion, points, tags}."""
TRIES = 5
"""Draws until a label can be read; the original repeats without end."""

STORED = "stored labels"
"""Name of the judge whose labels came with the answers."""
FILE = "eval_judge.sqlite"
"""The judge's replies, inside the folder that `judged` is given."""

Record = dict[str, Any]
Item = TypeVar("Item")
Result = TypeVar("Result")

_TASK = """You grade the last turn of a conversation, the assistant's reply, against one criterion.
Reply with one JSON object and nothing else: {"explanation": "why", "criteria_met": true or false}
criteria_met says whether the reply does what the criterion describes, all of it; of things listed after "such as",
"for example" or "including" not every one is needed. A criterion with negative points describes something undesirable:
criteria_met is then true when the reply does that undesirable thing, false when it does not."""


@dataclass(frozen=True, slots=True)
class Graded:
    """One reply under its rubric. `met` has None where no label of the judge could be read."""

    met: tuple[bool | None, ...]
    why: tuple[str, ...]
    score: float
    """Points of met criteria over positive points; an unread label counts against the reply."""

    @property
    def unread(self) -> int:
        return self.met.count(None)


def by_rubric(samples: Sequence[Sample]) -> bool:
    """Whether the answers of these samples are graded by criteria, so that only a judge can score them."""
    return any(RUBRICS in sample.evidence for sample in samples)


def check_judge(suite: Suite, samples: Sequence[Sample], endpoint: Endpoint | None) -> None:
    """Raise UserError where the suite's score needs a judge and none is named. Call it before answers are drawn."""
    if endpoint is None and by_rubric(samples):
        raise UserError(
            f"suite {suite.name!r}: replies are graded by criteria, so its score needs a judge; set eval.judge"
        )


def criterion_prompt(sample: Sample, reply: str, rubric: Mapping[str, Any]) -> list[dict[str, str]]:
    """Messages for the judge: our task, the conversation with the reply, and one criterion with its points."""
    turns = [(message.role.value, message.text) for message in sample.prompt] + [("assistant", reply)]
    conversation = "\n\n".join(f"{role}: {text}" for role, text in turns)
    asked = f"# Conversation\n{conversation}\n\n# Criterion\n[{rubric['points']}] {rubric['criterion']}"
    return [{"role": "system", "content": _TASK}, {"role": "user", "content": asked}]


def grade_reply(chat: Chat | None, sample: Sample, output: str | None) -> Graded:
    """One reply under each criterion of its sample; what was reasoned before the answer is not shown to the judge.

    Labels that the output carries (`reference.healthbench`) are taken as they are, and need no `chat`. No output at
    all is graded as an empty reply. Raises UserError for a rubric without positive points.
    """
    labels = labels_of(output, sample) if output else None
    if labels is not None:
        return _graded(sample, tuple(labels), (STORED,) * len(labels))
    if chat is None:
        raise ValueError("a reply without labels needs a judge; see check_judge")
    reply, wanted = cut(output or ""), {"explanation": str, "criteria_met": bool}
    rubrics = sample.evidence[RUBRICS]
    said = [ask_object(chat, criterion_prompt(sample, reply, rubric), wanted, TRIES) for rubric in rubrics]
    met = tuple(None if one is None else bool(one["criteria_met"]) for one in said)
    return _graded(sample, met, tuple("" if one is None else str(one["explanation"])[:300] for one in said))


def _graded(sample: Sample, met: tuple[bool | None, ...], why: tuple[str, ...]) -> Graded:
    rubrics = sample.evidence[RUBRICS]
    against = [rubric["points"] < 0 if label is None else label for rubric, label in zip(rubrics, met, strict=True)]
    score = rubric_score(rubrics, against)
    if score is None:
        raise UserError(f"sample {sample.id}: no criterion has positive points, so a reply has no score")
    return Graded(met, why, score)


def _together(chat: Chat | None, one: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    if chat is None:
        return [one(item) for item in items]
    with ThreadPoolExecutor(max_workers=chat.endpoint.concurrency) as pool:
        return list(pool.map(one, items))


def _name(chat: Chat | None) -> str:
    return STORED if chat is None else chat.endpoint.model


def _rubric_run(run: Record, graded: Graded, judge: str) -> Record:
    """The answer's record with the judge's score in place of a comparison with a gold that does not exist."""
    met = sum(label is True for label in graded.met)
    why = f"{judge}: {met} of {len(graded.met)} criteria met, {graded.unread} without a readable label"
    outcome = "right" if graded.score >= 1 else "wrong"
    labels = {"criteria_met": list(graded.met), "explanations": list(graded.why)}
    return {**run, "outcome": outcome, "unread": None, "credit": graded.score, "why": why, **labels}


def judge_replies(chat: Chat | None, samples: Sequence[Sample], records: Sequence[Record]) -> list[Record]:
    """The records with every answer graded by its rubric: `credit` is the example's score, below 0 possible; right
    means full points. Only the judge's endpoint can fail here, with EndpointStopped; what was judged is cached."""
    asked = [(sample, run) for sample, record in zip(samples, records, strict=True) for run in record["runs"]]
    graded = iter(_together(chat, lambda item: grade_reply(chat, item[0], item[1]["output"]), asked))
    found = []
    for record in records:
        runs = [_rubric_run(run, next(graded), _name(chat)) for run in record["runs"]]
        credit = sum(run["credit"] for run in runs) / len(runs)
        right = sum(run["outcome"] == "right" for run in runs) / len(runs)
        found.append({**record, "runs": runs, "credit": credit, "acc": right})
    return found


def rubric_summary(judge: str, records: Sequence[Record]) -> dict[str, Any]:
    """The clipped mean with its bootstrap interval, and how many labels were given and could not be read."""
    interval = bootstrap([record["credit"] for record in records])
    labels = [label for record in records for run in record["runs"] for label in run["criteria_met"]]
    low, high = (clipped_mean([bound]) for bound in (interval.low, interval.high))
    return {
        "judge": judge,
        "score": round(clipped_mean(record["credit"] for record in records), 6),
        "low": round(low, 6),
        "high": round(high, 6),
        "labels": len(labels),
        "labels_unread": labels.count(None),
    }


def judge_free(chat: Chat, samples: Sequence[Sample], records: Sequence[Record]) -> dict[str, Any]:
    """The judge's word on free answers that the strict mode read and did not find equal. Reported beside it.

    `acc` is the strict share of right answers over all questions with those added that the judge accepts.
    """
    judge = answer_judge(chat)
    runs = [(sample, run) for sample, record in zip(samples, records, strict=True) for run in record["runs"]]
    asked = [(s, run) for s, run in runs if s.answer.kind is AnswerKind.FREE and run["read"] and not _is_right(run)]
    verdicts = _together(chat, lambda item: judge(item[0], item[1]["read"]), asked)
    accepted = sum(verdict.score == 1 for verdict in verdicts)
    return {
        "judge": chat.endpoint.model,
        "asked": len(asked),
        "accepted": accepted,
        "unread": sum(verdict.unread is not None for verdict in verdicts),
        "strict": round(sum(_is_right(run) for _, run in runs) / len(runs), 6),
        "acc": round((sum(_is_right(run) for _, run in runs) + accepted) / len(runs), 6),
    }


def _is_right(run: Record) -> bool:
    return bool(run["outcome"] == "right")


def judged(
    suite: Suite,
    samples: Sequence[Sample],
    records: Sequence[Record],
    endpoint: Endpoint | None,
    cache: Path,
    offline: bool = False,
) -> tuple[list[Record], dict[str, Any] | None]:
    """The records, graded by rubric where the suite has one, and what to report under "judged" (None: nothing judged).

    `cache`: folder of the judge's replies. Raises UserError where a score needs a judge and none is named.
    """
    rubric = by_rubric(samples)
    if rubric and not all(has_labels(run["output"] or "") for record in records for run in record["runs"]):
        check_judge(suite, samples, endpoint)
    if not rubric and not (endpoint and any(sample.answer.kind is AnswerKind.FREE for sample in samples)):
        return list(records), None
    chat = None if endpoint is None else Chat(endpoint, cache / FILE, role="evaluation judge", offline=offline)
    try:
        if chat is not None and not rubric:
            return list(records), judge_free(chat, samples, records)
        found = judge_replies(chat, samples, records)
        return found, rubric_summary(_name(chat), found)
    finally:
        if chat is not None:
            chat.close()
