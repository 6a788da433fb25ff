"""Bad predictions and bad media: one clear line, or a counted unread; the denominator never moves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import load_domain
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import Sample
from mmreason.suites.reading import read_suite, suite_samples
from mmreason.suites.results import read_records
from mmreason.suites.suite import Suite, load_suite

score = load_module(project_dir() / "eval" / "score.py")

SUITE = "ledger_mcq"
COUNT = 300


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return suite_samples(load_suite(SUITE), load_domain(project_dir() / "domains" / "finance"), None)


def boxed(answer: str) -> str:
    return f"<think>t</think><answer>\\boxed{{{answer}}}</answer>"


def scored(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The summary of scoring these rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    summary: dict[str, Any] = score.main(SUITE, path)["mmreason"]["summary"]
    return summary


# (output that replaces the gold, outcome, whether it must have been read)
ANSWERS = [
    ("", "unread"),
    ("   \n\t", "unread"),
    ("\x00\x07\x1b[31m\u202e", "unread"),
    (boxed("\x00"), "unread"),
    (boxed("") + "\ud83d\ude00", "unread"),
    ("<think>" + "A " * 1000, "unread"),
    ("word " * 2_000_000, "unread"),
    ("<answer>" * 200_000, "unread"),
    ("\\boxed{" * 200_000, "unread"),
    (boxed("Z"), "unread"),
    (boxed("A or B"), "unread"),
]


@pytest.mark.parametrize(("output", "outcome"), ANSWERS, ids=[f"{index}" for index in range(len(ANSWERS))])
def test_a_strange_answer_is_counted_and_changes_nothing_else(
    output: str, outcome: str, samples: list[Sample], tmp_path: Path
) -> None:
    rows = [{"id": s.id, "output": boxed(s.answer.gold)} for s in samples]
    rows[7]["output"] = output
    begun = time.perf_counter()
    summary = scored(tmp_path / "p.jsonl", rows)
    assert time.perf_counter() - begun < 30
    assert summary["questions"] == COUNT and summary["right"] == COUNT - 1 and summary[outcome] == 1
    record = read_records(tmp_path / f"p.{SUITE}.json")[7]
    assert record["id"] == samples[7].id and record["runs"][0]["outcome"] == outcome


def test_missing_answers_stay_in_the_denominator(samples: list[Sample], tmp_path: Path) -> None:
    summary = scored(tmp_path / "p.jsonl", [{"id": s.id, "output": boxed(s.answer.gold)} for s in samples[:100]])
    assert summary["questions"] == COUNT and summary["strict"]["mean"] == pytest.approx(100 / COUNT)
    assert summary["unread"] == 200 and summary["unread_causes"]["prediction"] == 200


REFUSED: list[tuple[Callable[[list[Sample]], list[dict[str, Any]]], str]] = [
    (lambda s: [{"id": s[0].id, "output": "A"}] * 2, "was given before"),
    (lambda s: [{"id": "finqa-1", "output": "A"}], "ids that suite 'ledger_mcq' does not have, first 'finqa-1'"),
    (lambda s: [{"id": s[0].id, "output": None}], "expected text or a list of texts"),
    (lambda s: [{"id": s[0].id, "output": 3}], "expected text or a list of texts"),
    (lambda s: [{"id": s[0].id, "output": []}], "expected text or a list of texts"),
    (lambda s: [{"id": s[0].id, "answer": "A"}], "expected the fields 'id' and 'output'"),
    (lambda s: [{"id": s[0].id, "output": ["A"]}, {"id": s[1].id, "output": ["A", "B"]}], "the same number for each"),
]


@pytest.mark.parametrize(("rows", "message"), REFUSED, ids=[message[:20] for _, message in REFUSED])
def test_rows_that_cannot_be_matched_are_refused(
    rows: Callable[[list[Sample]], list[dict[str, Any]]], message: str, samples: list[Sample], tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        scored(tmp_path / "p.jsonl", rows(samples))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.json")), "nothing is written"


def test_a_key_given_twice_in_one_object_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(f'{{"id": "{samples[0].id}", "output": "A", "output": "B"}}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"line 1: key 'output' was given before"):
        score.main(SUITE, tmp_path / "p.jsonl")


@pytest.mark.parametrize("form", ["tatqa.predictions", "nonsense"])
def test_an_unknown_form_names_those_of_the_suite(form: str, samples: list[Sample], tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps({"id": samples[0].id, "output": "A"}), encoding="utf-8")
    with pytest.raises(UserError, match=r"reads no predictions in the form .*; it reads mmreason"):
        score.main(SUITE, tmp_path / "p.jsonl", form=form)


def test_a_part_of_a_split_needs_the_word(own_domain: Path, tmp_path: Path) -> None:
    domain, suite = load_domain(own_domain), Suite(name="own", version=1, title="Own", split="train", released_count=50)
    with pytest.raises(UserError, match=r"20 of the 50 released questions of train are in own; .* --subset"):
        read_suite(suite, domain, None)
    assert len(read_suite(suite, domain, None, subset=True).samples) == 20


READER = """
from mmreason.records import Answer, AnswerKind, Message, Sample, Source

def read(request):
    for n in range(4):
        media = (request.attach(f"pictures/{n}.png"),)
        answer = Answer(AnswerKind.NUMBER, str(n))
        yield Sample(f"q{n}", Source("own", "test", "x", str(n)), (Message.about("how many ?", media),), answer, media)
"""


@pytest.fixture
def pictured(own_domain: Path) -> Path:
    """A domain whose reader attaches four pictures, of which the third is absent."""
    (own_domain / "reader.py").write_text(READER, encoding="utf-8")
    (own_domain / "sources.yaml").write_text(
        "own: {title: T, licence: x, commercial: true, use: eval, reader: 'reader.py:read', "
        "files: {test: [rows.jsonl]}}",
        encoding="utf-8",
    )
    (own_domain / "pictures" / "2.png").unlink(missing_ok=True)
    return own_domain


def test_absent_media_are_named(pictured: Path) -> None:
    domain, suite = load_domain(pictured), Suite(name="s", version=1, title="S", split="test", released_count=4)
    missing: list[str] = []
    with pytest.raises(UserError, match=r"1 media files are missing under .*: pictures/2.png; .*--subset"):
        read_suite(suite, domain, None, missing=missing)
    assert missing == ["pictures/2.png"]
    part = read_suite(suite, domain, None, subset=True)
    assert [sample.id for sample in part.samples] == ["q0", "q1", "q3"] and part.available == 4
    bare = read_suite(suite, domain, None, need_media=False)
    assert len(bare.samples) == 4 and not any(ref.sha256 for sample in bare.samples for ref in sample.media)


def test_a_broken_picture_is_a_counted_drop(pictured: Path) -> None:
    (pictured / "pictures" / "1.png").write_bytes(b"\x89PNG not really")
    suite, domain = Suite(name="s", version=1, title="S", split="test"), load_domain(pictured)
    part = read_suite(suite, domain, None, subset=True)
    assert [sample.id for sample in part.samples] == ["q0", "q3"] and part.dropped == {"not_a_picture": 1}
