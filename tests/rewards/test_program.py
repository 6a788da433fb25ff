"""The program executor: fixed values, real FinQA rows, and errors that name what is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mmreason.records import Answer, AnswerKind, Outcome, Unread
from mmreason.rewards.grade import grade
from mmreason.rewards.program import ProgramError, execute, parse_cell, parse_program
from mmreason.suites.reference.finqa_program import (
    InvalidProgramError,
    execution_equal,
    program_equal,
    scalar_program,
    tokenize,
    value,
)

TABLE = [
    ["item", "2009", "2008"],
    ["revenue", "$ 1,200", "1,000"],
    ["loss", "-9 ( 9 )", "-4 ( 4 )"],
    ["margin", "12.5% ( 12.5 % )", "10 %"],
    ["other", "1", "2"],
    ["other", "30", "40"],
    ["notes", "see page 3", "1"],
]

VALUES = [
    ("ratio", "subtract(1200, 1000), divide(#0, 1000)", 0.2),
    ("constants", "multiply(3, const_100), add(#0, const_m1)", 299.0),
    ("percent argument", "multiply(12%, 200)", 24.0),
    ("thousands comma", "add(1,200, 1)", 1201.0),
    ("exp", "exp(2, 10)", 1024.0),
    ("greater", "greater(2, 1)", "yes"),
    ("not greater", "greater(1, 1)", "no"),
    ("five decimals", "divide(1, 3)", 0.33333),
    ("max", "table_max(revenue, none)", 1200.0),
    ("min of a cell cut at its parenthesis", "table_min(loss, none)", -9.0),
    ("percent cells", "table_sum(margin, none)", 0.225),
    ("last of rows with one name", "table_average(other, none)", 35.0),
    ("table results feed steps", "table_max(revenue, none), table_min(revenue, none), subtract(#0, #1)", 200.0),
]

ERRORS = [
    ("addd(1, 2)", "unknown operation 'addd' (did you mean 'add'?)"),
    ("divide(1, 0)", "divide(1, 0)"),
    ("add(1, #3)", "'#3' is no earlier step"),
    ("add(1, two)", "argument 'two' is no number"),
    ("add(1)", "takes two arguments"),
    ("add(1, 2", "no closing parenthesis"),
    ("add(1, 2) add(#0, 1)", "expected a comma"),
    ("table_max(revenues, none)", "no row 'revenues' (did you mean 'revenue'?)"),
    ("table_max(notes, none)", "cell 'see page 3' is no number"),
    ("greater(2, 1), add(#0, 1)", "is 'yes', not a number"),
    ("exp(-8, 0.5)", "no finite real number"),
    ("exp(10, 1000)", "exp(10, 1000)"),
    ("", "expected 'operation('"),
    ("__import__('os')", "unknown operation"),
    ("add(nan, 1)", "argument 'nan' is no number"),
    ("add(1, 2)" * 2000, "at most 4000"),
]


@pytest.mark.parametrize(("point", "program", "value"), VALUES, ids=[row[0] for row in VALUES])
def test_execute(point: str, program: str, value: float | str) -> None:
    assert execute(program, TABLE) == value


@pytest.mark.parametrize(("program", "message"), ERRORS)
def test_errors_name_what_is_wrong(program: str, message: str) -> None:
    with pytest.raises(ProgramError) as error:
        execute(program, TABLE)
    assert message in str(error.value)


def test_cells() -> None:
    assert [parse_cell(text) for text in ("$ 1,200", "12%", "(5)", "-", "nan", "3.5")] == [1200, 0.12, *[None] * 3, 3.5]


def test_steps_print_as_they_were_read() -> None:
    text = "table_max(total, net ( loss ), none), add(#0, 1)"
    assert [str(step) for step in parse_program(text)] == ["table_max(total, net ( loss ), none)", "add(#0, 1)"]


def _rows(folder: Path) -> list[dict[str, Any]]:
    if not (folder / "finqa").is_dir():
        pytest.skip("no FinQA rows in the folder of real data")
    rows = []
    for split in ("train", "val"):
        with gzip.open(folder / "finqa" / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows += [json.loads(line) for line in lines]
    return rows


def test_every_finqa_program_gives_its_answer(real_data: Path) -> None:
    rows = _rows(real_data)
    assert len(rows) == 883
    assert [row["id"] for row in rows if execute(row["program"], row["table"]) != row["exe_ans"]] == []


def test_official_scorer_accepts_every_gold(real_data: Path) -> None:
    for row in _rows(real_data):
        tokens = tokenize(row["program"])
        assert execution_equal(tokens, row["table"], row["exe_ans"]), row["id"]
        scalar = scalar_program(row["exe_ans"])
        assert execution_equal(scalar, [], row["exe_ans"]), row["id"]


PROGRAM_PAIRS = [
    ("add(1, 2)", "add(2, 1)", True),
    ("add(1, 2), add(#0, 3)", "add(2, 3), add(#0, 1)", True),
    ("multiply(2, 3)", "add(3, 3)", False),
    ("divide(10, 2)", "divide(10.0, 2)", False),
    ("divide(5, 2)", "multiply(5, const_0.5)", False),
    ("subtract(5, 3), divide(#0, 3)", "divide(5, 3), subtract(#0, const_1)", False),
    ("table_max(a, none), add(#0, 1)", "table_max(a, none), add(1, #0)", True),
    ("table_max(a, none)", "table_min(a, none)", False),
    ("greater(1, 2)", "greater(2, 1)", False),
]


@pytest.mark.parametrize(("gold", "predicted", "equal"), PROGRAM_PAIRS)
def test_program_equality(gold: str, predicted: str, equal: bool) -> None:
    assert program_equal(tokenize(gold), tokenize(predicted)) is equal


def test_official_traps() -> None:
    assert execution_equal(tokenize("divide(10.0, 2)"), [], 5.0)  # X12: executes, is another program
    reuse = ["table_max(", "other", "none", ")", "table_sum(", "#0", "none", ")", "EOF"]
    assert value(reuse, TABLE) == 70.0  # X19: cells of the previous table operation
    assert scalar_program(None) == ["add(", "0", "0", ")", "EOF"]
    assert value(scalar_program("yes"), []) == "yes"


@pytest.mark.parametrize("tokens", [["add(", "5", "3", ")"], ["add(", "$5", "3", ")", "EOF"], ["5", "EOF"]])
def test_official_scorer_cannot_execute(tokens: list[str]) -> None:
    with pytest.raises(InvalidProgramError):  # the first is X13: the last token is cut unseen
        value(tokens, [])


def test_program_answers_are_graded_by_their_value() -> None:
    answer = Answer(AnswerKind.PROGRAM, "table_max(revenue, none), divide(#0, 1000)")
    good = "<think>so</think><answer>divide(1200, 1000)</answer>"
    assert grade(good, answer, table=TABLE).outcome is Outcome.RIGHT
    assert grade(good.replace("1200", "1100"), answer, table=TABLE).outcome is Outcome.WRONG
    assert grade(good.replace("divide", "divde"), answer, table=TABLE).unread is Unread.PREDICTION
    assert grade(good, answer).unread is Unread.GOLD  # the gold needs its table
    assert grade("no block at all", answer).unread is Unread.GOLD  # whatever the output says
