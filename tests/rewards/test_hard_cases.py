"""All 127 hard cases of the survey of open verifiers, from one table: hard_cases.yaml."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmreason.records import Answer, AnswerKind, Unread
from mmreason.rewards.format import check_format
from mmreason.rewards.grade import grade
from mmreason.rewards.overlap import overlap
from mmreason.rewards.program import ProgramError, execute
from mmreason.suites.reference.finqa_program import execution_equal, program_equal, tokenize

ROWS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "hard_cases.yaml").read_text("utf-8"))["rows"]
NUMBER_OF_ROWS = {"M": 40, "N": 29, "C": 24, "X": 19, "F": 15}


def test_the_table_is_whole() -> None:
    ids = [f"{letter}{number}" for letter, count in NUMBER_OF_ROWS.items() for number in range(1, count + 1)]
    assert [row["id"] for row in ROWS] == ids and len(ids) == 127
    assert Counter(row["from"] for row in ROWS) == {"8a": 40, "8b": 29, "8c": 24, "8d": 19, "4": 15}


def test_a_row_that_differs_from_the_survey_says_why() -> None:
    differing = [row["id"] for row in ROWS if row.get("sheet", row["expected"]) != row["expected"]]
    assert differing == [row["id"] for row in ROWS if "why" in row] == ["X13", "X14"]


def _credit(row: dict[str, Any]) -> float:
    """What an output earns: 1 or 0, or the partial credit of kinds that have it."""
    if row["kind"] == "format":
        return float(check_format(row["output"], opened_think=row.get("opened_think", False)).ok)
    known = {key: row[key] for key in ("options", "multi", "asks_percent", "scale") if key in row}
    answer = Answer(AnswerKind(row["kind"]), row["gold"], **known)
    whole = row.get("bare") or "<answer>" in row["output"]
    output = row["output"] if whole else f"<think>so</think>\n<answer>{row['output']}</answer>"
    verdict = grade(output, answer, lenient=row.get("lenient", False), table=row.get("table"))
    if "unread" in row:
        assert verdict.unread is Unread(row["unread"])
    return verdict.credit


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_hard_case(row: dict[str, Any]) -> None:
    if "at_most" in row:
        assert _credit(row) <= row["at_most"], row["point"]
    else:
        assert _credit(row) == pytest.approx(row["expected"], abs=1e-12), row["point"]


def test_unboxed_answers_count_only_in_lenient_mode() -> None:
    for output in ("The answer is **73**", "**Final Answer: 73**"):  # M28, M29
        assert grade(output, Answer(AnswerKind.MATH, "73")).unread is Unread.PREDICTION


def test_empty_gold_is_unread_not_wrong() -> None:
    for kind in set(AnswerKind):  # M31, C12, X8
        assert grade(r"\boxed{}", Answer(kind, "")).unread is Unread.GOLD, kind
        assert grade(r"\boxed{B}", Answer(kind, "")).unread is Unread.GOLD, kind


def test_free_text_overlap_measures_what_the_verdict_credits() -> None:
    assert overlap("cat", "cat") == 1.0  # X9
    assert overlap("revenue did rise", "revenue did not rise") <= 0.3  # X11
    assert overlap("", "") == 0.0  # the free-text twin of X8


def test_official_program_rule_on_the_same_rows() -> None:
    gold = tokenize("divide(10, 2)")
    assert not program_equal(gold, tokenize("divide(10.0, 2)"))  # X12
    without_end = [token for token in tokenize("add(5, 3)") if token != "EOF"]
    assert not execution_equal(without_end, [], 8.0)  # X13: the closing parenthesis is cut


def test_table_operation_on_a_step_is_invalid() -> None:
    with pytest.raises(ProgramError, match="takes a row name"):  # X19
        execute("table_max(a, none), table_sum(#0, none)", [["h", "1"], ["a", "2"]])
