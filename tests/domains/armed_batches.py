"""Questions, answers and scored batches for the tests of ARMed and MedCCO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmreason.config.recipe import Sampling
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.method import Context
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

MEDICAL = project_dir() / "domains" / "medical"
rewards = load_module(MEDICAL / "armed" / "rewards.py")
NO_ENCODER = {"armed": {"encoder": "none"}, "medcco": {"encoder": "none"}}


def question(gold: str, kind: AnswerKind = AnswerKind.SPAN, asked: str = "where ?", **more: Any) -> Sample:
    """A question of the set "made"; `options` go to its answer, the rest into its metadata."""
    options = more.pop("options", {})
    source = Source("made", more.pop("split", "train"), "cc0", gold)
    answer = Answer(kind, gold, options=options)
    return Sample(f"q-{gold}", source, (Message.of(Role.USER, asked),), answer, metadata={"question": asked, **more})


def answered(text: str) -> Rollout:
    """A well-formed output with this answer."""
    return raw(f"<think>I look.</think><answer>{text}</answer>")


def raw(text: str) -> Rollout:
    return Rollout((1,), (1, 2), (0.0, 0.0), text, Stop.EOS)


def context(step: int = 1, **fields: Any) -> Context:
    return Context(step, 10, step, 2, Sampling(), **fields)


def scored(near: Sequence[float], group: Sequence[int] | None = None, samples: Any = None, **columns: Any) -> Batch:
    """Rows with these similarities, all compared and worth 0.45 at r_sem = 1, unless `columns` says otherwise."""
    count = len(near)
    usual = {"similarity": near, "exact": 0.0, "cap": 1.0, "compared": 1.0, "share": 0.45, "floor": 0.83}
    values = {**usual, "text": 0.0, "well_formed": 1.0, **columns}
    parts = {key: value if isinstance(value, Sequence) else [value] * count for key, value in values.items()}
    given = samples or [question("left lung")] * count
    return make_batch([answered("x")] * count, given, group or [0] * count, [0.0] * count, [0.0] * count, parts)
