"""Verdicts over seeds by the stated rule, and the arms of the reproduction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import Recipe, find_system, load_domain, load_recipe
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.records.io import read_samples, write_samples
from mmreason.run.files import write_text
from mmreason.run.folder import RunFolder
from mmreason.suites.claims import Claim, Ruling, differences, markdown, ruling, spread

reproduce: Any = load_module(project_dir() / "domains" / "finance" / "dianjin_r1" / "reproduce.py")
CLAIM = Claim("chains beat answers", "accuracy", "b", "a")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 0.2, 0.01], Ruling.HOLDS),
        ([0.1, 0.2, 0.0], Ruling.NOT_DECIDED),  # no difference is no win
        ([0.1, -0.2, 0.3], Ruling.NOT_DECIDED),
        ([-0.1, -0.2, 0.0], Ruling.FAILS),
        ([0.0, 0.0, 0.0], Ruling.FAILS),
        ([0.5, 0.5], Ruling.NOT_DECIDED),  # two seeds decide nothing, however far apart the arms
        ([], Ruling.NOT_DECIDED),
    ],
)
def test_the_rule(values: list[float], expected: Ruling) -> None:
    assert ruling(values) is expected


def test_differences_are_paired_by_seed() -> None:
    scores = {"a": {"accuracy": [0.1, 0.5]}, "b": {"accuracy": [0.4, 0.4]}}
    assert differences(CLAIM, scores) == pytest.approx([0.3, -0.1])
    with pytest.raises(ValueError, match="zip"):
        differences(CLAIM, {"a": {"accuracy": [0.1]}, "b": {"accuracy": [0.4, 0.4]}})


def test_spread_by_hand() -> None:
    assert spread([0.5, 0.7]) == "60.0 +- 14.1"  # 0.2 / sqrt(2)
    assert spread([0.25]) == "25.0"


def test_the_tables() -> None:
    scores = {
        "a": {"accuracy": [0.1, 0.1, 0.1]},
        "b": {"accuracy": [0.4, 0.4, 0.4], "dead groups": [0.5, 0.5, 0.5]},
    }
    text = markdown(scores, [CLAIM], {"a": "answers", "b": "chains"})
    assert "| a: answers | 10.0 +- 0.0 |" in text
    assert "| chains beat answers (b - a, accuracy) | +30.0, +30.0, +30.0 | holds |" in text


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(find_system("dianjin-r1"))


@pytest.mark.parametrize("arm", sorted(reproduce.ARMS))
def test_each_arm_is_a_valid_recipe_with_one_seed(recipe: Recipe, arm: str) -> None:
    made = reproduce.arm_recipe(recipe, arm, 2)
    assert made.seeds.model_dump() == {"weights": 2, "data": 2, "sampling": 2}
    assert made.options["ledger"] == {**recipe.options["ledger"], "items": 3000, "world": 2}
    assert made.sft.max_steps < recipe.sft.max_steps
    assert made.grpo.steps < recipe.grpo.steps
    assert made.eval.sampling.temperature == made.grpo.sampling.temperature == 1.0  # the policy as it is trained


def test_arms_and_seeds_are_chosen_by_options(recipe: Recipe) -> None:
    def chosen(**values: object) -> tuple[int, list[str]]:
        return reproduce.options(recipe.model_copy(update={"options": values}))

    assert chosen() == (3, list(reproduce.ARMS))
    assert chosen(seeds=1, arms="gab") == (1, ["b", "a", "g"])
    for wrong in ({"seeds": 0}, {"seeds": "3"}, {"arms": "a"}, {"arms": "bx"}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            chosen(**wrong)


def test_arms_differ_in_what_they_are_named_for(recipe: Recipe) -> None:
    arms = {arm: reproduce.arm_recipe(recipe, arm, 0) for arm in reproduce.ARMS}
    assert [arm for arm, made in arms.items() if made.sft.target == "answer"] == ["a"]
    assert [arm for arm, made in arms.items() if made.sft.unverified] == ["c"]
    assert [arm for arm, made in arms.items() if made.data.rl_source == "passrate"] == ["e"]
    assert [arm for arm, made in arms.items() if made.grpo.reward.mode == "accuracy"] == ["f"]
    assert [arm for arm in sorted(arms) if arms[arm].data.rl_kinds == ["choice"]] == ["d", "e", "f"]
    assert all(made.model == recipe.model for made in arms.values())  # one budget for all
    assert all(made.sft.max_steps == arms["b"].sft.max_steps for made in arms.values())


def test_every_claim_names_arms_that_are_run() -> None:
    assert {arm for claim in reproduce.CLAIMS for arm in (claim.better, claim.worse)} <= set(reproduce.ARMS)
    assert set(reproduce.NOTES) == set(reproduce.ARMS)


SIZES = {"hidden": 32, "layers": 1, "heads": 2, "kv_heads": 1, "ffn": 32}
FEW = ["eval.limit=4", *(f"model.tiny.{key}={value}" for key, value in SIZES.items())]
FEWER = {"options.ledger.items": 60, "sft.max_steps": 2, "grpo.steps": 2, "eval.runs": 1}


def test_arms_run_and_are_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three of the arms with a handful of steps; one seed decides nothing, and a second start trains nothing."""
    monkeypatch.setattr(reproduce, "SMALLER", {**FEWER, "grpo.sampling.max_new_tokens": 8})
    monkeypatch.setattr(reproduce, "ARMS", {arm: reproduce.ARMS[arm] for arm in ("b", "a", "d")})
    monkeypatch.setattr(reproduce, "CLAIMS", [c for c in reproduce.CLAIMS if {c.better, c.worse} <= {"a", "b", "d"}])
    path = find_system("dianjin-r1")
    recipe, domain = load_recipe(path, pairs=["options.seeds=1", *FEW]), load_domain(path.parent / "..")
    for _ in range(2):
        reproduce.main(recipe, domain, RunFolder(tmp_path))
    told = capsys.readouterr()
    assert told.err.count("cold start: 2/2") == 2  # a and b; d goes on from b's
    assert told.err.count("GRPO: 2/2") == 1
    found = json.loads((tmp_path / "reproduce.json").read_text(encoding="utf-8"))
    assert found["seeds"] == 1
    assert {arm: set(row) >= {"open accuracy", "mcq accuracy", "reward"} for arm, row in found["scores"].items()} == {
        "a": True,
        "b": True,
        "d": True,
    }
    text = (tmp_path / "reproduce.md").read_text(encoding="utf-8")
    assert text.count("not decided") == 3
    cold = [(tmp_path / "seed0" / arm / "checkpoints/sft/final/model.safetensors").read_bytes() for arm in "bd"]
    assert cold[0] == cold[1]


