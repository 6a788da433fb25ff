"""R1-Router's step rewards: the cases of the released reward file, and what an episode is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Outcome, Stop

rows = load_module(Path(__file__).parent / "router_rows.py")
forms, rewards, own = rows.forms, rows.rewards, rows.own

QUERY = "who directed the strangler of the swamp?"


def plan(query: str, base: str, think: str = "<think>t</think>") -> str:
    return f"{think}<sub-question>{query}</sub-question><ret>{base}</ret>"


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        (plan(QUERY, "Text Retriever"), 1.0),
        (plan(QUERY.upper(), " text retriever "), 1.0),  # everything is read in lower case
        (plan(QUERY, "Table Retriever"), 0.5),
        (plan("gold price today", "Text Retriever"), 0.5),
        (plan(QUERY, "Text Retriever, Table Retriever"), 0.5),  # two bases: the similarity alone pays
        (plan(QUERY, "Text Retriever, None"), 0.0),
        (plan(QUERY, "Web Retriever"), 0.0),
        (plan(QUERY, "Text Retriever", think=""), 0.0),
        (f"<think>t</think><sub-question>{QUERY}</sub-question>", 0.0),
        ("", 0.0),
    ],
)
def test_a_plan_earns_half_for_the_question_and_half_for_the_base(text: str, reward: float) -> None:
    assert rewards.plan_worth(text, QUERY, "text retriever", own()).reward == pytest.approx(reward)


def test_none_against_none_is_full_and_none_against_a_question_keeps_its_similarity() -> None:
    done = plan("None", "None")
    assert rewards.plan_worth(done, "none", "none", own()).reward == 1.0
    assert rewards.plan_worth(done, QUERY, "text retriever", own()).reward == 0.0
    assert rewards.plan_worth(plan(QUERY, "None"), QUERY, "text retriever", own()).reward == 0.5


def test_halves_can_be_taken_apart() -> None:
    wrong_base, other = plan(QUERY, "Table Retriever"), plan("gold price", "Text Retriever")
    assert rewards.plan_worth(wrong_base, QUERY, "text retriever", own(w_query=0.0)).reward == 0.0
    assert rewards.plan_worth(other, QUERY, "text retriever", own(w_query=0.0)).reward == 0.5
    assert rewards.plan_worth(other, QUERY, "text retriever", own(w_route=0.0)).reward == 0.0


SENTENCE = "frank wisbar directed the film strangler of the swamp"


@pytest.mark.parametrize(
    ("said", "golds", "reward"),
    [
        ("Frank Wisbar", ["frank wisbar"], 1.0),
        ("it was Frank Wisbar, a German", ["frank wisbar"], 1.0),  # recall alone: more words cost nothing
        ("Wisbar", ["frank wisbar"], 0.0),  # a short gold is all or nothing
        ("frank wisbar", [SENTENCE], 2 / 7),  # a long one pays its share ("the" is no token)
        (SENTENCE, [SENTENCE], 1.0),
        ("wisbar", ["frank wisbar", "wisbar"], 1.0),
        ("frank", ["frank wisbar", "franz wysbar"], 0.0),  # several golds: all or nothing
        ("", ["frank wisbar"], 0.0),
    ],
)
def test_an_answer_earns_its_recall(said: str, golds: list[str], reward: float) -> None:
    text = f"<think>t</think><answer>{said}</answer>"
    assert rewards.answer_worth(text, golds, own()).reward == pytest.approx(reward)


def test_an_answer_needs_both_tags() -> None:
    assert rewards.answer_worth("<answer>frank wisbar</answer>", ["frank wisbar"], own()).reward == 0.0
    assert rewards.answer_worth("<think>t</think>frank wisbar", ["frank wisbar"], own()).reward == 0.0


def test_f1_is_not_gamed_by_long_answers() -> None:
    long = f"<think>t</think><answer>{SENTENCE} and much more that nobody asked for</answer>"
    assert rewards.answer_worth(long, [SENTENCE], own()).reward == 1.0
    assert rewards.answer_worth(long, [SENTENCE], own(long_gold="f1")).reward < 0.8


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (plan("a?", "Text Retriever"), ""),
        (plan("None", "None"), ""),
        (plan("None", "Text Retriever"), "None together"),
        (plan("a?", "None"), "None together"),
        (plan("a?", "Text Retriever, Table Retriever"), "one is allowed"),
        (plan("", "Text Retriever"), "empty"),
    ],
)
def test_what_can_be_carried_out_is_stricter_than_what_earns(text: str, why: str) -> None:
    found = forms.read_plan(text, own().names)
    assert not found.fault
    assert why in found.unusable and bool(why) == bool(found.unusable)


def test_an_episode_is_worth_its_final_answer_less_its_calls() -> None:
    sample = next(one for one in rows.made() if one.metadata["hops"] == 2 and not one.media)
    desk = rows.open_desk()
    sample = rows.taught(sample, desk)
    turns = [rows.trajectories.turn_of(step, desk.settings) for step in sample.evidence["trajectory"]]
    rollout = rows.played(sample, desk, turns)
    terms = rewards.router(rollout, sample, options={"r1_router": {"encoder": "words", "call_cost": 0.05}})
    assert terms.reward == pytest.approx(1.0 - 2 * 0.05) and terms.verdict.outcome is Outcome.RIGHT
    assert terms.parts["calls"] == 2 and terms.parts["plans"] == 3 and terms.parts["routed"] == 1.0
    earned = [terms.parts[rewards.turn_part(turn)] for turn in range(6)]
    assert earned == pytest.approx([0.95, 1.0, 0.95, 1.0, 1.0, 1.0])  # a call costs, the last plan asks nothing


def test_an_episode_without_a_final_answer_is_unread() -> None:
    sample, desk = rows.made()[0], rows.open_desk()
    turns = [plan("a?", "Text Retriever"), "<think></think><answer>x</answer>", "<think>cut"]
    rollout = rows.played(sample, desk, turns[:2], Stop.LENGTH)
    rollout.extras["said"].append(turns[2])
    terms = rewards.router(rollout, sample, options=rows.OPTIONS)
    assert terms.verdict.outcome is Outcome.UNREAD and terms.reward == 0.0
    assert rewards.kinds_of(rollout) == ["plan", "answer", "plan"]


def test_steps_without_a_teacher_are_told() -> None:
    sample, desk = rows.question(), rows.open_desk()
    with pytest.raises(UserError, match="q-1 has no trajectory"):
        rewards.turn_rewards(rows.played(sample, desk, [plan("None", "None")]), sample, desk.settings)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"shown": 20}, "shown 20 exceeds found 10"),
        ({"bases": {"none": {"tag": "x"}}}, "none of them 'none'"),
        ({"bases": {"a, b": {"tag": "x"}}}, "a comma parts"),
        ({"corrupted": ["Web"]}, "corrupted names"),
        ({"ask": "{question}"}, "has a hole beside"),
        ({"w_qery": 1.0}, "did you mean 'w_query'"),
    ],
)
def test_settings_that_make_no_sense(values: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        rows.settings.of({"r1_router": values})
