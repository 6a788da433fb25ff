"""Rollouts on disk: exact ids, the reward in its parts, in the order of groups and answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from mmreason.objectives.batch import make_batch
from mmreason.records import (
    Answer,
    AnswerKind,
    Message,
    Role,
    Rollout,
    Sample,
    Segment,
    SegmentKind,
    Source,
    Stop,
    Unread,
    Verdict,
)
from mmreason.rewards.terms import Terms
from mmreason.rollout.collect import Collected
from mmreason.rollout.record import SCHEMA, write_rollouts

SOURCE = Source("own", "train", "Apache-2.0", "0")


def sample(name: str) -> Sample:
    return Sample(name, SOURCE, (Message.of(Role.USER, f"{name}?"),), Answer(AnswerKind.NUMBER, "3"))


def answer(first: int, stop: Stop = Stop.EOS) -> Rollout:
    return Rollout((1, 2), (first, 2**20), (-0.5, -1.25), "答案 3", stop)


RIGHT = Terms(1.0, 1.0, 1.0, Verdict.right("3", "equal"), "", False)
NONE = Terms(0.0, 0.0, 0.0, Verdict.no_read(Unread.PREDICTION, "no box"), "no think block", True)


def collected(terms: list[Terms]) -> Collected:
    """Two groups of two, of which the first trains; the second answer forked from the first, a tool spoke in it."""
    forked = replace(
        answer(11, Stop.LENGTH),
        segments=(Segment(0, 1), Segment(1, 2, SegmentKind.TOOL, 1)),
        parent=0,
        fork=1,
    )
    rollouts = [answer(10), forked, answer(20), answer(21)]
    rewards = [term.reward for term in terms]
    batch = make_batch(rollouts, [sample(n) for n in "aabb"], [0, 0, 1, 1], [*rewards, 0.0, 0.0][:4], [0.0] * 4)
    return Collected(batch, terms, [0], 2, 1)


def write(path: Path) -> list[dict[str, object]]:
    write_rollouts(path, 7, collected([RIGHT, NONE, NONE, NONE]), torch.tensor([1.0, -1.0, 0.0, 0.0]))
    rows: list[dict[str, object]] = pq.read_table(path).to_pylist()
    return rows


def test_a_row_holds_the_whole_answer(tmp_path: Path) -> None:
    rows = write(tmp_path / "step.parquet")
    assert rows[0] == {
        "step": 7,
        "group": 0,
        "sample_id": "a",
        "question": "a?",
        "gold": "3",
        "prompt_ids": [1, 2],
        "ids": [10, 2**20],
        "logprobs": [-0.5, -1.25],
        "text": "答案 3",
        "stop": "eos",
        "reward": 1.0,
        "format": 1.0,
        "accuracy": 1.0,
        "outcome": "right",
        "read": "3",
        "why": "equal",
        "advantage": 1.0,
        "kept": True,
        "external": False,
        "parent": -1,
        "fork": 0,
        "parts": None,
        "turns": None,
        "segments": [{"start": 0, "end": 2, "turn": 0, "kind": "model"}],
    }
    assert (rows[1]["parent"], rows[1]["fork"]) == (0, 1)
    assert rows[1]["segments"] == [
        {"start": 0, "end": 1, "turn": 0, "kind": "model"},
        {"start": 1, "end": 2, "turn": 1, "kind": "tool"},
    ]
    assert [row["kept"] for row in rows] == [True, True, False, False]
    assert (rows[1]["stop"], rows[1]["outcome"], rows[1]["read"]) == ("length", "unread", None)
    assert pq.read_schema(tmp_path / "step.parquet").equals(SCHEMA)


def test_groups_and_answers_keep_their_order(tmp_path: Path) -> None:
    rows = write(tmp_path / "step.parquet")
    assert [(row["group"], row["ids"][0]) for row in rows] == [(0, 10), (0, 11), (1, 20), (1, 21)]  # type: ignore[index]


def test_a_lost_answer_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_rollouts(tmp_path / "s.parquet", 1, collected([RIGHT, NONE]), torch.zeros(4))
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_step_replaces_its_file(tmp_path: Path) -> None:
    assert write(tmp_path / "step.parquet") == write(tmp_path / "step.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["step.parquet"]
