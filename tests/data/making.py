"""Samples, recipes and contexts for the tests of the data steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmreason.config.domain import Domain, DomainFile, SourceEntry
from mmreason.config.recipe import Recipe
from mmreason.data.step import StepContext
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source


def sample(
    id: str = "s1",
    question: str = "what was the change in revenue from 2016 to 2017?",
    gold: str = "12",
    kind: AnswerKind = AnswerKind.NUMBER,
    *,
    context: str = "",
    document: str = "",
    evidence: dict[str, Any] | None = None,
    **answer: Any,
) -> Sample:
    text = f"{context}\n{question}" if context else question
    source = Source("made", "train", "Apache-2.0", id, document)
    return Sample(id, source, (Message.of(Role.USER, text),), Answer(kind, gold, **answer), evidence=evidence or {})


def choice(id: str, question: str, options: list[str], gold: str, **more: Any) -> Sample:
    named = dict(zip("ABCDEFG", options, strict=False))
    return sample(id, question, gold, AnswerKind.CHOICE, options=named, **more)


def endpoint(url: str, **more: Any) -> dict[str, Any]:
    return {"base_url": url, "model": "test-model", "retries": 2, "timeout_s": 30.0, "concurrency": 4, **more}


def recipe(teacher: dict[str, Any] | None = None, **data: Any) -> Recipe:
    values = {
        "system": "made",
        "model": {"tiny": {"vocab": 300}},
        "data": {"pipelines": ["own"], "embedded": ["own"], "teacher": teacher, **data},
        "sft": {"optim": {"lr": 1e-3}},
        "eval": {"suites": []},
    }
    return Recipe.model_validate(values)


def domain(folder: Path, reader: str = "reader.py:read", **sources: Any) -> Domain:
    entry = {"title": "Made rows", "licence": "Apache-2.0", "commercial": True, "use": "train", "reader": reader}
    (folder / "prompt.txt").write_text("{question}\n{options}", encoding="utf-8")
    declared = {"made": entry, **{name: {**entry, **value} for name, value in sources.items()}}
    return Domain(
        folder=folder,
        file=DomainFile(name="made", prompts={"default": "prompt.txt"}),
        sources={name: SourceEntry.model_validate(value) for name, value in declared.items()},
    )


def context(folder: Path, teacher: dict[str, Any] | None = None, **data: Any) -> StepContext:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return StepContext(recipe(teacher, **data), domain(folder), None, work)
