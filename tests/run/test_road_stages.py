"""Which stages a recipe asks for."""

from __future__ import annotations

import pytest

from mmreason.config import find_system, load_recipe
from mmreason.project import load_module, project_dir

road = load_module(project_dir() / "training" / "road.py")


@pytest.mark.parametrize(
    ("pairs", "suites", "absent"),
    [
        ([], ["a"], {"pool"}),
        (["eval.base=false"], ["a"], {"pool", "eval_base"}),
        ([], [], {"pool", "eval_base", "eval_sft", "eval_grpo"}),
        (["data.rl_source=passrate"], ["a"], set()),
    ],
)
def test_stages(pairs: list[str], suites: list[str], absent: set[str]) -> None:
    recipe = load_recipe(find_system("dianjin-r1"), "cpu", pairs)
    assert road.stages_of(recipe, suites) == [stage for stage in road.STAGES if stage not in absent]
