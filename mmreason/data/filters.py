"""Filters of the DianJin-R1 recipe: each keeps a sample or drops it with a countable reason.

Length and difficulty are the paper's (thresholds reconstructed); duplicate, too_long and answerable are ours.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmreason.data.step import Drop, StepContext
from mmreason.data.text import normal, question_of, words
from mmreason.errors import UserError
from mmreason.records import AnswerKind, Outcome, Sample
from mmreason.rewards.grade import grade

MIN_STEM_TOKENS = 15
"""Words of the stem, CJK characters counted singly [reconstructed from memory of the paper]."""

Check = Callable[[Sample], tuple[str, str] | None]
"""(reason, detail) to drop, None to keep."""


def screen(stream: Iterable[Sample | Drop], step: str, check: Check) -> Iterator[Sample | Drop]:
    """Apply `check` to the samples of a stream; earlier drops pass through."""
    for item in stream:
        found = None if isinstance(item, Drop) else check(item)
        if isinstance(item, Drop) or found is None:
            yield item
        else:
            yield Drop(item.id, step, found[0], found[1], item.to_dict())


def length(
    stream: Iterable[Sample | Drop], context: StepContext, min_tokens: int = MIN_STEM_TOKENS
) -> Iterator[Sample | Drop]:
    """Drop stems under `min_tokens` words: they need no reasoning."""

    def check(sample: Sample) -> tuple[str, str] | None:
        count = len(words(question_of(sample)))
        return ("too_short", f"{count} tokens, at least {min_tokens} wanted") if count < min_tokens else None

    return screen(stream, "length", check)


def duplicate(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Drop a sample whose context, question and options were seen before, spacing and case aside."""
    seen: dict[tuple[str, ...], str] = {}

    def check(sample: Sample) -> tuple[str, str] | None:
        options = sorted(normal(text) for text in sample.answer.options.values())
        media = [reference.sha256 for reference in sample.media]
        first = seen.setdefault((normal(sample.question), *options, *media), sample.id)
        return ("duplicate", f"same as {first}") if first != sample.id else None

    return screen(stream, "duplicate", check)


def gold_response(sample: Sample) -> str:
    """The gold answer, put as a model would put it."""
    gold = sample.answer.gold
    shown = gold if sample.answer.kind is AnswerKind.FREE else f"\\boxed{{{gold}}}"
    return f"<think>gold</think><answer>{shown}</answer>"


def answerable(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Drop a sample whose gold answer our own grader does not accept: it could only teach noise."""

    def check(sample: Sample) -> tuple[str, str] | None:
        verdict = grade(gold_response(sample), sample.answer)
        if verdict.outcome is Outcome.RIGHT:
            return None
        return f"gold_{verdict.outcome.value}", f"gold {sample.answer.gold!r}: {verdict.why}"

    return screen(stream, "answerable", check)


def too_long(
    stream: Iterable[Sample | Drop], context: StepContext, limit: int, count: Callable[[Sample], int]
) -> Iterator[Sample | Drop]:
    """Drop samples of more than `limit` tokens by `count`; nothing is ever cut."""

    def check(sample: Sample) -> tuple[str, str] | None:
        tokens = count(sample)
        return ("too_long", f"{tokens} tokens, at most {limit}") if tokens > limit else None

    return screen(stream, "too_long", check)


def _read_predictions(path: Path) -> dict[str, dict[str, str]]:
    """Sample id -> model -> output, from JSONL rows {"id", "model", "output"}."""
    if not path.is_file():
        raise UserError(f"no predictions file {path}: write rows {{id, model, output}}, or take the step out")
    outputs: dict[str, dict[str, str]] = defaultdict(dict)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row: Any = json.loads(line)
            outputs[str(row["id"])][str(row["model"])] = str(row["output"])
        except (json.JSONDecodeError, KeyError, TypeError):
            raise UserError(f"{path} line {number}: expected an object with id, model and output") from None
    return dict(outputs)


def difficulty(stream: Iterable[Sample | Drop], context: StepContext, predictions: str) -> Iterator[Sample | Drop]:
    """Drop what all small models of the `predictions` file answer right; the rest get `difficulty` = share wrong.

    The file lies under the data folder. Models and number of tries are the user's [paper's are reconstructed:
    three models of the 7B class, one greedy try].
    """
    outputs = _read_predictions((context.data_dir or context.work_dir) / predictions)
    models = sorted({model for row in outputs.values() for model in row})
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        missing = [model for model in models if model not in outputs.get(item.id, {})]
        if missing:
            raise UserError(f"{predictions} has no output of model {missing[0]!r} for sample {item.id}; add the row")
        right = [grade(outputs[item.id][model], item.answer).outcome is Outcome.RIGHT for model in models]
        if all(right):
            yield Drop(item.id, "difficulty", "too_easy", f"all of {', '.join(models)} right", item.to_dict())
        else:
            yield replace(item, difficulty=1 - sum(right) / len(right))
