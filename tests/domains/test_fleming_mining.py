"""Mining at exact ratios, blends, the end of stage 1, tiers, and the reward's cases."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from mmreason.config.recipe import Sampling
from mmreason.data.selection import Trial
from mmreason.data.step import Drop
from mmreason.errors import UserError
from mmreason.objectives.method import Context
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

ROOT = Path(__file__).parents[2]
FLEMING = ROOT / "domains" / "medical" / "fleming_r1"
making = load_module(ROOT / "tests" / "data" / "making.py")
in_units = load_module(FLEMING / "in_units.py")
mining = load_module(FLEMING / "mining.py")
rewards = load_module(FLEMING / "rewards.py")
settings = load_module(FLEMING / "settings.py")
tiers = load_module(FLEMING / "tiers.py")
Rule = settings.MiningSettings


def item(name: str, **meta: object) -> Sample:
    answer = Answer(AnswerKind.CHOICE, "B", {"A": "gout", "B": "flu", "C": "A patient's cold"})
    source = Source("made", "train", "Apache-2.0", name)
    return Sample(name, source, (Message.of(Role.USER, "which ?"),), answer, metadata=dict(meta))


def answered(right: int, of: int = 8) -> list[Trial]:
    return [Trial("", float(place < right), place < right, False) for place in range(of)]


def test_sides_by_hand() -> None:
    rates = {"a": 0, "b": 1, "c": 2, "d": 6, "e": 7, "f": 8}
    samples = [item(name) for name in rates]
    mined = mining.mine(samples, {name: answered(right) for name, right in rates.items()}, Rule(), 0)
    assert {row["id"]: row["side"] for row in mined.rows} == {
        "a": "wrong",
        "b": "wrong",
        "c": "middle",
        "d": "middle",
        "e": "right",
        "f": "right",
    }
    assert sorted(mined.kept) == ["a", "b", "c", "d", "e", "f"] and mined.unsolved == {"a": 1}


def test_the_ratio_is_exact_for_any_outcomes() -> None:
    rng = random.Random(5)
    for seed in range(60):
        samples = [item(f"s{number}", tier=rng.choice(["easy", "difficult"])) for number in range(rng.randint(12, 90))]
        trials = {sample.id: answered(rng.choice((0, 0, 1, 3, 7, 8))) for sample in samples}
        rule = Rule(right=rng.randint(0, 2), wrong=rng.randint(1, 3), keep=rng.choice((None, 9)))
        size = rule.right + rule.wrong
        solved = {name for name, group in trials.items() if sum(one.right for one in group) >= 7}
        if rule.right and len(solved) < rule.right:
            continue
        kept = mining.mine(samples, trials, rule, seed).kept
        assert len(kept) == len(set(kept)) and len(kept) % size == 0 and len(kept) <= (rule.keep or len(samples))
        for start in range(0, len(kept), size):
            assert sum(name in solved for name in kept[start : start + size]) == rule.right
        rooms = [len(solved) // rule.right] if rule.right else []
        rooms += [(len(samples) - len(solved)) // rule.wrong] + ([rule.keep // size] if rule.keep else [])
        assert len(kept) == size * min(rooms)
        assert kept == mining.mine(samples, trials, rule, seed).kept


def test_difficult_failures_are_drawn_about_twice_as_often() -> None:
    samples = [item(f"w{number}", tier="difficult" if number % 2 else "easy") for number in range(200)]
    samples += [item(f"r{number}") for number in range(50)]
    trials = {sample.id: answered(8 if sample.id[0] == "r" else 0) for sample in samples}
    drawn: Counter[str] = Counter()
    for seed in range(100):
        kept = mining.mine(samples, trials, Rule(keep=30), seed).kept
        drawn.update(next(one.metadata.get("tier", "right") for one in samples if one.id == name) for name in kept)
    assert drawn["right"] == 1000 and 1.7 < drawn["difficult"] / drawn["easy"] < 2.2


def test_an_item_never_solved_with_a_doubted_label_is_parked_the_second_time() -> None:
    samples = [item("bad", label_audit={"flagged": True}), item("hard"), item("new"), item("ok")]
    trials = {"bad": answered(0), "hard": answered(0), "new": answered(1), "ok": answered(8)}
    first = mining.mine(samples, trials, Rule(), 0)
    assert first.unsolved == {"bad": 1, "hard": 1} and {row["side"] for row in first.rows} == {"wrong", "right"}
    second = mining.mine(samples, trials, Rule(), 1, first.unsolved)
    assert second.unsolved == {"bad": 2, "hard": 2} and second.counts()["parked"] == 1
    assert sorted(second.kept) == ["hard", "new", "ok"]
    again = mining.mine(samples, {**trials, "bad": answered(2)}, Rule(), 1, second.unsolved)
    assert "bad" not in again.unsolved  # a right answer begins the count anew


def test_a_side_that_is_too_small_is_one_line() -> None:
    samples = [item("a"), item("b")]
    with pytest.raises(UserError, match=r"right : wrong = 1 : 2 found 0 solved and 2 other") as caught:
        mining.mine(samples, {"a": answered(0), "b": answered(0)}, Rule(), 0)
    assert "\n" not in str(caught.value)
    assert mining.mine(samples, {"a": answered(0), "b": answered(0)}, Rule(right=0), 0).counts()["wrong_kept"] == 2


def test_the_pool_carries_rates_and_facts() -> None:
    samples = [item("a"), item("b"), item("c")]
    trials = {"a": answered(0), "b": answered(2), "c": answered(8)}
    drawn = mining.pool(samples, trials, options={}, seed=0, before={})
    assert {one.id: (one.difficulty, one.metadata["mined_rate"]) for one in drawn.kept} == {
        "a": (1.0, 0.0),
        "b": (0.75, 0.25),
        "c": (0.0, 1.0),
    }
    counts = {"wrong": 1, "middle": 1, "right": 1, "wrong_kept": 1, "middle_kept": 1, "right_kept": 1}
    assert drawn.facts == {"counts": counts, "unsolved": {"a": 1}} and [row["id"] for row in drawn.rows] == list("abc")
    again = mining.pool(samples, trials, options={}, seed=1, before=drawn.facts)
    assert again.facts["unsolved"] == {"a": 2}
    alone = mining.pool(samples, trials, options={"fleming_r1": {"mining": {"right": 0}}}, seed=0, before={})
    assert {one.id for one in alone.kept} == {"a", "b"}


def test_every_step_takes_whole_units_in_order() -> None:
    pool = list(range(9))
    order = in_units.InUnits()
    steps = [order.choose(pool, 6, Context(step, 3, 0, 8, Sampling())) for step in (1, 2, 3)]
    assert steps == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 0, 1, 2], [3, 4, 5, 6, 7, 8]]


def test_blends_are_exact() -> None:
    samples = [item(f"e{n}", tier="easy") for n in range(7)] + [item(f"m{n}", tier="moderate") for n in range(4)]
    samples += [item("d0", tier="difficult")]
    made = mining.blend(samples, lambda one: one.metadata["tier"], mining.STAGE_ONE["text"], 0)
    assert Counter(one.metadata["tier"] for one in made) == {"easy": 4, "moderate": 4}
    figure = mining.blend(samples, lambda one: one.metadata["tier"], mining.STAGE_ONE["figure"], 0)
    assert Counter(one.metadata["tier"] for one in figure) == {"easy": 1, "difficult": 1}
    with pytest.raises(UserError, match="'easy': 7, 'hard': 0"):
        mining.blend(samples, lambda one: one.metadata["tier"], {"easy": 1, "hard": 1}, 0)


def test_a_set_is_blended_where_the_stage_says_so(tmp_path: Path) -> None:
    samples = [item(f"e{n}", tier="easy") for n in range(5)] + [item(f"m{n}", tier="moderate") for n in range(3)]
    samples += [item("d0", tier="difficult"), item("public")]

    def through(blend: str) -> list[Sample | Drop]:
        made = making.context(tmp_path, None)
        recipe = made.recipe.model_copy(update={"options": {"fleming_r1": {"blend": blend}}})
        return list(mining.blended(samples, replace(made, recipe=recipe)))

    assert through("all") == samples
    made = through("text")
    kept = [one for one in made if isinstance(one, Sample)]
    assert Counter(one.metadata.get("tier", "none") for one in kept) == {"none": 1, "easy": 3, "moderate": 3}
    dropped = Counter((one.reason, one.detail) for one in made if isinstance(one, Drop))
    assert dropped == {("beyond_text", "easy"): 2, ("beyond_text", "difficult"): 1}
    assert through("text") == made


def test_stage_one_ends_when_rewards_are_sparse_or_grow_no_more() -> None:
    rule = settings.PlateauSettings()
    rising = [0.2 + 0.01 * step for step in range(70)]
    assert mining.plateau([0.6] * 70, rising, rule) == ""
    assert mining.plateau([0.6] * 50 + [0.3] * 20, rising, rule) == "sparse"
    assert mining.plateau([0.3] * 19, rising[:19], rule) == ""  # too early to tell
    assert mining.plateau([0.6] * 70, [0.5] * 70, rule) == "no_growth"
    assert mining.plateau([0.6] * 69, [0.5] * 69, rule) == ""


def test_tiers_by_rule() -> None:
    table = {(hops, tail): tiers.by_rule(hops, tail).value for hops in (1, 2, 3) for tail in (False, True)}
    assert table == {
        (1, False): "easy",
        (1, True): "moderate",
        (2, False): "moderate",
        (2, True): "difficult",
        (3, False): "difficult",
        (3, True): "difficult",
    }


def test_pass_rates_stand_beside_the_tier() -> None:
    samples = tiers.with_pass_rates(
        [item("a", tier="easy"), item("b", tier="easy")], {"a": answered(2), "b": answered(8)}, "m1"
    )
    samples = tiers.with_pass_rates(samples, {"a": answered(4), "b": answered(8)}, "m2")
    assert samples[0].metadata == {"tier": "easy", "pass_rate": {"m1": 0.25, "m2": 0.5}}
    assert tiers.table(samples, "m1") == {"easy": {"items": 2, "pass_rate": 0.625}}


CASES = [
    ("<think>so</think><answer>B</answer>", 1, 1),
    ("<think>so</think><answer>\\boxed{B}</answer>\n", 1, 1),
    ("<think>so</think><answer>(B)</answer>", 1, 1),
    ("<think>so</think><answer>B.</answer>", 1, 1),
    ("<think>so</think><answer>B) flu</answer>", 1, 1),
    ("<think>so</think><answer>  FLU </answer>", 1, 1),
    ("<think>so</think><answer>A</answer>", 0, 1),
    ("<think>so</think><answer>A and B</answer>", 0, 1),
    ("<think>so</think><answer>A patient's cold</answer>", 0, 1),
    ("<think>so</think><answer>D</answer>", 0, 1),
    ("<think>so</think><answer></answer>", 0, 0),
    ("<think> </think><answer>B</answer>", 1, 0),
    ("<think>so</think><answer>B</answer> done", 1, 0),
    ("<think>so</think><think>x</think><answer>B</answer>", 1, 0),
    ("<think>so</think><answer>B</answer><answer>B</answer>", 1, 0),
    ("<answer>B</answer>", 1, 0),
    ("<think>B", 0, 0),
]
"""Output, right, well-formed."""


def rollout(text: str, stop: Stop = Stop.EOS) -> Rollout:
    return Rollout((1,), (2,), (0.0,), text, stop)


@pytest.mark.parametrize(("text", "right", "formed"), CASES)
def test_the_reward_is_the_product(text: str, right: int, formed: int) -> None:
    terms = rewards.verifiable(rollout(text), item("a"), options={})
    assert (terms.format, terms.reward) == (formed, right * formed)
    assert not formed or terms.accuracy == right
    credit = rewards.verifiable(rollout(text), item("a"), options={"fleming_r1": {"format_credit": 0.1}})
    assert credit.reward == (1.0 if right and formed else 0.1 * formed)


def test_a_cut_answer_earns_nothing_and_sets_of_letters_are_all_or_nothing() -> None:
    whole = "<think>so</think><answer>B</answer>"
    cut = rewards.verifiable(rollout(whole, Stop.LENGTH), item("a"), options={"fleming_r1": {"format_credit": 0.1}})
    assert (cut.reward, cut.format, cut.accuracy) == (0.0, 0.0, 0.0)
    answer = Answer(AnswerKind.CHOICE, "AC", {"A": "x1", "B": "x2", "C": "x3"}, multi=True)
    several = Sample("m", item("m").source, item("m").messages, answer)
    for said, earned in (("CA", 1.0), ("A, C", 1.0), ("A", 0.0), ("ABC", 0.0)):
        text = f"<think>so</think><answer>{said}</answer>"
        assert rewards.verifiable(rollout(text), several, options={}).reward == earned


def test_settings_refuse_what_cannot_be() -> None:
    for options, message in (
        ({"mining": {"wrong_most": 0.9}}, "must lie below"),
        ({"mining": {"right": 0, "wrong": 0}}, "both 0"),
        ({"format_credits": 0.1}, "did you mean 'format_credit'"),
    ):
        with pytest.raises(UserError, match=message):
            settings.settings_of({"fleming_r1": options})
