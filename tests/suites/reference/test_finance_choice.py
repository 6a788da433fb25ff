"""GPQA's readings and orders, CFLUE's extractor and weighted F1."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.suites.reference import cflue, gpqa

OPTIONS = {"A": "10 eV", "B": "the cat.", "C": "cyclopenta[c]pyridine", "D": "1/2"}
READINGS = [  # (output, simple-evals, EvalScope, lm-eval strict, lm-eval flexible)
    ("Answer: B", "B", "B", "[invalid]", "(B)"),
    ("answer: b", "b", None, "[invalid]", "[invalid]"),
    ("ANSWER: (B)", None, "B", "[invalid]", "(B)"),
    ("ANSWER: [LETTER]\nANSWER: C", "C", "C", "[invalid]", "(C)"),
    ("Answer: $D$", "D", "D", "[invalid]", "[invalid]"),
    ("The answer is (A).", None, "A", "(A)", "(A)"),
    ("The answer is A", None, "A", "", "[invalid]"),
    ("ANSWER: B, not C", "B", "B", "[invalid]", "(B)"),
    ("I take 10 eV", None, None, "[invalid]", "(A)"),
    ("A or B? It is THE CAT", None, None, "[invalid]", "(B)"),
    ("(Z)", None, None, "[invalid]", "(Z)"),
    ("", None, None, "[invalid]", "[invalid]"),
]


@pytest.mark.parametrize(("output", "simple", "scope", "strict", "flexible"), READINGS)
def test_readings(output: str, simple: str | None, scope: str | None, strict: str, flexible: str) -> None:
    assert gpqa.read_simple_evals(output) == simple
    assert gpqa.read_evalscope(output) == scope
    assert gpqa.read_strict(output) == strict
    assert gpqa.read_flexible(output, list(OPTIONS.values())) == flexible


def test_orders() -> None:
    orders = gpqa.simple_evals_orders(198)
    assert len(orders) == 792 and orders[:3] == [[3, 1, 0, 2], [3, 1, 2, 0], [2, 3, 0, 1]]
    assert gpqa.evalscope_order(" q? ") == gpqa.evalscope_order("q?")
    firsts = Counter(gpqa.evalscope_order(f"question {k}")[0] for k in range(400))
    assert min(firsts.values()) > 70


def item(name: str, gold: str, why: str = "") -> Sample:
    return Sample(
        id=f"cflue-{name}",
        source=Source("cflue", "dev", "", name),
        messages=(Message.of(Role.USER, "?"),),
        answer=Answer(AnswerKind.CHOICE, gold, dict.fromkeys("ABCD", "x"), multi=True, lang="zh"),
        evidence={"explanation": why} if why else {},
    )


def test_cflue_totals_and_results_file(tmp_path: Path) -> None:
    samples = [item("1", "A", "因为利率上升"), item("2", "AB"), item("3", "A"), item("4", "C")]
    replies = ["答案：A\n解析：因为利率上升", "答案：BA", "答案：B", "不知道"]
    path = tmp_path / "result.json"
    path.write_text(json.dumps([{"model_response": reply} for reply in replies]), encoding="utf-8")
    outputs = [one[0] for one in cflue.results(path, samples).values()]
    numbers = cflue.extractor.total(cflue.extractor.run(outputs, samples))
    assert numbers["acc"] == 0.25
    assert numbers["weighted_f1"] == pytest.approx(2 / 4 * (2 * 1 / (2 + 1)))  # sklearn: A has F1 2/3, the others 0
    path.write_text(json.dumps([{"model_response": "答案：A"}]), encoding="utf-8")
    with pytest.raises(UserError, match="1 rows without ids, the suite asks 4"):
        cflue.results(path, samples)


def test_cflue_order_matters_to_its_extractor_alone() -> None:
    rng = random.Random(0)
    assert not cflue.extractor.score("答案：DCA", item("1", "ACD"), rng)
    assert cflue.dianjin.score("\\boxed{DCA}", item("1", "ACD"), rng)
    assert cflue.read_letters("答案：：B") == "B" and cflue.read_letters("  答案：A、B  ") == "AB"
