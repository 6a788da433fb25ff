"""TAT-QA's scorer: its own unit table as facts, the traps of the survey, and the predictions file form."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.suites.reference import tatqa

LONG = (
    "wages and salaries, social security costs, pension and other costs and share-based payments, "
    "see note 10 of the Financial Statements"
)
UNIT_TABLE = [  # (type, gold, gold scale, prediction, predicted scale, exact match, F1) of tatqa_metric_test.py
    ("span", ["here is, a test"], "", "here is, a test", "", 1, 1),
    ("span", ["1234.1"], "million", "1234.1", "thousand", 0, 0),
    ("span", ["1234.1"], "million", "123", "thousand", 0, 0),
    ("span", ["12314.1"], "million", "12314.1", "million", 1, 1),
    ("multi-span", ["singapore", "china", "usa"], "", ["singapore", "china", "usa"], "", 1, 1),
    ("multi-span", ["singapore", "china", "usa"], "", ["china", "singapore", "usa"], "", 1, 1),
    ("multi-span", ["singapore", "china", "usa"], "", ["china", "singapore"], "", 0, 0.8),
    ("arithmetic", 123.2, "million", 123.2, "", 0, 0),  # X14
    ("arithmetic", 123.2, "million", 123200000, "", 1, 1),  # X15
    ("arithmetic", 123.2, "million", 123.2, "thousand", 0, 0),
    ("arithmetic", 123.2, "", 123.2, "", 1, 1),
    ("arithmetic", 123.22, "", 123.2, "", 0, 0),
    ("arithmetic", 123.2, "", 123.2010, "", 1, 1),
    ("count", 5, "", 5, "", 1, 1),
    ("arithmetic", 22.12, "percent", 0.2212, "", 1, 1),  # X16
    ("arithmetic", 22.12, "percent", 0.22121, "percent", 0, 0),
    ("arithmetic", 22.12, "percent", 22.1231, "", 0, 0),  # X17
    ("arithmetic", 22.12, "percent", 22.1231, "percent", 1, 1),
    ("span", [22.12], "million", "22.12", "million", 1, 1),
    ("span", [22.12], "million", "22.12", "", 0, 0),
    ("arithmetic", 22.12, "million", "test", "", 0, 0),
    ("arithmetic", 22.12, "million", ["1", "2"], "", 0, 0),
    ("span", [22.12], "percent", "-22.12", "", 0, 0),
    ("span", [22.12], "percent", "22.12%", "", 1, 1),
    ("span", [22.12], "", "22.12%", "", 0, 0),
    ("span", [22.12], "million", "$22.12", "", 0, 0),
    ("arithmetic", 22.12, "million", "$22.12", "", 0, 0),
    ("span", ["22.12"], "percent", ["-22.12"], "", 0, 0),
    ("span", ["$1.0 million"], "", ["['$1.0 million']"], "", 1, 1),
    ("span", [22.12], "", "$22.12", "", 1, 1),
    ("span", [22.12], "percent", "22.12%", "percent", 1, 1),
    ("count", 5, "", "abcd 5", "1", 0, 0),
    ("multi-span", ["$23,234", "$234.12"], "", ["234.12", "23,234"], "", 1, 1),
    ("multi-span", ["$35,120", "$24,159"], "", ["$24,159", "$35,120"], "", 1, 1),
    ("arithmetic", ["34.12"], "percent", ["0.3412"], "", 1, 1),
    ("span", [LONG], "", [LONG.partition(" see")[0].replace("share-based", "share - based")], "", 0, 0.67),
    ("arithmetic", ["34.12%"], "percent", ["0.3412"], "", 1, 1),
    ("arithmetic", ["34.12%"], "", ["0.3412"], "", 1, 1),
]
TRAPS = [
    ("arithmetic", 0, "percent", 0, "percent", 0, 0),  # X18: a falsy prediction
    ("arithmetic", 0, "percent", "0", "percent", 1, 1),
    ("span", ["x"], "", "", "", 0, 0),
    ("span", ["x"], "", [], "", 0, 0),
    ("arithmetic", 5, "", "(5)", "", 0, 0),  # brackets negate
    ("arithmetic", -5, "", "(5)", "", 1, 1),
    ("arithmetic", 2.5, "", "2.5 million", "", 0, 0),
    ("arithmetic", 2.5, "million", "2.5 million", "", 1, 1),  # the raw value is tried too
    ("span", ["The Company"], "", "company", "", 1, 1),
    ("arithmetic", 0.5, "", ".5", "", 0, 0),  # a number that begins with its point is none
]


def question(kind: str, gold: Any, scale: str) -> Sample:
    return Sample(
        id="tatqa-u1",
        source=Source("tatqa", "dev", "CC BY 4.0", "u1", "doc"),
        messages=(Message.of(Role.USER, "?"),),
        answer=Answer(AnswerKind.NUMBER, "1"),
        evidence={"answer": gold},
        metadata={"answer_type": kind, "scale": scale},
    )


@pytest.mark.parametrize(("kind", "gold", "gold_scale", "said", "scale", "exact", "f1"), UNIT_TABLE + TRAPS)
def test_unit_table(
    kind: str, gold: Any, gold_scale: str, said: Any, scale: str, exact: float, f1: float, tmp_path: Path
) -> None:
    sample = question(kind, gold, gold_scale)
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps({"u1": [said, scale]}), encoding="utf-8")
    ((output,),) = tatqa.predictions(path, [sample]).values()
    rng = random.Random(0)
    assert (tatqa.em.score(output, sample, rng), tatqa.f1.score(output, sample, rng)) == (exact, f1)
    assert tatqa.scale.score(output, sample, rng) == (bool(said) and scale == gold_scale)


@pytest.mark.parametrize(
    ("output", "fields"),
    [
        ("<think>so</think><answer>\\boxed{123.2 million}</answer>", ("123.2", "million")),
        ("<answer>\\boxed{22.1%}</answer>", ("22.1%", "")),
        ('["a", "b"]', (["a", "b"], "")),
        ('[["a", "b"], "million"]', (["a", "b"], "million")),
        ('{"answer": 5, "scale": "percent"}', (5, "percent")),
        ("", ("", "")),
    ],
)
def test_two_fields_are_read_from_outputs(output: str, fields: tuple[Any, str]) -> None:
    assert tatqa.fields(output) == fields


@pytest.mark.parametrize("entry", ["5", ["5"], ["5", 3], {"answer": 1}])
def test_an_entry_that_is_no_pair_is_refused(entry: Any, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"u1": entry}), encoding="utf-8")
    with pytest.raises(UserError, match=r"expected \[answer, scale\]"):
        tatqa.predictions(path, [question("span", ["x"], "")])


def test_totals_name_the_answer_types() -> None:
    samples = [question("span", ["x"], ""), question("count", 5, "")]
    scored = tatqa.em.run(["<answer>\\boxed{x}</answer>", None], samples)
    assert tatqa.em.total(scored) == {"em": 0.5, "count": 0.0, "span": 1.0}
