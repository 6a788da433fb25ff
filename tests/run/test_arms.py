"""Arms of a reproduction: settings by key, what they share, and jobs that wait for each other."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mmreason.config import load_recipe
from mmreason.errors import UserError
from mmreason.project import project_dir
from mmreason.run.arms import choice, share, side_by_side, variant
from mmreason.run.folder import RunFolder

RECIPE = load_recipe(project_dir() / "domains" / "video" / "earl" / "recipe.yaml", "cpu")


def test_a_variant_changes_what_it_names_and_nothing_else() -> None:
    made = variant(RECIPE, {"options.earl.gate": 0.0, "grpo.steps": 7}, 3, "no_gate")
    assert made.options["earl"] == RECIPE.options["earl"] | {"gate": 0.0}
    assert made.grpo is not None and RECIPE.grpo is not None
    assert made.grpo.steps == 7 and made.grpo.optim == RECIPE.grpo.optim and made.sft == RECIPE.sft
    assert (made.seeds.weights, made.seeds.data, made.seeds.sampling) == (3, 3, 3)
    with pytest.raises(UserError, match="arm wrong"):
        variant(RECIPE, {"grpo.stepz": 7}, 0, "wrong")


@pytest.mark.parametrize(
    ("options", "said"),
    [({"seeds": 0}, "options.seeds"), ({"seeds": True}, "seeds"), ({"arms": ["x"]}, "options.arms")],
)
def test_bad_choices_are_told(options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        choice(RECIPE.model_copy(update={"options": options}), ["a", "b"], 3)


def test_arms_keep_their_order() -> None:
    assert choice(RECIPE.model_copy(update={"options": {"arms": ["b", "a"]}}), ["a", "b"], 3) == (3, ["a", "b"])


def test_an_arm_takes_data_and_models_over_once(tmp_path: Path) -> None:
    source, home = RunFolder(tmp_path / "sft"), RunFolder(tmp_path / "earl")
    for path in (source.data / "rl.parquet", source.made / "clip.mp4", source.final("sft") / "model.safetensors"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("first")
    share(source, home)
    assert (home.data / "rl.parquet").read_text() == "first" and home.made.is_symlink() and home.is_done("data")
    assert (home.made / "clip.mp4").read_text() == "first" and home.final("sft").is_dir()
    (source.data / "rl.parquet").write_text("second")
    share(source, home)
    assert (home.data / "rl.parquet").read_text() == "first"


def test_jobs_wait_for_those_they_come_after(tmp_path: Path) -> None:
    done = tmp_path / "done"

    def job(name: str) -> None:
        time.sleep(0.3 if name == "cold" else 0.0)
        with done.open("a") as file:
            file.write(name + "\n")

    jobs = {name: (lambda name=name: job(name)) for name in ("warm", "cold", "other")}
    side_by_side(jobs, {"warm": ["cold"]}, tmp_path / "logs", 2)
    assert done.read_text().split() == ["other", "cold", "warm"]


def test_a_job_that_fails_ends_the_rest_and_is_named(tmp_path: Path) -> None:
    def broken() -> None:
        raise ValueError("no gold")

    with pytest.raises(RuntimeError, match=r"cold failed: .*cold.txt says why"):
        side_by_side({"cold": broken, "warm": lambda: None}, {"warm": ["cold"]}, tmp_path / "logs", 2)
    assert "ValueError: no gold" in (tmp_path / "logs" / "cold.txt").read_text()
    assert not (tmp_path / "logs" / "warm.txt").exists()
