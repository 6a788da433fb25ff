"""Every method and every algorithm goes through the real loop; several compose in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mmreason.config.algorithms import list_algorithms
from mmreason.objectives.compose import known_methods
from mmreason.project import load_module

HERE = Path(__file__).parent
small = load_module(HERE / "small_grpo.py")
explained = load_module(HERE.parent / "objectives" / "test_metric_table.py").explained

SHAPED = ("grpo.advantage=centred",)  # nothing may divide small terms by the group's deviation
SETTINGS: dict[str, dict[str, Any]] = {
    "cure": {"n1": 2, "n2": 1, "top": 4, "stage_two": 9},
    "dler": {"max_tokens": 12},
    "ettrl": {"forks": 1, "branches": 1},
    "hicra": {"phrases": ["so"]},
    "laser_d": {"grid": 2, "shortest": 8, "longest": 14, "every": 1},
    "p_grpo": {"scorer": "rewards.py:kind_words"},
    "rlpr": {"start": 1},
    "siri": {"tokens": {"kind": "oscillate", "start": 14, "end": 10, "steps": 2}},
    "spear": {"tools_only": False, "capacity": 4},
}
"""What a method needs at this size beyond its defaults."""
PAIRS: dict[str, tuple[str, ...]] = {
    "laser_d": SHAPED,
    "p_grpo": SHAPED,
    "pear": SHAPED,
    "spear": (*SHAPED, "grpo.mismatch=truncate", "grpo.steps=3"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = small.make_project(tmp_path_factory.mktemp("methods"))
    return made


def methods_pair(project: Path, *entries: str | dict[str, Any]) -> str:
    """The recipe's words for methods with their settings from above."""
    named = [entry if isinstance(entry, dict) else {entry: dict(SETTINGS.get(entry, {}))} for entry in entries]
    for entry in named:
        if "p_grpo" in entry:
            entry["p_grpo"]["folder"] = str(project / "small")
    return "grpo.methods=" + yaml.safe_dump(named, default_flow_style=True, width=10_000).strip()


def trained(project: Path, out: Path, *words: str) -> list[dict[str, Any]]:
    """Metrics of a finished run, each of them explained in the README."""
    small.fresh(project, out)
    small.run_flow("training/grpo.py", project / "small", out, *words)
    rows: list[dict[str, Any]] = small.metrics(out)
    assert {key for row in rows for key in row if key not in ("stage", "step") and not explained(key)} == set()
    assert all(row["ratio/first_gap"] < 1e-5 for row in rows)
    assert small.weights(out) != small.weights_before(out)
    return rows


def counters(rows: list[dict[str, Any]], name: str) -> dict[str, float]:
    """Sums over the run of what a method counted."""
    keys = {key for row in rows for key in row if key.startswith(f"method/{name}/")}
    return {key.rpartition("/")[2]: sum(row.get(key, 0.0) for row in rows) for key in keys}


@pytest.mark.parametrize("name", known_methods())
def test_a_method_trains_and_counts(project: Path, tmp_path: Path, name: str) -> None:
    rows = trained(project, tmp_path / "out", methods_pair(project, name), *PAIRS.get(name, ()))
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert counters(rows, name)
    if name != "spear":  # it replays answers of older policies
        assert max(row["logprob_gap_max"] for row in rows) < 1e-4


@pytest.mark.parametrize("name", sorted(list_algorithms()))
def test_an_algorithm_trains(project: Path, tmp_path: Path, name: str) -> None:
    words = ["grpo.overlong_buffer=3"] if name == "dapo" else []  # the published one is for 20480 tokens
    rows = trained(project, tmp_path / "out", f"grpo.algorithm={name}", "grpo.prompts_per_update=2", *words)
    assert len(rows) == 2
    assert rows[0]["lr"] == pytest.approx(1e-3)


def test_methods_of_different_hooks_compose(project: Path, tmp_path: Path) -> None:
    """DAPO's filter, a token mask, a reward term with state, and a rollout stage whose phase ends."""
    methods = methods_pair(project, "forking_tokens", "laser_d", {"ghpo": {"from": 1, "until": 1}})
    words = ("grpo.algorithm=dapo", "grpo.overlong_buffer=0", "grpo.dynamic_sampling=4", *SHAPED, methods)
    rows = trained(project, tmp_path / "out", *words)
    first, second = ({key.split("/")[1] for key in row if key.startswith("method/")} for row in rows)
    assert first == {"forking_tokens", "laser_d", "ghpo"}
    assert second == {"forking_tokens", "laser_d"}
    assert max(row["attempts"] for row in rows) > 1
