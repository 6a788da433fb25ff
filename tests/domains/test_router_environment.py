"""R1-Router's environment with real ids: a trajectory replayed as training sees it, and the data stage from world to
steps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmreason.models.codec import Codec
from mmreason.models.tokenizer import train_tokenizer
from mmreason.project import load_module
from mmreason.records import Sample, SegmentKind, Stop
from mmreason.rollout.environment import Setting
from mmreason.rollout.replay import replay, turns_of

rows = load_module(Path(__file__).parent / "router_rows.py")
environments = load_module(rows.ROUTER / "environment.py")
teacher, trajectories = rows.teacher, rows.trajectories
OPTIONS = {"r1_router": {**rows.OPTIONS["r1_router"], "stop_at_tags": True, "proceed": "next", "finish": "answer"}}


@pytest.fixture(scope="module")
def shown() -> Sample:
    """A two-hop question without a picture, for the cold start."""
    desk = rows.open_desk(stop_at_tags=True, proceed="next", finish="answer")
    [question] = [one for one in rows.made(count=9) if one.metadata["hops"] == 2 and not one.media][:1]
    context = SimpleNamespace(recipe=SimpleNamespace(options=OPTIONS))
    [made] = trajectories.shown(iter([rows.taught(question, desk)]), context)
    return made


def encoded(sample: Sample, response: str) -> tuple[Codec, Any, list[str]]:
    tokenizer = train_tokenizer([sample.question, response] * 20, 600)
    codec = Codec(tokenizer, None, None)
    tool = environments.router(Setting(OPTIONS, codec, max_turns=12))
    turns = turns_of(response, tool.stop)
    return codec, replay(codec, sample, codec.encode(sample), tool, turns, 12), turns


def test_a_trajectory_is_replayed_turn_by_turn_and_its_passages_are_not_trained(shown: Sample) -> None:
    response = teacher.solver({"misroute": 1.0})(shown, 0)
    codec, rollout, turns = encoded(shown, response)
    assert len(turns) == 6 and rollout.stop is Stop.EOS
    said = [codec.decode(list(rollout.ids[p.start : p.end])) for p in rollout.pieces if p.kind is SegmentKind.MODEL]
    assert said == turns
    told = [codec.decode(list(rollout.ids[p.start : p.end])) for p in rollout.pieces if p.kind is SegmentKind.TOOL]
    assert len(told) == 5 and shown.metadata["chain"][0]["told"] in told[0] and "next" in told[1]
    assert [sum(rollout.trained), len(rollout.trained)] == [
        sum(p.end - p.start for p in rollout.pieces if p.kind is SegmentKind.MODEL),
        len(rollout.ids),
    ]


def test_a_step_is_put_in_the_very_ids_that_the_episode_has(shown: Sample) -> None:
    """What the policy sees behind a teacher's steps is what it sees behind its own."""
    response = teacher.solver({})(shown, 0)
    codec, rollout, _ = encoded(shown, response)
    context = SimpleNamespace(recipe=SimpleNamespace(options=OPTIONS))
    steps = list(trajectories.steps(iter([shown]), context))
    starts = [piece.start for piece in rollout.pieces if piece.kind is SegmentKind.MODEL]
    for step, start in zip(steps, starts, strict=True):
        assert codec.encode(step).ids == [*rollout.prompt_ids, *rollout.ids[:start]]
