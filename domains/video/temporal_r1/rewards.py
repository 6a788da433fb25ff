"""The rewards of Temporal-R1 (arXiv 2506.01908): what an answer says, when it says it happens, and its form.

    grounding     (1 - w) tIoU                + w format
    question      (1 - w) accuracy            + w format
    both          (1 - w) dual(accuracy, tIoU) + w format      dual: the mean of both, their product, or their sum

w is 0.5 [repo tvg.py, r1v.py]; the last line is reconstructed, since the released code stops before it. An answer is

    <think>...</think><answer>{"option": "B", "start_time": "12.0", "end_time": "18.5"}</answer>

without "option" for a moment, and bare ("B") for a question without a time. `Terms.parts` keeps semantic, temporal,
task and format; selection by variance looks at task.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import AnswerKind, Rollout, Sample, Unread, Verdict
from mmreason.rewards.extract import after_thinking, find_boxes, has_thinking
from mmreason.rewards.format import FormatCheck, check_format
from mmreason.rewards.grade import gold_fault, grade_read
from mmreason.rewards.grounded import Grounded, asks_window, json_object, read_grounded
from mmreason.rewards.terms import Terms
from mmreason.rewards.times import INTERVAL_THRESHOLD, Interval, temporal_iou
from mmreason.suites.reference.grounding import reward_iou
from mmreason.suites.reference.spans import gold_windows
from mmreason.suites.reference.video_r1 import first_block

settings_module = load_module(Path(__file__).parent / "settings.py")
Reading, Temporal, Dual = settings_module.Reading, settings_module.Temporal, settings_module.Dual

_TIME = r"\d+(?:\.\d+)?"
_OPEN, _CLOSE = "<answer>", "</answer>"
_TURN = re.compile(r"</think>\s*<answer>")


class Task(StrEnum):
    """What a question asks for."""

    GROUNDING = "grounding"
    """When something happens."""
    QUESTION = "question"
    """What happens."""
    GROUNDED = "grounded"
    """What, and when it can be seen."""


def task_of(sample: Sample) -> Task:
    """By the gold: a moment, an answer with its windows, an answer alone."""
    if sample.answer.kind is AnswerKind.INTERVAL:
        return Task.GROUNDING
    return Task.GROUNDED if asks_window(sample) else Task.QUESTION


@dataclass(frozen=True, slots=True)
class Seen:
    """An output as one of the two readings sees it."""

    form: FormatCheck
    verdict: Verdict | None
    """Of the option; None where none is asked for."""
    overlap: float
    """tIoU with the gold, 0 where no window is said or asked for."""
    said: Grounded


def dual(rollout: Rollout, sample: Sample, *, options: Mapping[str, Any]) -> Terms:
    """The reward of one answer; see the module. Raises UserError for a setting that does not exist."""
    settings, task = settings_module.settings_of(options), task_of(sample)
    coded = settings.reading is Reading.AS_CODED
    seen = _as_coded(rollout.text, sample, task) if coded else _as_read(rollout.text, sample, task, settings.thinking)
    semantic = 0.0 if seen.verdict is None else seen.verdict.score
    temporal = _temporal(seen, sample, settings)
    value = {Task.GROUNDING: temporal, Task.QUESTION: semantic, Task.GROUNDED: _both(semantic, temporal, settings.dual)}
    weight = settings.format_weight
    return Terms(
        format=float(seen.form.ok),
        accuracy=(verdict := _verdict(seen, sample, task)).score,
        reward=(1 - weight) * value[task] + weight * seen.form.ok,
        verdict=verdict,
        format_why=seen.form.why,
        think_empty=not has_thinking(rollout.text),
        parts={"semantic": semantic, "temporal": temporal, "task": value[task], "format": float(seen.form.ok)},
    )


def _both(semantic: float, temporal: float, how: Any) -> float:
    if how is Dual.MEAN:
        return (semantic + temporal) / 2
    return semantic * temporal if how is Dual.GATED else semantic + temporal


def _temporal(seen: Seen, sample: Sample, settings: Any) -> float:
    if settings.temporal is Temporal.THRESHOLD:
        return float(seen.overlap >= settings.threshold)
    if settings.temporal is Temporal.IOU or seen.said.window is None:
        return seen.overlap
    length = sample.metadata.get("duration")
    if not length:
        raise UserError(f"sample {sample.id} has no duration, which temporal: time_r1 divides by; use temporal: iou")
    gold = gold_windows(sample)[0]
    late, long = (min(abs(said - bound) / length, 1.0) for said, bound in zip(seen.said.window, gold, strict=True))
    return float(seen.overlap * (1 - late) * (1 - long))


def _verdict(seen: Seen, sample: Sample, task: Task) -> Verdict:
    """For evaluation: a moment is right by its overlap, which is its credit, anything else by its option."""
    fault = gold_fault(sample.answer)
    if fault is not None:
        return fault
    if task is Task.GROUNDING:
        if seen.said.window is None:
            return Verdict.no_read(Unread.PREDICTION, f"no window: {seen.form.why}", seen.said.option)
        return Verdict.graded(seen.overlap, INTERVAL_THRESHOLD, str(seen.said.window), f"tIoU {seen.overlap:.3f}")
    assert seen.verdict is not None
    return seen.verdict


def _as_read(text: str, sample: Sample, task: Task, thinking: bool) -> Seen:
    """Ours: the last answer block behind the reasoning; several earn no format."""
    block = _last_block(after_thinking(text) or "")
    if task is Task.QUESTION:
        boxes = find_boxes(block)
        said = Grounded((boxes[-1].content if boxes else block) or None, None)
    else:
        said = read_grounded(block)
    overlap = _overlap(said.window, sample) if task is not Task.QUESTION else 0.0
    verdict = None if task is Task.GROUNDING else _graded(said.option, sample)
    return Seen(_form(text, block, task, thinking), verdict, overlap, said)


def _last_block(rest: str) -> str:
    """Without a pattern, so that ten megabytes of opening tags take no longer than other text."""
    head, closed, _ = rest.rpartition(_CLOSE)
    _, opened, block = head.rpartition(_OPEN)
    return block.strip() if opened and closed else ""


def _graded(option: str | None, sample: Sample) -> Verdict:
    if option is None:
        return gold_fault(sample.answer) or Verdict.no_read(Unread.PREDICTION, "no answer block with an option")
    return grade_read(option, sample.answer)


def _overlap(window: Interval | None, sample: Sample) -> float:
    return 0.0 if window is None else temporal_iou([window], gold_windows(sample))


_KEYS = {Task.GROUNDING: ["start_time", "end_time"], Task.GROUNDED: ["option", "start_time", "end_time"]}


def _form(text: str, block: str, task: Task, thinking: bool) -> FormatCheck:
    """One think block, one answer block, in it the canonical object: these keys in order, times as quoted digits."""
    form = check_format(text if thinking else f"<think>.0</think>{text}", needs_box=False)
    if not form.ok or task is Task.QUESTION:
        return form
    said = json_object(block)
    if said is None or list(said) != _KEYS[task]:
        return FormatCheck(False, f"the answer block is no JSON object of {', '.join(_KEYS[task])}")
    for key in _KEYS[Task.GROUNDING]:
        if not isinstance(said[key], str) or not re.fullmatch(_TIME, said[key], re.ASCII):
            return FormatCheck(False, f"{key} is no number in quotes")
    return form


def _as_coded(text: str, sample: Sample, task: Task) -> Seen:
    """The released scorers: whole response for the format, first block for the answer, any fault scores 0."""
    if task is Task.QUESTION:
        said = Grounded(_coded_line(text).strip(), None)
        return Seen(_coded_form(text, task), _coded_grade(said.option or "", sample), 0.0, said)
    said = read_grounded((first_block(text) or "").strip())
    form = _coded_form(text, task)
    overlap = reward_iou(text, gold_windows(sample)[0], float(sample.metadata.get("duration", 1.0)))
    verdict = None if task is Task.GROUNDING else _coded_grade(said.option or "", sample)
    return Seen(form, verdict, overlap, said)


def _coded_line(text: str) -> str:
    """The first block that opens and closes in one line (the original's pattern has no dot-all), else all of it."""
    for line in text.split("\n"):
        _, opened, rest = line.partition(_OPEN)
        block, closed, _ = rest.partition(_CLOSE)
        if opened and closed:
            return block
    return text


def _coded_form(text: str, task: Task) -> FormatCheck:
    """The released patterns over the whole response, in linear time."""
    why = "the whole response against the released pattern"
    if task is Task.QUESTION:
        turn = _TURN.search(text, len("<think>"))
        fits = text.startswith("<think>") and text.endswith(_CLOSE)
        return FormatCheck(fits and turn is not None and turn.end() <= len(text) - len(_CLOSE), why)
    think, closed, rest = text.rpartition("</think>")
    return FormatCheck(bool(closed) and think.startswith("<think>") and bool(_CODED[task].fullmatch(rest)), why)


def _coded_pattern(option: str) -> re.Pattern[str]:
    times = r'"start_time"\s*:\s*"[\d.]+"\s*,\s*"end_time"\s*:\s*"[\d.]+"'
    return re.compile(rf"\s*<answer>\s*\{{\s*{option}{times}\s*\}}\s*</answer>")


_CODED = {
    Task.GROUNDING: _coded_pattern(""),
    Task.GROUNDED: _coded_pattern(r'"option"\s*:\s*"[^"]*"\s*,\s*'),  # not released: the same form with an option
}


def _coded_grade(said: str, sample: Sample) -> Verdict:
    """A letter must be the letter alone ("B. a cat" is wrong); other answers go through the grader of their kind."""
    if sample.answer.kind is AnswerKind.CHOICE:
        return Verdict.of(said == sample.answer.gold, said, "letter against letter")
    return grade_read(said, sample.answer)
