"""Own rows: what each field means, what is guessed, and how a wrong row is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmreason.config import SourceEntry
from mmreason.data.own import read
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError
from mmreason.records import AnswerKind, Sample

Read = Callable[..., list[Sample]]
ENTRY = SourceEntry(title="t", licence="MIT", commercial=True, use="train", reader="mmreason.data.own:read")


@pytest.fixture
def own(tmp_path: Path) -> Read:
    """Write rows under data/sub and read them."""
    folder = tmp_path / "sub"
    folder.mkdir()

    def run(*rows: dict[str, Any], split: str = "train") -> list[Sample]:
        path = folder / "rows.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return list(read(ReadRequest("own", split, [path], ENTRY, {}, 0, tmp_path)))

    return run


def row(**fields: Any) -> dict[str, Any]:
    return {"id": "r", "question": "How many?", "answer": "7"} | fields


@pytest.mark.parametrize(
    ("fields", "kind", "gold"),
    [
        ({"answer": "7"}, AnswerKind.NUMBER, "7"),
        ({"answer": 7.5}, AnswerKind.NUMBER, "7.5"),
        ({"answer": "-$1,234.5"}, AnswerKind.NUMBER, "-$1,234.5"),
        ({"answer": "12%"}, AnswerKind.NUMBER, "12%"),
        ({"answer": "seven"}, AnswerKind.FREE, "seven"),
        ({"answer": "2019 and 2020"}, AnswerKind.FREE, "2019 and 2020"),
        ({"answer": "7", "kind": "span"}, AnswerKind.SPAN, "7"),
        ({"answer": ["a", "b; c"]}, AnswerKind.SET, '["a", "b; c"]'),
        ({"answer": "B", "options": ["x", "y"]}, AnswerKind.CHOICE, "B"),
        ({"answer": ["C", "A"], "options": {"A": "x", "B": "y", "C": "z"}}, AnswerKind.CHOICE, "AC"),
        ({"answer": "yes", "kind": "judgement"}, AnswerKind.JUDGEMENT, "yes"),
    ],
)
def test_kind_and_gold(own: Read, fields: dict[str, Any], kind: AnswerKind, gold: str) -> None:
    (sample,) = own(row(**fields))
    assert (sample.answer.kind, sample.answer.gold) == (kind, gold)


def test_fields_of_a_sample(own: Read) -> None:
    (sample,) = own(row(id=3, document="page 1", question=" 多少？ "))
    assert sample.id == "own-3"
    assert sample.question == "多少？"
    assert sample.answer.lang == "zh"
    assert (sample.source.dataset, sample.source.licence, sample.source.document) == ("own", "MIT", "page 1")


def test_several_letters_make_a_multi_answer(own: Read) -> None:
    options = ["x", "y", "z"]
    assert own(row(answer="AC", options=options))[0].answer.multi
    assert not own(row(answer="A", options=options))[0].answer.multi
    assert own(row(answer="A", options=options, multi=True))[0].answer.multi


def test_rows_of_another_split_are_passed_over(own: Read) -> None:
    rows = row(id="a"), row(id="b", split="test")
    assert [sample.id for sample in own(*rows)] == ["own-a"]
    assert [sample.id for sample in own(*rows, split="test")] == ["own-a", "own-b"]


def test_images_become_media_relative_to_the_data_root(own: Read, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        Image.new("RGB", (8, 6), "red").save(tmp_path / "sub" / name)
    (sample,) = own(row(images=["one.png", "two.png"]))
    assert [ref.path for ref in sample.media] == ["sub/one.png", "sub/two.png"]
    assert [part.type for part in sample.messages[0].parts] == ["image", "image", "text"]
    assert [part.media for part in sample.messages[0].parts[:2]] == [0, 1]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"anwser": "8"}, "unknown field 'anwser' (did you mean 'answer'?)"),
        ({"answer": None}, "field 'answer' is null"),
        ({"answer": ""}, "field 'answer' is empty"),
        ({"answer": True}, "field 'answer' is bool true"),
        ({"question": "  "}, "field 'question' is empty"),
        ({"id": ""}, "field 'id'"),
        ({"kind": "numbr"}, "kind 'numbr' is unknown (did you mean 'number'?)"),
        ({"kind": "choice"}, "kind 'choice' needs the field 'options'"),
        ({"answer": "D", "options": ["x", "y"]}, "answer 'D' is no option, expected letters of A, B"),
        ({"answer": "A", "options": ["x"]}, "expected at least two"),
        ({"answer": "a", "options": {"a": "x", "b": "y"}}, "named by single capital letters"),
        ({"answer": ["1", "2"], "kind": "number"}, "answer has 2 items, kind 'number' takes one"),
        ({"images": ["none.png"]}, "is missing under"),
        ({"images": ["../../secret.png"]}, "leaves the data folder"),
        ({"images": "one.png"}, "field 'images' is str"),
        ({"multi": "yes", "answer": "A", "options": ["x", "y"]}, "field 'multi' is str"),
        ({"multi": True}, "field 'multi' belongs to kind choice, this row is 'number'"),
        ({"answer": "one", "scale": "million"}, "field 'scale' belongs to kind number"),
    ],
)
def test_a_wrong_row_is_told_with_its_place(own: Read, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        own(row(id="first"), row(**fields))
    assert said in str(error.value)
    assert "rows.jsonl, row 2" in str(error.value)
