from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from making import choice, sample

from mmreason.config import load_domain
from mmreason.data.decontaminate import Leak, contamination_report, decontaminate
from mmreason.data.sources import read_source
from mmreason.data.text import question_of
from mmreason.project import project_dir
from mmreason.records import AnswerKind, MediaRef, Message, Role, Sample

ITEMS = ("net sales", "operating income", "interest expense", "capital leases", "goodwill", "deferred taxes")
ASKS = (
    "what was the percentage change in {item} from {a} to {b}",
    "what is the ratio of {item} in {a} to {item} in {b}",
    "by how much did {item} increase between {a} and {b}",
    "what was the average of {item} over {a} and {b}",
)


def report_row(index: int, split: str) -> Sample:
    """A FinQA-shaped row: a table of made-up amounts, a question on it. Every row has a report of its own."""
    rng = random.Random(f"{split}{index}")
    a = rng.randrange(2001, 2016)
    table = " ; ".join(f"the {item} of {year} is {rng.randrange(100, 99999)}" for item in ITEMS for year in (a, a + 1))
    question = rng.choice(ASKS).format(item=rng.choice(ITEMS), a=a, b=a + 1) + " ?"
    made = sample(
        f"{split}-{index}", question, f"{rng.random():.5f}", context=table, document=f"{split}-report-{index}"
    )
    return replace(made, source=replace(made.source, split=split))


def renamed(row: Sample, id: str) -> Sample:
    return replace(row, id=id, source=replace(row.source, split="train", row=id))


def asked(row: Sample, question: str, context: str | None = None) -> Sample:
    before, _, _ = row.question.rpartition("\n")
    return replace(row, messages=(Message.of(Role.USER, f"{before if context is None else context}\n{question}"),))


def plant(row: Sample, way: int, id: str) -> Sample:
    """The row under another id, in one of five disguises."""
    context, _, question = row.question.rpartition("\n")
    leak = renamed(row, id)
    if way == 0:
        return leak
    if way == 1:  # re-spaced, other case, other punctuation
        return asked(leak, question.upper().replace(" ?", "?"), "  ".join(context.split(" ")))
    if way == 2:  # the same question with another piece of the report
        return asked(leak, question, "a sentence from another page of this report")
    if way == 3:  # the question put a little differently
        return asked(leak, f"tell us please , in plain words : {question}")
    unknown = replace(leak, source=replace(leak.source, document=""))  # a copy that lost its report's name
    return asked(unknown, question, context.replace("goodwill", "goodwill ,", 1) + " ; in thousands")


def test_exactly_the_37_planted_rows_are_found() -> None:
    evaluation = [report_row(index, "test") for index in range(300)]
    clean = [report_row(index, "train") for index in range(900)]
    planted = [plant(evaluation[7 * n], n % 5, f"planted-{n}") for n in range(37)]
    mixed = [*clean, *planted]
    random.Random(0).shuffle(mixed)
    kept, pairs = decontaminate(mixed, evaluation)
    assert {pair.train for pair in pairs} == {row.id for row in planted}
    assert {row.id for row in kept} == {row.id for row in clean}
    assert {pair.train: pair.eval for pair in pairs} == {f"planted-{n}": f"test-{7 * n}" for n in range(37)}
    kinds = [pair.kind for pair in sorted(pairs, key=lambda pair: int(pair.train.split("-")[1]))]
    expected = [Leak.SAME_TEXT, Leak.SAME_TEXT, Leak.SAME_QUESTION, Leak.REWORDED, Leak.NEAR_TEXT]
    assert kinds == [expected[n % 5] for n in range(37)]


def test_a_shared_report_is_reported_not_dropped() -> None:
    row = report_row(0, "test")
    other = replace(asked(renamed(row, "t"), "what was the total of goodwill ?"), answer=replace(row.answer, gold="99"))
    stranger = report_row(1, "train")
    kept, pairs = decontaminate([other, stranger], [row, report_row(2, "test")])
    report = contamination_report([other, stranger], [row, report_row(2, "test")], kept, pairs)
    assert not pairs and report["dropped"] == 0
    assert report["same_document"] == {"documents": 1, "train_rows": 1, "eval_rows": 1, "eval_rows_without": 1}


NOT_LEAKS = [
    ("what was the change in revenue from 2015 to 2016?", "12", "the same report and words, other years"),
    ("what was the change in cost from 2016 to 2017?", "40", "the same report and years, another item and gold"),
]


