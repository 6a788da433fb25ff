"""Format rows of ours (F1-F15 are in hard_cases.yaml), and the released DianJin-R1 scorer beside what we want."""

from __future__ import annotations

import pytest

from mmreason.config.recipe import RewardSettings
from mmreason.records import Answer, AnswerKind
from mmreason.rewards.extract import has_thinking
from mmreason.rewards.format import check_format
from mmreason.rewards.terms import score
from mmreason.suites.reference.cflue import dianjin_reward

BOX = r"\boxed{B}"
GOOD = f"<think>so</think><answer>{BOX}</answer>"

FORMAT = [
    # ours: a tag quoted in the reasoning does no harm when the real block follows (DianJin-R1 rewards, last rows)
    ("quoted", f"<think>I must write <answer> and </answer> tags</think><answer>{BOX}</answer>", False, True),
    ("F13 not declared", f"so</think><answer>{BOX}</answer>", False, False),
    ("dots only", f"<think>...\u200b</think><answer>{BOX}</answer>", False, False),
    ("empty box", r"<think>so</think><answer>\boxed{}</answer>", False, False),
    ("open box", r"<think>so</think><answer>\boxed{B</answer>", False, False),
]


@pytest.mark.parametrize(("origin", "text", "opened", "expected"), FORMAT, ids=[row[0] for row in FORMAT])
def test_format(origin: str, text: str, opened: bool, expected: bool) -> None:
    check = check_format(text, opened_think=opened)
    assert check.ok is expected, check.why


def test_box_is_demanded_only_where_the_kind_needs_one() -> None:
    assert check_format("<think>so</think><answer>growth</answer>", needs_box=False).ok
    assert not check_format("<think>so</think><answer> </answer>", needs_box=False).ok


def _answer(block: str) -> str:
    return f"<think>so</think><answer>{block}</answer>"


def _choice(gold: str, **known: object) -> Answer:
    options = {letter: f"option {letter.lower()}" for letter in "ABCD"} | {"B": "Asset-backed Commercial paper"}
    return Answer(AnswerKind.CHOICE, gold, options=options, **known)  # type: ignore[arg-type]


DIANJIN = [
    ("order free", _answer(r"\boxed{BA}"), _choice("AB", multi=True), 1, 1),
    ("option text", _answer(r"\boxed{B. Asset-backed Commercial paper}"), _choice("B"), 0, 1),
    ("lower case", _answer(r"\boxed{b}"), _choice("B"), 0, 1),
    ("full width", _answer(r"\boxed{Ｂ}"), _choice("B"), 0, 1),
    ("word gold", _answer(r"\boxed{对}"), Answer(AnswerKind.JUDGEMENT, "对"), 1, 1),
    ("numbers", _answer(r"\boxed{14.2}"), Answer(AnswerKind.NUMBER, "93.1"), 1, 0),
    ("empty box", _answer(r"\boxed{}"), _choice("B"), 0, 0),
    ("answer first", rf"<answer>{BOX}</answer><think>so</think>", _choice("B"), 1, 0),
    ("text around", rf"Well <think>so</think> hm <answer>{BOX}</answer> ok", _choice("B"), 1, 0),
    ("empty think", rf"<think></think><answer>{BOX}</answer>", _choice("B"), 1, 0),
    ("quoted tag", rf"<think>an <answer> tag</think><answer>{BOX}</answer>", _choice("B"), 0, 1),
    ("last of several", _answer(r"\boxed{A} no, \boxed{B}"), _choice("B"), 1, 1),
    ("union if multi", _answer(r"\boxed{A}\boxed{B}"), _choice("AB", multi=True), 0, 1),
]


@pytest.mark.parametrize(("point", "text", "answer", "released", "ours"), DIANJIN, ids=[row[0] for row in DIANJIN])
def test_faults_of_the_released_reward_are_not_inherited(
    point: str, text: str, answer: Answer, released: int, ours: int
) -> None:
    assert dianjin_reward(text, answer.gold) == released
    assert score(text, answer, RewardSettings()).reward == ours


def test_modes_compose_the_two_terms() -> None:
    right_shapeless, answer = BOX, _choice("B")
    assert score(right_shapeless, answer, RewardSettings(mode="product")).reward == 0.0
    assert score(right_shapeless, answer, RewardSettings(mode="accuracy")).reward == 1.0
    settings = RewardSettings(mode="sum", w_format=0.1)
    assert score(right_shapeless, answer, settings).reward == 1.0
    assert score(_answer(r"\boxed{A}"), answer, settings).reward == pytest.approx(0.1)
    assert score(_answer(BOX), answer, settings).reward == pytest.approx(1.1)


def test_empty_reasoning_is_seen() -> None:
    assert not has_thinking(f"<think>\n</think><answer>{BOX}</answer>")
    assert not has_thinking(f"<answer>{BOX}</answer>")
    assert has_thinking(GOOD)
    assert has_thinking("<think>cut off in the middle")
    assert has_thinking(f"so</think><answer>{BOX}</answer>", opened_think=True)
    assert score(f"<think></think><answer>{BOX}</answer>", _choice("B"), RewardSettings()).think_empty
