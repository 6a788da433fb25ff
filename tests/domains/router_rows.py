"""Questions, games and desks for the tests of R1-Router."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmreason.config.domain import SourceEntry
from mmreason.data.step import ReadRequest
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

MEDICAL = project_dir() / "domains" / "medical"
ROUTER = MEDICAL / "r1_router"
desks = load_module(ROUTER / "desk.py")
forms = load_module(ROUTER / "forms.py")
rewards = load_module(ROUTER / "rewards.py")
settings = load_module(ROUTER / "settings.py")
teacher = load_module(ROUTER / "teacher.py")
trajectories = load_module(ROUTER / "trajectories.py")
world = load_module(ROUTER / "world.py")
OPTIONS: dict[str, Any] = {"r1_router": {"encoder": "words", "found": 2, "shown": 2, "made_up": True}}
ENTRY = SourceEntry(title="made", licence="cc0", commercial=True, use="train", reader="world.py:questions")
TEXT, IMAGE, TABLE = world.TEXT, world.IMAGE, world.TABLE


def own(**values: Any) -> Any:
    """Settings whose similarity is word overlap."""
    return settings.RouterSettings(**{"encoder": "words", **values})


def request(root: Path | None, split: str = "test", **options: Any) -> ReadRequest:
    return ReadRequest("router_world", split, [], ENTRY, options, root=root or Path(), need_media=root is not None)


def made(root: Path | None = None, count: int = 12, **options: Any) -> list[Sample]:
    """Made-up questions of one, two and three hops in turns."""
    return list(world.questions(request(root, questions=count, **options)))


def question(gold: str = "9 December 1899", **evidence: Any) -> Sample:
    """A question that is no part of the made-up world."""
    text = "When was the director born?"
    return Sample(
        "q-1",
        Source("made", "train", "cc0", "1"),
        (Message.of(Role.USER, text),),
        Answer(AnswerKind.SPAN, gold),
        evidence=evidence,
        metadata={"question": text},
    )


def played(sample: Sample, desk: Any, turns: Sequence[str], stop: Stop = Stop.ENVIRONMENT) -> Rollout:
    """The episode in which the model says `turns` and the desk answers each."""
    notes: list[dict[str, Any]] = []
    for text in turns:
        notes.append(desk.answer_all([(sample, text, notes)])[0].note)
    return Rollout((1,), (1, 2), (0.0, 0.0), "\n".join(turns), stop, extras={"said": list(turns), "turns": notes})


def open_desk(root: Path | None = None, **values: Any) -> Any:
    return desks.open_desk({"r1_router": {**OPTIONS["r1_router"], **values}}, MEDICAL, root)


def taught(sample: Sample, desk: Any) -> Sample:
    """The question with the exact teacher's trajectory."""
    steps, fault = teacher.play(sample, desk, teacher._by_chain, 1)
    assert not fault
    return replace(sample, evidence={"trajectory": steps})
