"""Audits that any change of a grader must pass: constants, gold as prediction, re-rendered and perturbed golds.

Section 8e of the survey of verifiers. Item 7 there, a log of disagreements with a second implementation on live
rollouts, needs live rollouts and is not here.
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


def test_gold_as_prediction_on_math500(real_data: Path) -> None:
    for row in _rows(real_data, "math_text/math500.jsonl.gz"):
        gold = str(row["answer"])
        assert grade(f"\\boxed{{{gold}}}", Answer(AnswerKind.MATH, gold)).score == 1.0, gold


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


def test_prompt_echo_and_bare_shape_do_not_pay() -> None:
    echoes = [
        "Think between <think> and </think>, then answer as <answer>\\boxed{...}</answer>.",
        "<think>so</think><answer>\\boxed{}</answer>",
        "<think>so</think><answer>\\boxed{answer}</answer>",
        "<think>so</think><answer>\\boxed{...}</answer>",
    ]
    for kind, gold in ((AnswerKind.CHOICE, "A"), (AnswerKind.NUMBER, "5"), (AnswerKind.MATH, "5")):
        assert [grade(echo, Answer(kind, gold)).score for echo in echoes] == [0.0] * len(echoes)
