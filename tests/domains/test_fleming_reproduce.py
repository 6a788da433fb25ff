"""The arms of Fleming-R1's reproduction, what they are compared by, and its profiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import find_system, load_recipe
from mmreason.config.stages import stage_recipe
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.run.folder import RunFolder

FLEMING = Path(__file__).parents[2] / "domains" / "medical" / "fleming_r1"
reproduce = load_module(FLEMING / "reproduce.py")
measures = load_module(FLEMING / "reproduce_measures.py")
RECIPE = find_system("fleming-r1")


@pytest.mark.parametrize("profile", ["cpu", "gpu1", "paper"])
def test_the_stages_of_a_profile(profile: str) -> None:
    recipe = load_recipe(RECIPE, profile)
    cold, first, *mined = [stage_recipe(recipe, stage) for stage in recipe.stages]
    assert cold.grpo is None and first.sft is None and len(mined) == (2 if profile == "paper" else 1)
    assert first.options["fleming_r1"]["blend"] == "text" and first.data.rl_source == "all"
    for one in mined:
        assert one.grpo and first.grpo and one.grpo.group_size == 2 * first.grpo.group_size
        assert (one.data.rl_source, one.data.selection.rule) == ("variance", "fleming_r1/mining.py:pool")
        assert one.grpo.prompts % 3 == 0 and "blend" not in one.options["fleming_r1"]
    assert all(one.grpo for one in mined)
    assert first.grpo and (first.grpo.advantage, first.grpo.loss_mean, first.grpo.kl_beta) == ("centred", "sum", 0.0)


def test_arms_of_a_stage_sample_as_many_answers() -> None:
    recipe = load_recipe(RECIPE, "cpu", ["options.seeds=2"])
    made = {arm: reproduce.arm_recipe(recipe, arm, 1) for arm in reproduce.ARMS}
    assert all(not one.stages and one.launch.threads == 1 and one.seeds.data == 1 for one in made.values())
    answers = {
        arm: one.grpo.steps * one.grpo.prompts * one.grpo.group_size for arm, one in made.items() if arm != "cold"
    }
    assert {arm for arm, count in answers.items() if count == answers["first"]} == set(answers) - {"plain"}
    assert answers["plain"] == 2 * answers["first"]
    assert made["mined"].grpo.group_size == 2 * made["mined_k"].grpo.group_size
    assert made["first"].options["fleming_world"]["law"] == "natural" and made["cold"].sft and not made["first"].sft
    assert {arm for arm, one in made.items() if one.grpo.advantage == "group"} == {
        "first_std",
        "random_std",
        "mined_std",
    }
    with pytest.raises(UserError, match=r"grpo\.prompts is 3; arm mined takes half"):
        reproduce.arm_recipe(load_recipe(RECIPE, "cpu", ["grpo.prompts=3"]), "mined", 0)


def test_every_arm_has_a_note_and_begins_at_one_that_comes_before() -> None:
    order = list(reproduce.AFTER)
    assert set(reproduce.NOTES) == set(reproduce.ARMS) == set(order)
    assert all(order.index(one) < order.index(arm) for arm in order for one in reproduce.AFTER[arm])
    known = {*order, *measures.MARGINS}
    assert all({claim.better, claim.worse} <= known for claim in measures.CLAIMS)


def row(name: str, hops: int, tail: bool, right: bool, said: str = "") -> dict[str, Any]:
    facts = {"hops": hops, "tail": tail}
    return {"id": name, "acc": float(right), "doc": {"metadata": facts}, "runs": [{"output": said}]}


def arm(path: Path, right: dict[str, bool], dead: list[float]) -> RunFolder:
    """A run folder with four scored questions and the steps of a training."""
    home = RunFolder(path)
    rows = {
        "rods_easy": [row("e", 1, False, right["e"], "<think> by heart</think><answer> daa</answer>")],
        "rods_moderate": [row("m", 1, True, right["m"])],
        "rods_difficult": [row("d", 3, True, right["d"]), row("x", 3, False, right["x"])],
    }
    (home.eval / "grpo").mkdir(parents=True)
    home.final("grpo").mkdir(parents=True)
    for suite, own in rows.items():
        text = "".join(json.dumps(one) + "\n" for one in own)
        (home.eval / "grpo" / f"{suite}.samples.jsonl").write_text(text, encoding="utf-8")
    steps = [{"stage": "grpo", "step": step, "zero_advantage_groups": share} for step, share in enumerate(dead, 1)]
    home.metrics.write_text("".join(json.dumps(one) + "\n" for one in steps), encoding="utf-8")
    return home


def test_columns_and_claims_by_hand(tmp_path: Path) -> None:
    wrong = dict.fromkeys("emdx", False)
    homes = {
        "random": [arm(tmp_path / "random", wrong | {"e": True}, [0.5, 0.75])],
        "mined": [arm(tmp_path / "mined", wrong | {"e": True, "d": True, "m": True}, [0.25, 0.5])],
        "random_std": [arm(tmp_path / "random_std", wrong, [0.5, 0.5])],
        "mined_std": [arm(tmp_path / "mined_std", wrong | {"d": True}, [0.5, 0.5])],
    }
    (homes["mined"][0].data).mkdir()
    (homes["mined"][0].data / "variance.json").write_text('{"k": 8, "candidates": 100}', encoding="utf-8")
    found, text = measures.compare(homes, reproduce.NOTES)
    (mined,) = found["scores"]["mined"]
    assert mined == {
        "1 head": 1.0,
        "1 tail": 1.0,
        "3 head": 0.0,
        "3 tail": 1.0,
        "all": 0.75,
        "guessed": 0.25,
        "informative groups": 0.625,
        "answers mined": 800.0,
    }
    claims = {(one["measure"], one["better"], one["worse"]): one for one in found["claims"]}
    assert claims["tail", "mined", "random"]["difference"]["mean"] == 1.0
    assert claims["3 steps", "mined", "random"]["difference"]["mean"] == 0.5
    assert claims["informative", "mined", "random"]["difference"]["mean"] == 0.25
    assert claims["all", "margin", "margin_std"]["difference"]["mean"] == 0.25  # 2 of 4 more, against 1 of 4
    assert {one["verdict"] for one in found["claims"]} == {"not decided"} and "5 seeds are asked for" in text
