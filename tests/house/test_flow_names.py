"""No flow or domain file may be named like a module that it could shadow: its folder comes first on the import path."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from mmreason.project import FOLDERS

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
EXTRAS = {"vllm", "deepspeed", "av", "lm_eval", "bm25s", "sentence_transformers", "matplotlib"}
NEIGHBOURS = {"trl", "verl", "ray", "wandb", "tensorboard", "trackio", "flash_attn"}
TAKEN = sys.stdlib_module_names | metadata.packages_distributions().keys() | EXTRAS | NEIGHBOURS


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_flow_shadows_a_module(path: Path) -> None:
    assert path.stem not in TAKEN, f"{path} would be imported in place of the module {path.stem!r}: rename it"


def test_the_guard_sees_flows() -> None:
    assert {"road", "sft", "grpo"} <= {path.stem for path in FILES}
    assert "types" in TAKEN
    assert "torch" in TAKEN


def test_test_files_have_one_name_each() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
