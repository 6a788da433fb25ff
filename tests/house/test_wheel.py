"""The wheel as a user gets it: one name, flows inside, every command answering from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

COMMANDS = ["run", "data", "sft", "grpo", "eval", "score", "compare", "view", "list", "doctor", "reproduce"]


def answer(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the installed copy in `cwd`."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "mmreason.cli", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def test_the_package_is_the_only_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mmreason"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


@pytest.mark.parametrize(
    "name",
    [
        "training/road.py",
        "training/recipe.yaml",
        "data_pipelines/cold_start.py",
        "eval/run.py",
        "domains/finance/domain.yaml",
    ],
)
def test_the_flows_travel_inside(wheel: Path, name: str) -> None:
    assert f"mmreason/_project/{name}" in zipfile.ZipFile(wheel).namelist()


def test_the_licence_and_the_types_travel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "mmreason/py.typed" in names
    assert [name for name in names if name.endswith("licenses/LICENSE")]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_from_the_installed_copy(installed: Path, tmp_path: Path, command: str) -> None:
    done = answer(installed, tmp_path, command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Example: mmreason {command}" in " ".join(done.stdout.split())


def test_the_installed_copy_plans_a_run(installed: Path, tmp_path: Path) -> None:
    done = answer(installed, tmp_path, "run", "dianjin-r1", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert str(installed) in done.stdout  # the recipe of the copy, not of the checkout
    assert list(tmp_path.iterdir()) == []
