"""A domain that declares an environment: turns of the model and of a tool, through `mmreason grpo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmreason.project import load_module

small: Any = load_module(Path(__file__).with_name("small_grpo.py"))
TOOL = '''\
from mmreason.rollout.environment import Reply


class Tool:
    """Answers the first turn, and ends the talk after the second."""

    def __init__(self, setting):
        assert setting.options == {}

    def reply(self, sample, rollout, turn):
        return Reply(("count again",)) if turn == 0 else None
'''
LONG = "grpo.sampling={max_new_tokens: 60}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project with a tool."""
    root: Path = small.make_project(tmp_path_factory.mktemp("talk"))
    declared = root / "small" / "domain.yaml"
    declared.write_text(
        declared.read_text() + "environment: tool.py:Tool\nrewards: [{term: 'rewards.py:kind_words'}]\n"
    )
    (root / "small" / "tool.py").write_text(TOOL)
    return root


def test_the_tool_speaks_and_only_the_model_is_trained(project: Path, tmp_path: Path) -> None:
    out = small.fresh(project, tmp_path / "run")
    assert small.grpo(project, out, LONG) == 0
    rows = small.rollouts(out, 1)
    kinds = [[piece["kind"] for piece in row["segments"]] for row in rows]
    assert ["model", "tool", "model"] in kinds
    for row in rows:
        for piece in row["segments"]:
            written = row["logprobs"][piece["start"] : piece["end"]]
            assert (piece["kind"] == "tool") == all(value == 0.0 for value in written)
    first = small.metrics(out)[-2]
    assert first["agent/turns"] > 1.0
    assert first["prompt_forwards_per_group"] == 1.0
    assert first["logprob_gap_max"] < 1e-4  # engine and trainer agree behind the tool's text too
    assert small.weights(out) != small.weights_before(out)


def test_the_limit_of_turns_ends_the_talk(project: Path, tmp_path: Path) -> None:
    out = small.fresh(project, tmp_path / "run")
    assert small.grpo(project, out, LONG, "task.max_turns=1", "grpo.steps=1") == 0
    assert {piece["kind"] for row in small.rollouts(out, 1) for piece in row["segments"]} == {"model"}


def test_an_environment_without_replies_is_refused(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = small.fresh(project, tmp_path / "run")
    declared = project / "small" / "domain.yaml"
    kept = declared.read_text()
    declared.write_text(kept.replace("tool.py:Tool", "tool.py:Reply"))
    try:
        assert small.grpo(project, out) == 2
    finally:
        declared.write_text(kept)
    assert "without a method 'reply'" in capsys.readouterr().err
