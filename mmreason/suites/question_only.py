"""The question-only baseline: the same model, the same questions, no picture and no clip.

What it scores is known from the wording and from how often each answer is right, not from what is shown. It is drawn
as the score itself is (sampling, answers a question, limit, batch, engine) and graded by the same strict rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate

from mmreason.records import Sample
from mmreason.run.files import write_jsonl
from mmreason.suites.beside import Record, Row, row
from mmreason.suites.suite import Suite
from mmreason.suites.task import SuiteTask

NAME = "question_only"


def without_media(sample: Sample) -> Sample:
    """The question in the same words without what it shows; its id stays."""
    messages = tuple(
        replace(message, parts=tuple(part for part in message.parts if part.type == "text"))
        for message in sample.messages
    )
    return replace(sample, messages=messages, media=())


def bare_suite(suite: Suite) -> Suite:
    """The suite with the strict rules alone: published scorers and groups stand beside the score itself."""
    changes: dict[str, Any] = {"metrics": ["strict"], "totals": [], "main": "micro", "group_by": [], "baselines": []}
    return suite.model_copy(update=changes)


def skipped(samples: Sequence[Sample], environment: str | None) -> str:
    """Why there is no such baseline, empty where there is one."""
    if not any(sample.media for sample in samples):
        return "no question shows a picture or clip"
    return f"{environment} answers between turns about what is shown" if environment else ""


def question_only(task: SuiteTask, lm: LM, records: Sequence[Record], path: Path) -> Row:
    """Ask `task` (`bare_suite`, questions `without_media`) and compare with the records of the score.

    Its own records lie at `path`, one JSON line a question.
    """
    evaluate(lm, {"tasks": {task.suite.name: task}, "groups": {}}, bootstrap_iters=0, log_samples=False)
    write_jsonl(path, task.records)
    made = row(NAME, "the same model without pictures and clips", [one["acc"] for one in task.records], records)
    return {**made, "unread_rate": task.summary["unread_rate"], "mean_tokens": task.summary["mean_tokens"]}
