"""FinQA's, ConvFinQA's and Program-of-Thoughts' scorers: measured values, traps, the predictions file form."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.rewards.grade import grade
from mmreason.suites.reference import convfinqa, finqa, pot
from mmreason.suites.reference.finqa_program import (
    InvalidProgramError,
    execution_equal,
    program_equal,
    scalar_program,
    tokenize,
    value,
)

TABLE = [["item", "2009"], ["revenue", "$ 1,200"], ["loss", "-9 ( 9 )"], ["margin", "12.5% ( 12.5 % )"], ["loss", "-7"]]
VALUES = [  # token list without EOF -> value, None for "n/a"; as the original executes them
    ("add(1, 2)", 3.0),
    ("divide(1, 3)", 0.33333),
    ("divide(1, 0)", None),
    ("exp(-1, 0.5)", None),
    ("add(12%, const_m1)", -0.88),
    ("add(1,000, const_100)", 1100.0),
    ("greater(2, 1)", "yes"),
    ("greater(2, 1), add(#0, 1)", None),
    ("table_sum(loss, none)", -7.0),  # the last row of that name
    ("table_max(margin, none)", 0.125),
    ("table_max(item, none)", 2009.0),
    ("table_max(absent, none)", None),
    ("table_max(revenue, none), table_sum(#0, none)", 1200.0),
    ("table_sum(#0, none)", None),
    ("add(#0, 1)", None),
    ("multiply(nan, 1)", None),
    ("add($5, 3)", None),
    ("unknown(5, 3)", None),
    ("add(1_0, 2)", 12.0),
]


@pytest.mark.parametrize(("program", "expected"), VALUES)
def test_values(program: str, expected: float | str | None) -> None:
    if expected is not None:
        assert value(tokenize(program), TABLE) == expected
    elif "nan" in program:
        assert not execution_equal(tokenize(program), TABLE, float("nan"))
    else:
        with pytest.raises(InvalidProgramError):
            value(tokenize(program), TABLE)


def test_token_traps() -> None:
    assert tokenize("table_max(a, b, none)") == ["table_max(", "a", "b", "none", ")", "EOF"]
    for tokens in (
        ["add(", "1", "2)", ")", "EOF"],
        ["add", "1", "2", ")", "EOF"],
        ["add(", "1", "2", "EOF"],
        [],
        ["EOF"],
    ):
        assert not execution_equal(tokens, [], 3.0), tokens
    second = tokenize("add(1, 2), table_max(a, none)")
    assert not program_equal(second, tokenize("table_max(a, none)"))  # one step text begins with "|"
    assert not program_equal(tokenize("add(1, 2)"), tokenize("add(#0, 2)"))


def test_a_bare_number_is_a_program_in_convfinqa_alone() -> None:
    assert value(["206588", "EOF"], [], bare=True) == 206588.0
    assert value(["12%", "EOF"], [], bare=True) == 0.12
    assert not execution_equal(["206588", "EOF"], [], 206588.0)
    assert program_equal(["5", "EOF"], ["5", "EOF"], bare=True)
    assert not program_equal(["5", "EOF"], ["5.0", "EOF"], bare=True)


def sample(name: str, gold: float | str, program: str) -> Sample:
    return Sample(
        id=f"finqa-{name}",
        source=Source("finqa", "test", "MIT", name),
        messages=(Message.of(Role.USER, "?"),),
        answer=Answer(AnswerKind.NUMBER, str(gold)),
        evidence={"program": program, "table": TABLE, "exe_ans": gold},
    )


def test_predictions_are_divided_by_those_given(tmp_path: Path) -> None:
    samples = [sample("a", 3.0, "add(1, 2)"), sample("b", 5.0, "divide(10, 2)"), sample("c", "yes", "greater(2, 1)")]
    rows = [{"id": "a", "predicted": tokenize("add(2, 1)")}, {"id": "b", "predicted": tokenize("divide(10.0, 2)")}]
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    found = finqa.predictions(path, samples)
    outputs = [found.get(one.id, [None])[0] for one in samples]
    assert finqa.execution.total(finqa.execution.run(outputs, samples)) == {"acc": 1.0, "of_all": pytest.approx(2 / 3)}
    assert finqa.program.total(finqa.program.run(outputs, samples)) == {"acc": 0.5, "of_all": pytest.approx(1 / 3)}
    assert all(grade(text, one.answer).score for text, one in zip(outputs, samples, strict=True) if text)


def test_predictions_need_tokens(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps([{"id": "a", "predicted": "add(1, 2)"}]), encoding="utf-8")
    with pytest.raises(UserError, match="expected a list of tokens"):
        finqa.predictions(path, [sample("a", 3.0, "add(1, 2)")])


def test_convfinqa_predictions_by_conversation(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps([{"id": "Single_A", "predicted": ["7", "EOF"]}]), encoding="utf-8")
    one = sample("Single_A#2", 7.0, "")
    ((output,),) = convfinqa.predictions(path, [one]).values()
    assert convfinqa.execution.score(output, one, random.Random(0))


LENIENT = [  # (prediction, gold, lenient, code)
    (0.0, 1.42403, True, False),
    (0.0, 5.5, False, False),
    (0.0, 0.04, True, True),
    (5.0, 500.0, True, False),
    (93.5, 0.93464, True, False),
    (0.9346, 0.93464, True, True),
    ("yes", "yes", True, True),
    ("no", 1.0, False, False),
    (None, 1.0, False, False),
    (2.0, 2.04, True, True),
]


@pytest.mark.parametrize(("said", "gold", "lenient", "code"), LENIENT)
def test_program_of_thoughts_rule(said: float | str | None, gold: float | str, lenient: bool, code: bool) -> None:
    assert (pot.same(said, gold, lenient=True), pot.same(said, gold)) == (lenient, code)


def test_bridge_of_percentages() -> None:
    one = sample("a", 0.935, "divide(93.5, 100)")
    assert finqa.scalar.score("<answer>\\boxed{93.5%}</answer>", one, random.Random(0))
    assert scalar_program("no") == ["greater(", "0", "1", ")", "EOF"]
