from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chat_server import completion, send_json, serve
from making import choice, context, endpoint, sample

from mmreason.data.open_questions import to_open
from mmreason.data.step import Drop
from mmreason.records import AnswerKind, Sample

OPTIONS = ["货币市场", "债券市场", "商品市场"]


def open_one(one: Sample, folder: Path, **more: Any) -> Sample | Drop:
    (made,) = to_open([one], context(folder), **more)
    return made


KEPT = [
    ("短期资金融通的市场是（）。", "短期资金融通的市场是什么？", "blank at the end"),
    ("短期资金在哪个市场融通？", "短期资金在哪个市场融通？", "already a question"),
    ("短期资金融通的市场是____", "短期资金融通的市场是什么？", "an underlined blank"),
]


@pytest.mark.parametrize(("stem", "expected", "origin"), KEPT)
def test_stems_that_stand_alone(tmp_path: Path, stem: str, expected: str, origin: str) -> None:
    source = choice("k1", stem, OPTIONS, "A", lang="zh", evidence={"explanation": "因为短期。"}, document="d")
    made = open_one(source, tmp_path)
    assert isinstance(made, Sample) and made.question == expected, origin
    assert made.id == "k1-open" and made.metadata["twin_of"] == "k1" and made.metadata["rewritten_by"] == "rule"
    assert made.answer.kind is AnswerKind.FREE and made.answer.gold == "货币市场" and not made.answer.options
    assert made.evidence == source.evidence and made.source == source.source


DROPPED = [
    (choice("k", "下列属于货币市场的是（）。", OPTIONS, "A"), "points_at_options", "guard (a)"),
    (choice("k", "Which of the following is a market?", OPTIONS, "A"), "points_at_options", "guard (a), English"),
    (choice("k", "关于债券，说法正确的是（）。", OPTIONS, "A"), "points_at_options", "a choice among statements"),
    (choice("k", "（）是短期资金融通的（）。", OPTIONS, "A"), "stem_needs_options", "two blanks"),
    (choice("k", "在（）市场上融通短期资金。", OPTIONS, "A"), "stem_needs_options", "a blank inside"),
    (choice("k", "利率上升时国债的价格（）。", OPTIONS, "A"), "stem_needs_options", "the blank is a clause"),
    (choice("k", "短期资金的市场", OPTIONS, "A"), "stem_needs_options", "neither question nor blank"),
    (choice("k", "市场是（）。", ["A项和B项", "x", "y"], "A"), "option_letters", "guard (b) in the reference"),
    (choice("k", "市场是（）。", ["以上都对", "x", "y"], "A"), "option_refers_to_options", "all of the above"),
    (choice("k", "市场有（）。", OPTIONS, "AB", multi=True), "several_answers", "multiple answers"),
    (choice("k", "对吗？", ["对", "错"], "A"), "true_or_false", "two options"),
    (sample("k"), "not_multiple_choice", "a number"),
]


@pytest.mark.parametrize(("one", "reason", "origin"), DROPPED)
def test_guards(tmp_path: Path, one: Sample, reason: str, origin: str) -> None:
    made = open_one(one, tmp_path)
    assert isinstance(made, Drop) and made.reason == reason, origin


REWRITE = {"standalone": True, "question": "短期资金在哪个市场融通？", "answer": "货币市场"}
CONFIRM = {"unique": True, "covered": True}
MODEL_CASES = [
    (REWRITE, CONFIRM, "", "both agree"),
    ({**REWRITE, "standalone": False}, CONFIRM, "stem_needs_options", "the model gives up"),
    ({**REWRITE, "question": "以下哪个是市场？"}, CONFIRM, "points_at_options", "guard (a) on a model's stem"),
    ({**REWRITE, "answer": "A. 货币市场"}, CONFIRM, "option_letters", "guard (b) on a model's reference"),
    (REWRITE, {"unique": False, "covered": True}, "not_unique", "guard (d)"),
    (REWRITE, {"unique": True, "covered": False}, "not_covered", "guard (c)"),
    ("no json", CONFIRM, "rewrite_unread", "garbage"),
    (REWRITE, "no json", "confirm_unread", "garbage from the second call"),
]


@pytest.mark.parametrize(("rewrite", "confirm", "reason", "origin"), MODEL_CASES)
def test_rewriting_by_a_model(tmp_path: Path, rewrite: Any, confirm: Any, reason: str, origin: str) -> None:
    def script(body: dict[str, Any], seen: int, handler: Any) -> None:
        said = rewrite if "turn a multiple-choice" in body["messages"][0]["content"] else confirm
        send_json(handler, completion(said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)))

    source = choice("k1", "下列用于融通短期资金的是（）。", OPTIONS, "A", lang="zh")
    with serve(script) as log:
        run = context(tmp_path, {"judge": endpoint(log.url)})
        (made,) = to_open([source], run)
    if reason:
        assert isinstance(made, Drop) and made.reason == reason, origin
    else:
        assert isinstance(made, Sample) and made.metadata["rewritten_by"] == "test-model" and len(log.bodies) == 2
