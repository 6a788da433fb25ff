"""The careless teacher, the spoilt pool and the measures of Temporal-R1's reproduction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

HERE = project_dir() / "domains" / "video" / "temporal_r1"
teacher = load_module(HERE / "teacher.py")
rewards = load_module(HERE / "rewards.py")
pool = load_module(HERE / "reproduce_pool.py")
measures = load_module(HERE / "reproduce_measures.py")
reproduce = load_module(HERE / "reproduce.py")

STILL = {"family": "what", "moves": "", "aside": 0.0}
EVENTS = [
    {"colour": "red", "shape": "ring", "first": 2, "length": 4, "flashes": [2], **STILL},
    {"colour": "blue", "shape": "bar", "first": 10, "length": 7, "flashes": [11], **STILL},
]


def sample(family: str, number: int = 0) -> Sample:
    window = [10.0, 16.0]
    answer = Answer(AnswerKind.INTERVAL, json.dumps([window])) if family == "when" else Answer(AnswerKind.SPAN, "bar")
    return Sample(
        f"{family}{number}",
        Source("scenes", "train", "", str(number)),
        (Message.of(Role.USER, "?"),),
        answer,
        evidence={"windows": [window]},
        metadata={
            "family": family,
            "colour": "blue",
            "shape": "bar",
            "fps": 1,
            "duration": 18.0,
            "frames": 18,
            "flash": 2,
            "events": EVENTS,
        },
    )


def reward(text: str, asked: Sample) -> dict[str, float]:
    made: dict[str, float] = rewards.dual(Rollout((), (), (), text, Stop.EOS), asked, options={}).parts
    return made


SECONDS = (
    "00 blue none 01 blue none 02 blue red ring 03 blue red ring 04 blue red 05 blue red 06 blue none 07 blue none "
    "08 blue none 09 blue none 10 blue blue here 10 11 blue blue bar here 11 12 blue blue bar here 12 "
    "13 blue blue here 13 14 blue blue here 14 15 blue blue here 15 16 blue blue here 16 17 blue none"
)
THOUGHT = f"<think>{SECONDS} . here 10 11 12 13 14 15 16 . so blue bar 10 16 .</think>"


def test_a_teacher_without_slips_earns_everything() -> None:
    respond = teacher.solver({"slip": 0.0, "wide": 0.0})
    assert respond(sample("when"), 0) == THOUGHT + '<answer>{"start_time": "10", "end_time": "16"}</answer>'
    assert respond(sample("what"), 0).endswith("<answer>bar</answer>")
    assert respond(sample("grounded"), 0).endswith('{"option": "bar", "start_time": "10", "end_time": "16"}</answer>')
    for family in ("when", "what", "grounded"):
        parts = reward(respond(sample(family), 0), sample(family))
        assert (parts["task"], parts["format"]) == (1.0, 1.0)


def test_slips_and_wide_windows_come_at_their_rates_and_keep_the_thought() -> None:
    respond = teacher.solver({"slip": 0.4, "wide": 0.3})
    asked = [sample("grounded", number) for number in range(600)]
    texts = [respond(one, 0) for one in asked]
    parts = [reward(text, one) for text, one in zip(texts, asked, strict=True)]
    right = sum(part["semantic"] for part in parts) / len(parts)
    assert right == pytest.approx(0.6, abs=0.06) and all(part["format"] == 1 for part in parts)
    ends = [json.loads(text.partition("<answer>")[2].removesuffix("</answer>")) for text in texts]
    for key, true, own in (("start_time", "10", "00"), ("end_time", "16", "17")):
        said = [end[key] for end in ends]
        assert said.count(own) / len(said) == pytest.approx(0.3, abs=0.06) and set(said) == {true, own}
    assert all(text.startswith(THOUGHT) for text in texts)
    assert respond(asked[0], 0) == texts[0] and respond(asked[0], 1) != respond(asked[1], 1)


def test_unknown_teacher_options_are_refused() -> None:
    with pytest.raises(UserError, match="slipp"):
        teacher.solver({"slipp": 0.1})


def test_a_fifth_of_the_windows_is_moved_off_the_event() -> None:
    asked = [sample(family, number) for family in ("when", "what", "grounded") for number in range(200)]
    made: Sequence[Sample] = pool.spoilt(asked, seed=0)
    moved = [one for one in made if one.metadata.get("spoilt")]
    assert len(moved) / 400 == pytest.approx(pool.SPOILT, abs=0.06)
    assert not any(one.metadata["family"] == "what" for one in moved)
    for one in moved:
        ((start, end),) = one.evidence["windows"]
        assert end - start == 6 and (end < 10 or start > 16) and 0 <= start and end <= 17
        assert one.answer.kind is not AnswerKind.INTERVAL or json.loads(one.answer.gold) == [[start, end]]
    assert [one.id for one in made] == [one.id for one in asked] and pool.spoilt(asked, seed=0) == made


def test_clean_moments_for_imitation() -> None:
    (made,) = pool.clean([sample("when"), sample("what")])
    assert made.response.endswith('{"start_time": "10", "end_time": "16"}</answer>')


def test_steps_until_the_reward_is_nearly_what_it_becomes() -> None:
    assert measures.steps_to_last([0.0] * 3 + [1.0] * 20) == 6, "three steps are one point of the curve"
    assert measures.steps_to_last([0.5] * 10) == 1


def row(name: str, credit: float, output: str = "") -> dict[str, Any]:
    facts = {"events": EVENTS, "colour": "blue", "fps": 1}
    return {
        "id": name,
        "credit": credit,
        "acc": credit,
        "doc": {"metadata": facts},
        "runs": [{"output": output, "credit": credit}],
    }


def test_credit_of_a_grounded_answer_counts_both_parts() -> None:
    text = '<think>a</think><answer>{"option": "bar", "start_time": "10", "end_time": "13"}</answer>'
    assert measures.credit_of(row("q", 1.0, text), "grounded") == pytest.approx((1 + 0.5) / 2)
    assert measures.credit_of(row("q", 0.0, "nothing"), "grounded") == 0
    assert measures.credit_of(row("q", 0.3), "when") == 0.3


def test_arms_are_recipes_of_their_own() -> None:
    from mmreason.config import load_recipe

    recipe = load_recipe(HERE / "recipe.yaml")
    arms = {arm: reproduce.arm_recipe(recipe, arm, seed=2) for arm in reproduce.ARMS}
    assert arms["iou"].data.rl_kinds == ["interval"] and arms["dual"].data.rl_source == "all"
    assert arms["threshold7"].options["temporal_r1"]["threshold"] == 0.7
    assert (arms["sigma"].data.selection.rule, arms["sigma"].data.selection.keep) == ("variance", 0.1)
    assert arms["full"].data.selection.keep == 1.0 and arms["lowest"].data.selection.rule == "lowest"
    assert arms["sft"].sft.max_steps == arms["dual"].grpo.steps and not arms["sft"].sft.unverified
    assert all(arm.seeds.weights == arm.seeds.sampling == 2 for arm in arms.values())
    named = {arm for claim in measures.CLAIMS for arm in (claim.better, claim.worse)}
    assert named <= set(reproduce.ARMS) == set(reproduce.NOTES)


@pytest.mark.parametrize("profile", ["cpu", "gpu1", "paper"])
def test_profiles_are_valid(profile: str) -> None:
    from mmreason.config import load_domain, load_recipe, with_task
    from mmreason.protocol import Protocol

    recipe = load_recipe(HERE / "recipe.yaml", profile)
    domain = with_task(load_domain(HERE.parent), recipe.task)
    protocol = Protocol.of(domain)
    chosen = [protocol.template(sample(family)) for family in ("when", "what")]
    assert len(set(chosen)) == (1 if profile == "cpu" else 2)
    choice = Answer(AnswerKind.CHOICE, "B", {"A": "bar", "B": "ring"})
    timed = Sample(
        "s", Source("nextgqa", "val", "", "0"), (Message.of(Role.USER, "?"),), choice, evidence={"windows": [[1, 2]]}
    )
    assert ("start_time" in protocol.template(timed)) == (profile != "cpu")
    assert set(rewards.settings_module.settings_of(recipe.options).model_dump()) >= {"dual", "temporal"}
