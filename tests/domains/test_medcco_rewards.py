"""MedCCO's two rewards, its options and its mix of prompts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mmreason.config import load_domain
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.objectives.compose import load_methods
from mmreason.project import load_module
from mmreason.records import AnswerKind

made = load_module(Path(__file__).parent / "armed_batches.py")
making = load_module(Path(__file__).parents[1] / "data" / "making.py")
rewards = load_module(made.MEDICAL / "medcco" / "rewards.py")
curriculum = load_module(made.MEDICAL / "medcco" / "curriculum.py")
per_kind = load_module(made.MEDICAL / "medcco" / "per_kind.py")
closed_open = load_module(made.MEDICAL / "closed_open.py")
ORGANS = {"A": "liver", "B": "left lung", "C": "heart"}


def terms(said: str, sample: Any, **own: Any) -> Any:
    return rewards.reward(made.answered(said), sample, options={"medcco": {"encoder": "none", **own}})


def mixed(said: str, gold: str, **own: Any) -> Any:
    return rewards.mixed(said, gold, rewards.settings.of({"medcco": {"encoder": "none", **own}}))


@pytest.mark.parametrize(
    ("said", "lexical"),
    [
        ("left lung", 1.0),
        ("lung", (math.exp(-1) + 2 / 3) / 2),
        ("", 0.0),
        ("...", 0.0),
    ],
)
def test_overlap_vectors(said: str, lexical: float) -> None:
    assert mixed(said, "left lung").lexical == pytest.approx(lexical)


def test_order_blindness_fires_the_guard() -> None:
    found = mixed("right lung, left", "left lung, right")
    assert found.lexical == 1.0 and found.contradicts and found.value == 0.25
    assert mixed("right lung, left", "left lung, right", conflict_cap=1.0).value == 0.7


@pytest.mark.parametrize(("side", "lam", "value"), [("lex", 0.7, 0.35), ("sem", 0.7, 0.15), ("lex", 0.0, 0.0)])
def test_lambda_stands_on_either_side(side: str, lam: float, value: float) -> None:
    """Words "a mass" and "a lump" share one of two: Lex 0.5; nothing is compared in meaning here."""
    assert mixed("a mass", "a lump", lambda_on=side, lam=lam).value == pytest.approx(value)


def test_meaning_enters_with_the_rest_of_the_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewards.similar, "similarity", lambda said, gold, encoder: 0.8)
    assert mixed("a mass", "a lump").value == pytest.approx(0.7 * 0.5 + 0.3 * 0.8)
    found = terms("a mass", made.question("a lump"), lambda_on="sem")
    assert found.parts["reported"] == pytest.approx(0.59) and found.parts["open"] == pytest.approx(0.71)
    assert found.reward == pytest.approx(0.9 * 0.71 + 0.1)


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("B", 1.0),
        ("B.", 1.0),
        ("B. left lung", 1.0),
        ("left lung", 1.0),
        ("A", 0.0),
        ("A, B", 0.0),
        ("A or B", 0.0),
        ("left lung and heart", 0.0),
        ("", 0.0),
    ],
)
def test_closed_answers(said: str, right: float) -> None:
    sample = made.question("B", AnswerKind.CHOICE, options=ORGANS)
    found = terms(said, sample)
    assert found.reward == pytest.approx(0.9 * right + 0.1 * found.format)
    assert found.parts["closed"] == 1.0 and found.parts["open"] == 0.0


def test_yes_and_no_are_right_or_wrong_even_where_annotated_open() -> None:
    sample = made.question("yes", AnswerKind.JUDGEMENT, answer_type="open")
    assert [terms(said, sample).reward for said in ("yes", "no", "yes no")] == pytest.approx([1.0, 0.1, 0.1])


def test_an_answer_without_tags_earns_nothing() -> None:
    for sample in (made.question("lung"), made.question("B", AnswerKind.CHOICE, options=ORGANS)):
        assert rewards.reward(made.raw("lung B"), sample, options=made.NO_ENCODER).reward == 0.0


def test_long_open_answers_earn_half() -> None:
    gold = " ".join(f"word{number}" for number in range(33))
    assert terms(gold, made.question(gold)).reward == pytest.approx(0.9 * 0.5 + 0.1)


def test_exact_match_is_an_arm() -> None:
    found = [terms(said, made.question("left lung"), open_reward="exact").reward for said in ("the left lung", "lung")]
    assert found == pytest.approx([1.0, 0.1])


def batch(reward: list[float], closed: list[float], group: list[int]) -> Any:
    made_batch = made.scored([0.0] * len(reward), group=group, closed=closed)
    made_batch.reward = torch.tensor(reward, dtype=torch.float64)
    return made_batch


def step(method: Any, given_batch: Any, ctx: Any = None) -> list[float]:
    ctx = ctx or made.context()
    factors: list[float] = method.reward(given_batch, ctx).tolist()
    method.observe(given_batch, ctx)
    return factors


def test_reweighting_evens_out_the_kinds_after_a_step() -> None:
    method = per_kind.PerKind()
    mix = batch([0.0, 1.0, 0.5, 0.6], [1, 1, 0, 0], [0, 0, 1, 1])
    assert step(method, mix) == [1.0] * 4
    assert method.reward(mix, made.context()).tolist() == pytest.approx([1.0, 1.0, 10.0, 10.0])
    again = per_kind.PerKind()
    again.load(json.loads(json.dumps(method.state())))
    assert step(again, mix) == step(method, mix) and again.moments == method.moments


def test_a_kind_without_a_spread_does_not_explode() -> None:
    method = per_kind.PerKind()
    step(method, batch([0.5, 0.5], [0, 0], [0, 0]))
    assert method.factor("open") == 0.5 / 0.02 and method.factor("closed") == 1.0


def test_counting_alone_changes_nothing() -> None:
    method, ctx = per_kind.PerKind(per_kind.PerKind.Settings(scale=False)), made.context()
    mix = batch([0.0, 1.0, 0.6, 0.6], [1, 1, 0, 0], [0, 0, 1, 1])
    assert step(method, mix, ctx) == step(method, mix) == [1.0] * 4
    advantage = torch.tensor([-1.0, 1.0, 0.5, 0.5], dtype=torch.float64).unsqueeze(1).repeat(1, 2)
    assert method.transform(advantage, mix, ctx) is advantage
    told = {key.rpartition("/")[2]: value for key, value in ctx.logged.items()}
    assert told["closed_sd"] == 0.5 and told["open_flat"] == 1.0 and told["closed_flat"] == 0.0
    assert told["open_reward"] == pytest.approx(0.6) and told["closed_length"] == 2.0
    assert told["closed_pull"] == pytest.approx(2 / 3)


def pool(closed: int, opened: int) -> list[Any]:
    kinds = [made.question("yes", AnswerKind.JUDGEMENT)] * closed + [made.question("lung")] * opened
    return [SimpleNamespace(sample=sample) for sample in kinds]


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_the_share_of_closed_prompts_is_met(share: float, counts: list[int]) -> None:
    method = curriculum.Mix(curriculum.Mix.Settings(closed=share))
    drawn = [method.choose(pool(3, 5), count, made.context()) for count in counts]
    assert [len(one) for one in drawn] == counts
    closed = sum(index < 3 for one in drawn for index in one)
    assert abs(closed - share * sum(counts)) <= 1.0


def test_an_epoch_of_each_kind_holds_every_question_once_and_resumes() -> None:
    method = curriculum.Mix(curriculum.Mix.Settings(closed=0.5))
    first = method.choose(pool(4, 4), 4, made.context())
    again = curriculum.Mix(curriculum.Mix.Settings(closed=0.5))
    again.load(json.loads(json.dumps(method.state())))
    second = method.choose(pool(4, 4), 4, made.context())
    assert sorted(first + second) == list(range(8)) and again.choose(pool(4, 4), 4, made.context()) == second


def test_a_pool_without_the_kind_is_told() -> None:
    [active] = load_methods([{"medcco/curriculum.py:Mix": {"closed": 1.0}}], made.MEDICAL)
    with pytest.raises(UserError, match=r"wants 2 closed questions in step 1.*none of the 3 prompts"):
        active.method.choose(pool(0, 3), 2, made.context())


def test_plateau() -> None:
    rising = [step / 70 for step in range(70)]
    assert curriculum.plateau([0.5] * 70) and not curriculum.plateau(rising) and not curriculum.plateau([0.5] * 69)


def options_of(tmp_path: Path, *samples: Any) -> list[Any]:
    context = StepContext(making.recipe(None), load_domain(made.MEDICAL), None, tmp_path)
    return list(closed_open.with_options(samples, context))


def test_closed_questions_get_their_options(tmp_path: Path) -> None:
    asked = [
        made.question("no", AnswerKind.JUDGEMENT),
        made.question("Liver", asked="Which is bigger, lung, liver or heart?", answer_type="closed"),
        made.question("Axial", asked="what plane ?", answer_type="closed", content_type="Plane"),
        made.question("Coronal", asked="what plane is it ?", answer_type="closed", content_type="Plane"),
        made.question("lung"),
        made.question("MRI", asked="what is it ?", answer_type="closed", content_type="Modality"),
    ]
    asked = [replace(one, source=replace(one.source, document=f"picture {number}")) for number, one in enumerate(asked)]
    *rows, dropped = options_of(tmp_path, *asked)
    assert isinstance(dropped, Drop) and dropped.reason == "no_options"
    assert [sorted(row.answer.options.values()) for row in rows] == [
        ["no", "yes"],
        ["heart", "liver", "lung"],
        ["Axial", "Coronal"],
        ["Axial", "Coronal"],
        [],
    ]
    for row, sample in zip(rows[:4], asked[:4], strict=True):
        assert row.answer.options[row.answer.gold].lower() == sample.answer.gold.lower()
        assert row.metadata["free"]["gold"] == sample.answer.gold
        assert terms(row.answer.gold, row).reward == terms(sample.answer.gold, row).reward == pytest.approx(1.0)
    assert rows == options_of(tmp_path, *asked)[:5]


def test_the_order_of_yes_and_no_is_drawn_by_sample(tmp_path: Path) -> None:
    asked = [replace(made.question("yes", AnswerKind.JUDGEMENT), id=str(number)) for number in range(100)]
    golds = [row.answer.gold for row in options_of(tmp_path, *asked)]
    assert 30 < golds.count("A") < 70
