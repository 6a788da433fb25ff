"""R1-Router's trajectories by an endpoint on loopback that plays against the knowledge bases."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmreason.data.step import Drop
from mmreason.project import load_module
from mmreason.records import Sample

rows = load_module(Path(__file__).parent / "router_rows.py")
server = load_module(Path(__file__).parents[1] / "data" / "chat_server.py")
teacher, trajectories = rows.teacher, rows.trajectories


def context(tmp_path: Path, url: str) -> Any:
    declared = {"base_url": url, "model": "m", "retries": 0, "timeout_s": 30.0, "concurrency": 1}
    options = {"r1_router": rows.OPTIONS["r1_router"], teacher.TEACHER: declared}
    recipe = SimpleNamespace(options=options, seeds=SimpleNamespace(sampling=0))
    domain = SimpleNamespace(folder=rows.MEDICAL, file=SimpleNamespace(system_prompt="Begin with a plan."))
    return SimpleNamespace(recipe=recipe, domain=domain, data_dir=None, work_dir=tmp_path, offline=False)


def played(tmp_path: Path, sample: Sample, turns: list[str]) -> tuple[Sample | Drop, list[Any]]:
    """What the step makes of the question while the endpoint says `turns`, and the messages that it saw."""
    said = iter(turns)
    answer = lambda body, seen, handler: server.send_json(handler, server.completion(next(said)))  # noqa: E731
    with server.serve(answer) as log:
        [made] = teacher.asked(iter([sample]), context(tmp_path, log.url))
        return made, [json.loads(body)["messages"] for body in log.bodies]


@pytest.fixture
def question() -> Sample:
    return next(one for one in rows.made(count=9) if one.metadata["hops"] == 1 and not one.media)


def test_an_endpoint_plays_with_the_passages_before_it(tmp_path: Path, question: Sample) -> None:
    [hop] = question.metadata["chain"]
    turns = [
        "I would look it up.",  # the first try of two
        rows.forms.write_plan(hop["query"], hop["base"], "look it up"),
        rows.forms.write_answer(hop["object"]),
        rows.forms.write_plan("", ""),
        rows.forms.write_answer(f"It is {hop['object']}."),
    ]
    made, seen = played(tmp_path, question, turns)
    assert isinstance(made, Sample)
    steps = made.evidence["trajectory"]
    assert [step["kind"] for step in steps] == ["plan", "answer", "plan", "final"]
    assert steps[0]["thought"] == "look it up" and hop["told"] in steps[0]["shown"]
    assert [len(messages) for messages in seen] == [2, 2, 4, 6, 8] and seen[0][0]["role"] == "system"
    assert hop["told"] in seen[2][-1]["content"]
    assert list(trajectories.checked(iter([made]), None)) == [made]


def test_two_tries_a_step_then_the_question_leaves(tmp_path: Path, question: Sample) -> None:
    made, seen = played(tmp_path, question, ["I would look it up.", "Which base is there?"])
    assert isinstance(made, Drop) and made.reason == "malformed_plan" and len(seen) == 2
