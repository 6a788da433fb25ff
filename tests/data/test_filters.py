from __future__ import annotations

import json
from pathlib import Path

import pytest
from making import choice, context, sample

from mmreason.data.filters import answerable, difficulty, duplicate, length, too_long
from mmreason.data.holdout import held_out, holdout
from mmreason.data.step import Drop
from mmreason.data.text import normal, numbers, question_of, words
from mmreason.errors import UserError
from mmreason.records import Sample


def fates(stream) -> list[str]:
    return [f"{item.id}:{item.reason}" if isinstance(item, Drop) else item.id for item in stream]


WORD_CASES = [
    ("Net sales in 2016", ["net", "sales", "in", "2016"], "plain English"),
    ("$ 1,234.5 million", ["1,234.5", "million"], "numbers stay whole"),
    ("货币市场，2019年", ["货", "币", "市", "场", "2019", "年"], "each CJK character is a word"),
    ("ＥＴＦ（）。", ["etf"], "full-width letters, an empty blank"),
]


@pytest.mark.parametrize(("text", "expected", "origin"), WORD_CASES)
def test_words(text: str, expected: list[str], origin: str) -> None:
    assert words(text) == expected, origin


def test_normal_form_ignores_case_spacing_and_punctuation() -> None:
    assert normal("What was  the CHANGE ( in % ) ?") == normal("what was the change in %")


def test_numbers_tell_questions_apart() -> None:
    assert numbers("from 2016 to 2,017") == ("2016", "2017")
    assert numbers("growth in 2016") != numbers("growth in 2015")


def test_question_is_the_last_line_or_what_the_reader_noted() -> None:
    assert question_of(sample(context="a table\nof rows", question="Question: how much?")) == "how much?"
    assert question_of(sample().with_meta(question="noted?")) == "noted?"


def test_length_counts_the_stem_alone(tmp_path: Path) -> None:
    short = sample("short", "我国金融市场体系包括（）。", context="很长的背景" * 20)
    fifteen = sample("fifteen", "一二三四五六七八九十一二三四五")
    assert fates(length([short, fifteen], context(tmp_path))) == ["short:too_short", "fifteen"]
    (drop,) = length([short], context(tmp_path))
    assert isinstance(drop, Drop) and drop.detail == "10 tokens, at least 15 wanted" and drop.row["id"] == "short"


def test_duplicate_needs_the_same_context_and_options(tmp_path: Path) -> None:
    rows = [
        sample("a", "How much?", context="rent is 5"),
        sample("b", "how much ?", context="Rent  is 5"),
        sample("c", "how much?", context="rent is 6"),
        choice("d", "which?", ["x", "y", "z"], "A"),
        choice("e", "which?", ["z", "y", "x"], "C"),
        choice("f", "which?", ["x", "y", "w"], "A"),
    ]
    assert fates(duplicate(rows, context(tmp_path))) == ["a", "b:duplicate", "c", "d", "e:duplicate", "f"]


def test_answerable_drops_golds_that_our_grader_rejects(tmp_path: Path) -> None:
    rows = [
        sample("number", gold="-12.5%"),
        sample("broken", gold="n/a"),
        choice("letters", "q", ["x", "y", "z"], "AC", multi=True),
        choice("beyond", "q", ["x", "y", "z"], "F"),
    ]
    found = fates(answerable(rows, context(tmp_path)))
    assert found[0] == "number" and found[2] == "letters"
    assert found[1].startswith("broken:gold_") and found[3].startswith("beyond:gold_")


def test_too_long_drops_and_never_cuts(tmp_path: Path) -> None:
    rows = [sample("five", "a b c d e"), sample("six", "a b c d e f")]
    count = lambda one: len(one.question.split())  # noqa: E731
    assert fates(too_long(rows, context(tmp_path), limit=5, count=count)) == ["five", "six:too_long"]


def write_predictions(folder: Path, rows: list[dict[str, str]]) -> None:
    (folder / "work").mkdir(exist_ok=True)
    (folder / "work" / "small.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def test_difficulty_drops_what_all_small_models_answer_right(tmp_path: Path) -> None:
    right, wrong = "<think>x</think><answer>\\boxed{12}</answer>", "<think>x</think><answer>\\boxed{13}</answer>"
    outputs = {"easy": (right, right), "mixed": (right, wrong), "hard": (wrong, wrong)}
    rows = [
        {"id": id, "model": f"m{index}", "output": output}
        for id, pair in outputs.items()
        for index, output in enumerate(pair)
    ]
    write_predictions(tmp_path, rows)
    items = list(difficulty([sample(id) for id in outputs], context(tmp_path), predictions="small.jsonl"))
    assert fates(items) == ["easy:too_easy", "mixed", "hard"]
    assert [item.difficulty for item in items if isinstance(item, Sample)] == [0.5, 1.0]


def test_difficulty_refuses_missing_predictions(tmp_path: Path) -> None:
    write_predictions(tmp_path, [{"id": "other", "model": "m0", "output": "x"}])
    with pytest.raises(UserError, match="no output of model 'm0' for sample s1"):
        list(difficulty([sample()], context(tmp_path), predictions="small.jsonl"))
    with pytest.raises(UserError, match="no predictions file"):
        list(difficulty([sample()], context(tmp_path), predictions="none.jsonl"))
    (tmp_path / "work" / "bad.jsonl").write_text('{"id": "s1"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="line 1: expected an object with id, model and output"):
        list(difficulty([sample()], context(tmp_path), predictions="bad.jsonl"))


def test_holdout_sides_are_complements_and_keep_documents_whole(tmp_path: Path) -> None:
    rows = [sample(f"s{index}", document=f"report-{index // 4}") for index in range(400)]
    run = context(tmp_path, eval_fraction=0.25)
    train = {item.id for item in holdout(rows, run) if isinstance(item, Sample)}
    evaluation = {item.id for item in holdout(rows, run, side="eval") if isinstance(item, Sample)}
    assert train | evaluation == {row.id for row in rows} and not train & evaluation
    by_id = {row.id: row.source.document for row in rows}
    assert not {by_id[id] for id in train} & {by_id[id] for id in evaluation}
    assert 60 <= len(evaluation) <= 140  # 25 of 100 documents, give or take
    assert not held_out(rows[0], 0.0) and held_out(rows[0], 1.0)
    with pytest.raises(UserError, match="side is 'test'"):
        list(holdout(rows, run, side="test"))


def test_drops_pass_through_every_filter(tmp_path: Path) -> None:
    drop = Drop("x", "read", "program_mismatch")
    run = context(tmp_path)
    for step in (length, duplicate, answerable, holdout):
        assert list(step([drop], run)) == [drop]