def _sample(kind: AnswerKind) -> Sample:
    source = Source("ledger", "train", "Apache-2.0", kind.value)
    return Sample(kind.value, source, (Message.of(Role.USER, "?"),), Answer(kind, "A"))


@pytest.fixture
def arm_b(tmp_path: Path) -> RunFolder:
    """The data and the cold start of arm b, as far as sharing looks at them."""
    home = RunFolder(tmp_path / "b")
    write_samples(home.data / "rl.parquet", [_sample(AnswerKind.CHOICE), _sample(AnswerKind.NUMBER)])
    for stage in ("base", "sft"):
        write_text(home.final(stage) / "weights", stage)
    return home


@pytest.mark.parametrize(("arm", "cold_start", "pool"), [("d", True, ["choice"]), ("g", True, ["choice", "number"])])
def test_rl_arms_share_the_cold_start_of_their_seed(
    recipe: Recipe, arm_b: RunFolder, tmp_path: Path, arm: str, cold_start: bool, pool: list[str]
) -> None:
    home = RunFolder(tmp_path / arm)
    reproduce.share(arm_b, home, reproduce.arm_recipe(recipe, arm, 0), cold_start=cold_start)
    assert [sample.id for sample in read_samples(home.data / "rl.parquet")] == pool
    assert (home.final("sft") / "weights").read_text(encoding="utf-8") == "sft"
    assert home.is_done("data")


def test_sft_arms_train_their_own_and_sharing_happens_once(recipe: Recipe, arm_b: RunFolder, tmp_path: Path) -> None:
    home = RunFolder(tmp_path / "a")
    reproduce.share(arm_b, home, reproduce.arm_recipe(recipe, "a", 0), cold_start=False)
    assert not home.final("sft").exists()
    (home.data / "rl.parquet").unlink()
    reproduce.share(arm_b, home, reproduce.arm_recipe(recipe, "a", 0), cold_start=False)
    assert not (home.data / "rl.parquet").exists()


@pytest.mark.parametrize("seeds", [0, "three", 1.5])
def test_a_bad_seed_count_is_one_line(recipe: Recipe, tmp_path: Path, seeds: object) -> None:
    wrong = recipe.model_copy(update={"options": {**recipe.options, "seeds": seeds}})
    with pytest.raises(UserError, match=r"options.seeds is .*; expected a whole number from 1"):
        reproduce.main(wrong, None, RunFolder(tmp_path / "out"))
