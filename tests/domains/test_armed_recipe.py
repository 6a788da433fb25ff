"""ARMed's recipe, the measures of its reproduction and the bandit, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmreason.cli_job import resolve
from mmreason.config.stages import stage_recipe
from mmreason.project import load_module

made = load_module(Path(__file__).parent / "armed_batches.py")
ARMED = made.MEDICAL / "armed"
measures = load_module(ARMED / "measures.py")
arms = load_module(ARMED / "reproduce.py")
compared = arms.measures
bandit = arms.bandit


def recipe(profile: str, tmp_path: Path) -> Any:
    return resolve("armed", profile, None, tmp_path, []).recipe


def test_three_stages_and_two_more_for_a_model_drawn_at_random(tmp_path: Path) -> None:
    for profile in ("gpu1", "paper"):
        chain = recipe(profile, tmp_path).stages
        assert [(one.name, one.kind) for one in chain] == [("armed_i", "grpo"), ("armed_a", "sft"), ("armed_r", "grpo")]
    cpu = recipe("cpu", tmp_path)
    assert [one.name for one in cpu.stages] == ["see", "cold", "armed_i", "armed_a", "armed_r"]
    see, cold, _, learn, _ = (stage_recipe(cpu, stage, tmp_path) for stage in cpu.stages)
    assert see.options["scans_plates"]["scans"] > see.options["armed_scans"]["scans"]
    assert cold.options["scans_plates"]["scans"] < cold.options["armed_scans"]["scans"]
    assert see.sft.unverified and cold.sft.unverified and not learn.sft.unverified
    assert learn.options["armed"]["chains"]["count"] == 4 and "chains" not in see.options["armed"]


def test_the_digests_constants(tmp_path: Path) -> None:
    paper = recipe("paper", tmp_path)
    assert (paper.grpo.group_size, paper.grpo.sampling.temperature) == (8, 0.7)
    assert not paper.model.freeze_vision and paper.launch.processes == 4
    assert paper.data.pipelines == ["armed_vqa_rad", "armed_slake", "armed_pathvqa"]


def test_arms_differ_in_the_reward_alone(tmp_path: Path) -> None:
    cpu = recipe("cpu", tmp_path)
    made = {arm: arms.arm_recipe(cpu, arm, 2) for arm in arms.AFTER}
    assert [made[arm].sft.max_steps for arm in ("see", "cold")] == [
        stage_recipe(cpu, stage, tmp_path).sft.max_steps for stage in cpu.stages[:2]
    ]
    assert all(one.stages == [] and one.launch.threads == 1 and one.seeds.weights == 2 for one in made.values())
    maps = {arm: made[arm].grpo.methods[0][arms.METHOD]["map"] for arm in (*arms.MAPPED, "unguarded")}
    assert maps == {
        "raw": "raw",
        "affine": "affine",
        "minmax": "minmax",
        "adaptive": "adaptive",
        "unguarded": "adaptive",
    }
    assert made["text"].grpo.methods == [] and made["text"].options["armed"]["w_semantic"] == 0
    assert made["unguarded"].options["armed"]["conflict_cap"] == 1.0
    same = {key: value for key, value in cpu.grpo.model_dump().items() if key != "methods"}
    assert all({k: v for k, v in one.grpo.model_dump().items() if k != "methods"} == same for one in made.values())


def record(said: str, gold: str = "upper left", credit: float = 0.0) -> dict[str, Any]:
    facts = {"answer": gold, "answer_type": "open"}
    run = {"output": f"<think>a</think><answer>{said}</answer>", "credit": credit}
    return {"doc": {"metadata": facts}, "target": gold, "runs": [run]}


def test_measures_of_one_answer() -> None:
    assert measures.answer(record("Upper left.", credit=1.0)) == {
        "exact": 1.0,
        "right": 1.0,
        "bleu_1": 1.0,
        "rouge_1": 1.0,
        "wrong_side": 0.0,
    }
    other = measures.answer(record("top right"))
    assert other == {"exact": 0.0, "right": 0.0, "bleu_1": 0.0, "rouge_1": 0.0, "wrong_side": 1.0}
    assert measures.answer(record("left"))["rouge_1"] == pytest.approx(2 / 3)
    assert "wrong_side" not in measures.answer(record("ring", "large ring"))
    silent = record("x") | {"runs": [{"output": "", "credit": 0.0}]}
    assert measures.answer(silent)["exact"] == 0.0


def test_the_pass_rule() -> None:
    column = measures.COLUMNS["right"]

    def scores(*values: float) -> list[dict[str, float]]:
        return [{column: value} for value in values]

    rule = compared.Rule("r", "a", "b", 2.0)
    wide = compared.apply(rule, {"a": scores(0.7, 0.8, 0.9), "b": scores(0.5, 0.6, 0.7)})  # sd 0.1 in both
    assert wide["asked"] == pytest.approx(0.2) and wide["difference"] == pytest.approx(0.2)
    assert compared.apply(rule, {"a": scores(0.81, 0.8, 0.82), "b": scores(0.6, 0.6, 0.6)})["verdict"] == "holds"
    assert compared.apply(rule, {"a": scores(0.6, 0.6, 0.6), "b": scores(0.6, 0.6, 0.6)})["verdict"] == "fails"
    few = compared.apply(rule, {"a": scores(0.9, 0.9), "b": scores(0.1, 0.1)})
    assert few["verdict"] == "not decided" and "| 3 seeds | not decided |" in compared.rules_table([few])


def test_a_raw_similarity_alone_does_not_teach_without_standardising() -> None:
    questions, given = bandit.table(bandit.np.random.default_rng(0)), bandit.rewards()

    def learnt(arm: str, standardised: bool) -> tuple[float, float]:
        found: tuple[float, float] = bandit.learn(questions, given[arm], standardised, bandit.np.random.default_rng(1))
        return found

    assert learnt("raw alone", False)[0] < 0.05 < learnt("raw alone", True)[0]
    assert learnt("text + affine", True)[1] > learnt("text + raw", True)[1] + 0.1


def test_the_tables_scorer_is_narrow_and_its_gold_stands_first() -> None:
    questions = bandit.table(bandit.np.random.default_rng(0))
    assert (questions.near[:, 0] == 1).all() and questions.near[:, 1:].min() > 0.75
    assert questions.text[:, 0].tolist() == [1.0] * bandit.QUESTIONS
    assert questions.quality[:, 0] == pytest.approx(1.0)


def test_the_table_of_the_bandit() -> None:
    shown = bandit.markdown({"text": {"std": [[0.2, 0.4], [0.4, 0.6]], "centred": [[0.5, 0.5], [0.5, 0.5]]}})
    assert "| text | 0.300 +- 0.141 | 0.500 +- 0.141 | 0.500 +- 0.000 | 0.500 +- 0.000 |" in shown
