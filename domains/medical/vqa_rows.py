"""Rows of medical sets that cannot be learnt from: empty answers, several answers, contradictions, template rows.

Each step drops a row with a reason, or flags it in its metadata; what was flagged or only counted is told in
`flags/<data set>-<step>.json` of the run's data folder, since drops alone are counted in its report.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from mmreason.data.filters import screen
from mmreason.data.step import Drop, StepContext
from mmreason.data.text import normal
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import AnswerKind, Sample
from mmreason.rewards.words import golds_of, normalise
from mmreason.run.files import write_json

parts = load_module(Path(__file__).parent / "vqa_parts.py")

ACTIONS = ("drop", "flag")
SHOWN = ("modality", "organ", "location")
"""Metadata that say what a picture shows; reports break scores down by them."""
FRAME = "frame"


def tell(context: StepContext, dataset: str, step: str, counts: Mapping[str, int]) -> None:
    """Write what a step counted beside its drops."""
    if dataset:
        write_json(context.work_dir / "flags" / f"{dataset}-{step}.json", dict(sorted(counts.items())))


def is_closed(sample: Sample, rule: str = "annotation") -> bool:
    """Closed by the annotation (choices always, judgements where there is none), or with `yes_no` where the answer is
    yes or no."""
    if sample.answer.kind is AnswerKind.CHOICE:
        return True
    if rule == "yes_no":
        return bool(parts.is_yes_no(str(sample.metadata.get("answer", sample.answer.gold))))
    marked = sample.metadata.get("answer_type")
    return marked == "closed" if marked else sample.answer.kind is AnswerKind.JUDGEMENT


def no_frames(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Drop VQA-RAD's template rows whatever the reader was told: they repeat the answers of test questions."""

    def check(sample: Sample) -> tuple[str, str] | None:
        return ("frame_row", "repeats a test answer") if sample.metadata.get("phrase_type") == FRAME else None

    return screen(stream, "no_frames", check)


def usable(stream: Iterable[Sample | Drop], context: StepContext, several: str = "flag") -> Iterator[Sample | Drop]:
    """Drop rows without an answer or a question; drop or flag (`several_answers`) those with several golds.

    A flagged row keeps all of them: a grader takes any. Rows whose modality, organ or location is left empty by the
    release stay, and are counted (`unknown_modality`, ...). Raises UserError for an unknown action.
    """
    _check(several, "usable", "several")
    counts: Counter[str] = Counter()
    dataset = ""
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        dataset, reason = item.source.dataset, _fault(item)
        many = len(item.metadata.get("answers", [])) > 1
        if reason or (many and several == "drop"):
            reason = reason or "several_answers"
            yield Drop(item.id, "usable", reason, repr(item.metadata.get("answer", item.answer.gold)), item.to_dict())
            continue
        if many:
            counts["several_answers"] += 1
        counts.update(f"unknown_{key}" for key in SHOWN if item.metadata.get(key) == "")
        yield item.with_meta(several_answers=True) if many else item
    tell(context, dataset, "usable", counts)


def _fault(sample: Sample) -> str:
    if not normalise(sample.answer.gold):
        return "empty_answer"
    return "" if normal(str(sample.metadata.get("question", sample.question))) else "empty_question"


def contradictions(
    stream: Iterable[Sample | Drop], context: StepContext, closed: str = "drop", open_: str = "flag"
) -> Iterator[Sample | Drop]:
    """Drop or flag all rows that ask the same of the same pictures and have no answer in common.

    Closed ones contradict each other (`contradictory`); two open answers may both hold (`other_answers`, in metadata
    those of the other rows). Must stand before `duplicate`, which would keep the first. Reads the whole set first.
    Raises UserError for an unknown action.
    """
    _check(closed, "contradictions", "closed")
    _check(open_, "contradictions", "open_")
    items = list(stream)
    groups: dict[tuple[str, ...], list[Sample]] = defaultdict(list)
    for item in items:
        if isinstance(item, Sample):
            groups[_asked(item)].append(item)
    counts: Counter[str] = Counter()
    for item in items:
        group = [] if isinstance(item, Drop) else groups[_asked(item)]
        if isinstance(item, Drop) or not _disagree(group):
            yield item
            continue
        shut = any(is_closed(one) for one in group)
        reason, action = ("contradictory", closed) if shut else ("other_answers", open_)
        others = sorted({said_of(one) for one in group if one.id != item.id})
        if action == "drop":
            ids = ", ".join(one.id for one in group if one.id != item.id)
            yield Drop(item.id, "contradictions", reason, f"{ids} say {others}", item.to_dict())
            continue
        counts[reason] += 1
        yield item.with_meta(**{reason: others})
    dataset = next((item.source.dataset for item in items if isinstance(item, Sample)), "")
    tell(context, dataset, "contradictions", counts)


def _asked(sample: Sample) -> tuple[str, ...]:
    """Question and pictures; a picture that was not read counts by its path."""
    question = normal(str(sample.metadata.get("question", sample.question)))
    options = sorted(normal(text) for text in sample.answer.options.values())
    return (question, *options, *(reference.sha256 or reference.path for reference in sample.media))


def said_of(sample: Sample) -> str:
    """The gold as text, of a choice its option."""
    answer = sample.answer
    return normalise(answer.options.get(answer.gold, answer.gold))


def _disagree(group: list[Sample]) -> bool:
    """Whether any row and the next have no accepted answer in common."""
    return any(_accepted(a).isdisjoint(_accepted(b)) for a, b in pairwise(group))


def _accepted(sample: Sample) -> set[str]:
    if sample.answer.kind in (AnswerKind.CHOICE, AnswerKind.JUDGEMENT):
        return {said_of(sample)}
    return {normalise(gold) for gold in golds_of(sample.answer)}


def _check(action: str, step: str, option: str) -> None:
    if action not in ACTIONS:
        raise UserError(f"step {step}: {option} is {action!r}, expected one of {', '.join(ACTIONS)}")
