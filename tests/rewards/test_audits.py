"""Audits that any change of a grader must pass: constants, gold as prediction, re-rendered and perturbed golds.

Section 8e of the survey of verifiers, items 1 to 5; item 6 is test_same_verdict_everywhere.py. Item 7, a log of
disagreements with a second implementation on live rollouts, needs live rollouts and is not here.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmreason.config.recipe import RewardSettings
from mmreason.records import Answer, AnswerKind
from mmreason.rewards.grade import grade
from mmreason.rewards.terms import score

CONSTANTS = ("0", "0.0", "1", "100", "0.1", "5%", "yes", "no")


def _rows(folder: Path, *names: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in names:
        path = folder / name
        if not path.is_file():
            pytest.skip(f"no {name} in the folder of real data")
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows += [json.loads(line) for line in lines]
    return rows


def _boxed(answer: str) -> str:
    return f"<think>so</think><answer>\\boxed{{{answer}}}</answer>"


def test_constants_do_not_pay_on_finqa(real_data: Path) -> None:
    golds = [str(row["exe_ans"]) for row in _rows(real_data, "finqa/train.jsonl.gz", "finqa/val.jsonl.gz")]
    commonest = Counter(golds).most_common(1)[0][1]
    for constant in CONSTANTS:
        hits = sum(grade(_boxed(constant), Answer(AnswerKind.NUMBER, gold)).score for gold in golds)
        assert hits <= 2 * commonest, (constant, hits, commonest)
        assert hits / len(golds) <= 0.02, (constant, hits)


def test_gold_as_prediction_on_finqa(real_data: Path) -> None:
    for row in _rows(real_data, "finqa/train.jsonl.gz", "finqa/val.jsonl.gz"):
        gold = str(row["exe_ans"])
        assert grade(_boxed(gold), Answer(AnswerKind.NUMBER, gold)).score == 1.0, row["id"]


def test_gold_and_perturbed_gold_on_cflue(real_data: Path) -> None:
    for row in _rows(real_data, "cflue/knowledge.jsonl.gz"):
        gold, options = row["answer"], row["choices"]
        answer = Answer(AnswerKind.CHOICE, gold, options, multi="多项" in row["task"])
        assert grade(_boxed(gold), answer).score == 1.0, row["id"]
        assert grade(_boxed("、".join(reversed(gold))), answer).score == 1.0, row["id"]
        wrong = "".join(sorted(set(options) - set(gold)))
        assert grade(_boxed(wrong or gold[:-1]), answer).score == 0.0, row["id"]
        if len(gold) == 1 and Counter(options.values())[options[gold]] == 1:
            assert grade(_boxed(f"{gold}. {options[gold]}"), answer).score == 1.0, row["id"]


UNREADABLE_GOLDS: dict[str, set[str]] = {"math500": set(), "aime24": set(), "amc23": set()}
"""Golds that a set itself states in a form that cannot be read; none so far."""


@pytest.mark.parametrize("name", UNREADABLE_GOLDS)
def test_gold_as_prediction_on_mathematics(real_data: Path, name: str) -> None:
    missed = set()
    for row in _rows(real_data, f"math_text/{name}.jsonl.gz"):
        gold = str(row["answer"])
        if grade(f"\\boxed{{{gold}}}", Answer(AnswerKind.MATH, gold)).score != 1.0:
            missed.add(gold)
    assert missed == UNREADABLE_GOLDS[name]


def test_constants_do_not_pay_on_math500(real_data: Path) -> None:
    golds = [str(row["answer"]) for row in _rows(real_data, "math_text/math500.jsonl.gz")]
    commonest = Counter(golds).most_common(1)[0][1]
    for constant in ("0", "1", "2", "-1", "10", "1,2"):
        hits = sum(grade(f"\\boxed{{{constant}}}", Answer(AnswerKind.MATH, gold)).score for gold in golds)
        assert hits <= 2 * commonest, (constant, hits, commonest)


def test_constants_do_not_pay_on_cflue(real_data: Path) -> None:
    rows = _rows(real_data, "cflue/knowledge.jsonl.gz")
    answers = [Answer(AnswerKind.CHOICE, r["answer"], r["choices"], multi="多项" in r["task"]) for r in rows]
    commonest = Counter(answer.gold for answer in answers).most_common(1)[0][1]
    for constant in ("A", "B", "C", "D", "ABCD", "A or B", "对", "以上都对"):
        hits = sum(grade(_boxed(constant), answer).score for answer in answers)
        assert hits <= 2 * commonest, (constant, hits, commonest)


VALUES = st.integers(10_000, 99_999_999).map(lambda n: n / 10_000)


@given(value=VALUES, negative=st.booleans())
@settings(max_examples=150, deadline=None)
def test_rerendered_numbers_keep_their_verdict_and_perturbed_ones_lose_it(value: float, negative: bool) -> None:
    shown = -value if negative else value
    answer = Answer(AnswerKind.NUMBER, repr(shown))
    text = f"{value:.4f}"
    sign = "-" if negative else ""
    same = [
        sign + text,
        f"{sign}{value:,.4f}",
        f"{shown * 100:.2f}%",
        f"{shown * 100:.2f}\\%",
        f"\\text{{{sign}{text}}}",
        f"({text})" if negative else f"${text}",
        f"{sign}{text} shares",
        f"{sign}{text}".translate({ord(c): ord(c) + 0xFEE0 for c in "0123456789.-"}),
        f"{shown / 1e4:.8f}万",
    ]
    for rendering in same:
        assert grade(_boxed(rendering), answer).score == 1.0, rendering
    for factor in (-1, 10, 100, 0.1, 0.01, 1.02):
        assert grade(_boxed(f"{shown * factor:.6f}"), answer).score == 0.0, factor
    assert grade(_boxed(f"{sign}{text} or 3"), answer).score == 0.0


@given(gold=st.sets(st.sampled_from("ABCDE"), min_size=1), order=st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_letters_in_any_dress(gold: set[str], order: Any) -> None:
    letters = sorted(gold)
    order.shuffle(letters)
    answer = Answer(AnswerKind.CHOICE, "".join(sorted(gold)), dict.fromkeys("ABCDE", ""), multi=True)
    for joint in ("", ",", "、", " ", ", ", "，"):
        assert grade(_boxed(joint.join(letters)), answer).score == 1.0
        assert grade(_boxed(joint.join(letters).lower()), answer).score == 1.0
    united = "".join(f"\\boxed{{{letter}}}" for letter in letters)
    assert grade(f"<think>so</think><answer>{united}</answer>", answer).score == 1.0
    for other in "ABCDE":
        swapped = gold ^ {other}
        assert grade(_boxed("".join(sorted(swapped))), answer).score == 0.0


@given(text=st.text(alphabet=st.sampled_from([*"<think></answer>\\boxed{}5%AB, \n$^_()"]), max_size=60))
@settings(max_examples=300, deadline=None)
def test_noise_never_raises_and_pays_only_in_shape(text: str) -> None:
    for answer in (Answer(AnswerKind.CHOICE, "A", {"A": "x", "B": "y"}), Answer(AnswerKind.NUMBER, "5")):
        terms = score(text, answer, RewardSettings())
        assert terms.reward == terms.format * terms.accuracy
        assert terms.reward == 0.0 or terms.format == 1.0


OTHERS = {  # kind -> (gold, what the item knows, a wrong answer of the same form)
    AnswerKind.CHOICE: ("B", {"options": {"A": "one", "B": "two", "C": "three"}}, "C"),
    AnswerKind.NUMBER: ("12.5", {}, "13.5"),
    AnswerKind.JUDGEMENT: ("yes", {}, "no"),
    AnswerKind.MATH: ("\\frac{3}{7}", {}, "\\frac{4}{7}"),
    AnswerKind.SPAN: ("net income", {}, "gross profit"),
    AnswerKind.SET: ('["red", "green"]', {}, '["blue"]'),
    AnswerKind.FREE: ("prices rose", {}, "costs fell"),
    AnswerKind.INTERVAL: ("[[10, 20]]", {}, "[[30, 40]]"),
    AnswerKind.BOX: ("[0, 0, 10, 10]", {}, "[20, 20, 30, 30]"),
    AnswerKind.FRAMES: ("[1, 5]", {}, "[2]"),
    AnswerKind.REGRESSION: ("12.5", {}, "25"),
    AnswerKind.OCR: ("STOP", {}, "GO"),
    AnswerKind.PROGRAM: ("add(1, 2)", {}, "add(2, 2)"),
}


@pytest.mark.parametrize("kind", AnswerKind)
def test_gold_scores_and_a_concatenation_with_it_never_does(kind: AnswerKind) -> None:
    gold, known, wrong = OTHERS[kind]
    answer = Answer(kind, gold, **known)
    assert grade(f"<answer>{gold}</answer>", answer).credit == 1.0
    assert grade(f"<answer>{wrong}</answer>", answer).score == 0.0
    for joint in (" or ", " / ", " 或 ", "\nor\n", " | "):
        for pair in ((gold, wrong), (wrong, gold)):
            text = joint.join(pair)
            assert grade(f"<answer>{text}</answer>", answer).score == 0.0, text
            assert grade(text, answer, lenient=True).score == 0.0, text
            boxes = joint.join(f"\\boxed{{{one}}}" for one in pair)
            assert grade(f"<answer>{boxes}</answer>", answer).score == 0.0, boxes


SMALL = st.integers(2, 99)


@given(a=SMALL, b=SMALL, c=SMALL)
@settings(max_examples=30, deadline=None)
def test_rerendered_mathematics_keeps_its_verdict_and_perturbed_loses_it(a: int, b: int, c: int) -> None:
    fraction = Answer(AnswerKind.MATH, f"\\frac{{{a}}}{{{b}}}")
    for same in (f"\\dfrac{{{a}}}{{{b}}}", f"{a}/{b}", f"x = \\frac{{{a * c}}}{{{b * c}}}", f"$\\tfrac{{{a}}}{{{b}}}$"):
        assert grade(f"\\boxed{{{same}}}", fraction).score == 1.0, same
    for wrong in (f"-\\frac{{{a}}}{{{b}}}", f"\\frac{{{a * 10}}}{{{b}}}", f"\\frac{{{a}}}{{{b + 1}}}"):
        assert grade(f"\\boxed{{{wrong}}}", fraction).score == 0.0, wrong
    span = Answer(AnswerKind.MATH, f"[{a}, {a + b})")
    assert grade(f"\\boxed{{\\left[{a},{a + b}\\right)}}", span).score == 1.0
    for wrong in (f"[{a}, {a + b}]", f"({a}, {a + b})", f"[{a + b}, {a})"):
        assert grade(f"\\boxed{{{wrong}}}", span).score == 0.0, wrong


@given(start=st.integers(0, 5_000), length=st.integers(10, 600))
@settings(max_examples=100, deadline=None)
def test_rerendered_intervals_keep_their_verdict_and_moved_ones_lose_it(start: int, length: int) -> None:
    end = start + length
    answer = Answer(AnswerKind.INTERVAL, f"[[{start}, {end}]]")
    first, last = (f"{time // 60:02d}:{time % 60:02d}" for time in (start, end))
    for same in (
        f"{start}s to {end}s",
        f"<{start}> and <{end}>",
        f"{first} - {last}",
        f"from {start}.0 to {end}.0 seconds",
    ):
        assert grade(f"<answer>{same}</answer>", answer).credit == 1.0, same
    for wrong in (f"{end}s to {end + length}s", f"{end} - {start}", f"-{start + 1} - {end}"):
        assert grade(f"<answer>{wrong}</answer>", answer).credit == 0.0, wrong


PROMPTS = [
    "What is the ratio?\nThink between <think> and </think>, then answer as <answer>\\boxed{...}</answer>.",
    "Which one?\nA. one\nB. two\nC. three\nAnswer with the option's letter from the given choices directly.",
    "Which one?\nA. one\nB. two\nPut the final answer in \\boxed{}.",
    "When does it happen? The answer should be in the format of [start, end] in seconds.",
    "Is it true? Answer yes or no.",
]


@pytest.mark.parametrize("kind", AnswerKind)
def test_an_echo_of_the_prompt_does_not_pay(kind: AnswerKind) -> None:
    gold, known, _ = OTHERS[kind]
    for prompt in PROMPTS:
        for lenient in (False, True):
            assert grade(prompt, Answer(kind, gold, **known), lenient=lenient).credit == 0.0, prompt


def test_prompt_echo_and_bare_shape_do_not_pay() -> None:
    echoes = [
        "Think between <think> and </think>, then answer as <answer>\\boxed{...}</answer>.",
        "<think>so</think><answer>\\boxed{}</answer>",
        "<think>so</think><answer>\\boxed{answer}</answer>",
        "<think>so</think><answer>\\boxed{...}</answer>",
    ]
    for kind, gold in ((AnswerKind.CHOICE, "A"), (AnswerKind.NUMBER, "5"), (AnswerKind.MATH, "5")):
        assert [grade(echo, Answer(kind, gold)).score for echo in echoes] == [0.0] * len(echoes)