@pytest.mark.parametrize(("question", "gold", "origin"), NOT_LEAKS)
def test_other_questions_of_one_report_stay(question: str, gold: str, origin: str) -> None:
    evaluation = sample("e", context="revenue 2016 is 100 ; revenue 2017 is 112", document="r")
    train = sample("t", question, gold, context="revenue 2016 is 100 ; revenue 2017 is 112", document="r")
    assert decontaminate([train], [evaluation])[1] == [], origin


def test_the_same_words_about_another_report_stay() -> None:
    evaluation = sample("e", context="revenue 2016 is 100 ; revenue 2017 is 112", document="r1")
    train = sample("t", gold="31", context="sales 2016 were 500 ; profit of 2017 was 531", document="r2")
    assert decontaminate([train], [evaluation])[1] == []


def test_twins_of_evaluation_questions_are_dropped() -> None:
    source = choice("k1", "我国金融市场体系的核心是（）。", ["货币市场", "债券市场", "商品市场"], "A")
    twin = sample("k1-open", "我国金融市场体系的核心是什么？", "货币市场", AnswerKind.FREE).with_meta(twin_of="k1")
    assert decontaminate([twin], [source])[1][0].kind is Leak.TWIN
    assert decontaminate([source], [twin])[1][0].kind is Leak.TWIN


def test_the_twin_of_a_leaked_row_goes_with_it() -> None:
    known = choice("e", "我国金融市场体系的核心是（）。", ["货币市场", "债券市场", "商品市场"], "A")
    leaked = replace(known, id="k1", source=replace(known.source, row="k1"))
    twin = sample("k1-open", "核心是什么？", "货币市场", AnswerKind.FREE).with_meta(twin_of="k1")
    kept, pairs = decontaminate([twin, leaked, sample("other")], [known])
    assert [(pair.train, pair.kind) for pair in pairs] == [("k1-open", Leak.TWIN), ("k1", Leak.SAME_TEXT)]
    assert [row.id for row in kept] == ["other"]


def test_chinese_near_copies_are_found_by_character() -> None:
    stem = "商业银行的核心一级资本充足率不得低于百分之五，其计算分母是风险加权资产，"
    stem += "由信用风险、市场风险和操作风险构成，下列说法正确的是（）。"
    options = ["甲说法是对的", "乙说法是对的", "丙说法是对的"]
    copy = choice("t", stem.replace("其计算分母是", "计算分母是"), options, "A")
    fresh = choice(
        "u",
        "证券公司的净资本不得低于其各项风险资本准备之和，其计算口径由证监会规定，下列说法正确的是（）。",
        options,
        "A",
    )
    kept, pairs = decontaminate([copy, fresh], [choice("e", stem, options, "A")])
    assert [pair.train for pair in pairs] == ["t"] and pairs[0].kind is Leak.NEAR_TEXT
    assert [row.id for row in kept] == ["u"]


def test_prompted_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="bare"):
        decontaminate([sample("t")], [sample("e").with_meta(prompted="abc")])


def test_no_evaluation_set_keeps_everything() -> None:
    rows = [sample("a"), sample("b")]
    assert decontaminate(rows, []) == (rows, [])


def test_37_planted_rows_of_real_finqa_are_found(real_data: Path) -> None:
    """Real train against real val rows: the planted copies, and what the release itself repeats, which is little."""
    finance = load_domain(project_dir() / "domains" / "finance")
    train, known = (
        [row for row in read_source(finance, "finqa", split, real_data) if isinstance(row, Sample)]
        for split in ("train", "val")
    )
    before = {pair.train for pair in decontaminate(train, known)[1]}
    planted = [
        plant(known[4 * n], n % 3, f"planted-{n}").with_meta(question=question_of(known[4 * n])) for n in range(37)
    ]
    after = decontaminate([*train, *planted], known)[1]
    assert len(before) <= 10
    assert {pair.train for pair in after} - before == {row.id for row in planted}
    assert before <= {pair.train for pair in after}


def with_picture(row: Sample, digest: str) -> Sample:
    return replace(row, media=(MediaRef(digest * 64, "image", f"{digest}.png", 16),))


def test_one_question_about_two_pictures_is_two_questions() -> None:
    question = report_row(0, "test")
    held_out = with_picture(question, "a")
    other, same = (with_picture(renamed(question, id), digest) for id, digest in (("other", "b"), ("same", "a")))
    other = replace(other, source=replace(other.source, document="elsewhere"))
    clean, pairs = decontaminate([other, same], [held_out])
    assert [row.id for row in clean] == ["other"]
    assert [pair.train for pair in pairs] == ["same"]
