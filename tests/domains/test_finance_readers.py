"""The finance readers on hand-made rows of the released and the compact forms, and on the real sets where present."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import Domain, load_domain
from mmreason.data.lines import Row
from mmreason.data.sources import check_use, read_source
from mmreason.data.step import Drop
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.protocol import Protocol
from mmreason.records import AnswerKind, Sample

FOLDER = project_dir() / "domains" / "finance"
tables = load_module(FOLDER / "report_tables.py")
convfinqa = load_module(FOLDER / "readers_convfinqa.py")
choice = load_module(FOLDER / "readers_choice.py")


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain(FOLDER)


def put(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows in the format that the name asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(json.dumps(rows) if path.suffix == ".json" else lines, encoding="utf-8")


def take(domain: Domain, root: Path, name: str, split: str, **options: Any) -> list[Any]:
    return list(read_source(domain, name, split, root, {"subset": True, **options}))


TABLE = [["", "2007", "2006"], ["net sales", "$ 93.5", "$ 100.0"], ["loss", "-9 ( 9 )", "12%"]]
QA = {
    "question": "what was the percentage change in net sales?",
    "program": "subtract(93.5, 100.0), divide(#0, 100.0)",
    "exe_ans": -0.065,
    "gold_inds": {"table_1": "...", "text_1": "..."},
    "model_input": [["text_2", "..."], ["table_2", "..."]],
}
FINQA = {
    "id": "AAL/2007/page_13.pdf-2",
    "pre_text": ["before one .", "before two ."],
    "post_text": ["after ."],
    "table": TABLE,
    "qa": QA,
}


def finqa(domain: Domain, root: Path, *rows: dict[str, Any], **options: Any) -> list[Any]:
    put(root / "finqa_released" / "dev.json", list(rows))
    return take(domain, root, "finqa_released", "dev", **options)


def test_finqa_released_with_full_context(domain: Domain, tmp_path: Path) -> None:
    (sample,) = finqa(domain, tmp_path, FINQA)
    assert sample.question == (
        "before one .\nbefore two .\n|  | 2007 | 2006 |\n| --- | --- | --- |\n| net sales | $ 93.5 | $ 100.0 |\n"
        "| loss | -9 ( 9 ) | 12% |\nafter .\nwhat was the percentage change in net sales?"
    )
    assert sample.id == "finqa_released-AAL/2007/page_13.pdf-2"
    assert (sample.answer.kind, sample.answer.gold, sample.answer.asks_percent) == (AnswerKind.NUMBER, "-0.065", True)
    assert sample.evidence["program"] == QA["program"]
    assert sample.metadata["report"] == "AAL/2007/page_13.pdf"
    assert (sample.source.dataset, sample.source.licence) == ("finqa", "MIT")


def test_finqa_gold_and_retrieved_context(domain: Domain, tmp_path: Path) -> None:
    row = "the net sales of 2007 is $ 93.5 ; the net sales of 2006 is $ 100.0 ;"
    (sample,) = finqa(domain, tmp_path, FINQA, context="gold", table="sentences")
    assert sample.question == f"before two .\n{row}\n{QA['question']}"  # in document order
    (sample,) = finqa(domain, tmp_path, FINQA, context="retrieved", table="markdown")
    assert sample.question.splitlines()[0] == "after ."
    assert "net sales |" not in sample.question and "| loss | -9 ( 9 ) | 12% |" in sample.question
    scores = [{"ind": "text_0", "score": 0.9}, {"ind": "text_1", "score": -1.0}]
    row = {**FINQA, "qa": {**QA, "model_input": []}, "text_retrieved": scores, "table_retrieved": []}
    (sample,) = finqa(domain, tmp_path, row, context="retrieved")
    assert sample.question.splitlines()[:2] == ["before one .", "before two ."]


@pytest.mark.parametrize(
    ("program", "exe_ans", "reason"),
    [
        ("subtract(93.5, 100.0), divid(#0, 100.0)", -0.065, "program_unknown_operation"),
        ("divide(1, 0)", 1.0, "program_invalid"),
        ("table_sum(net income, none)", 1.0, "program_invalid"),
        ("subtract(93.5, 100.0)", -6.4, "program_mismatch"),
        ("greater(2, 1)", "no", "program_mismatch"),
    ],
)
def test_finqa_drops_a_program_that_does_not_give_its_answer(
    domain: Domain, tmp_path: Path, program: str, exe_ans: Any, reason: str
) -> None:
    bad = {**FINQA, "id": "bad", "qa": {**QA, "program": program, "exe_ans": exe_ans}}
    good, drop = finqa(domain, tmp_path, FINQA, bad)
    assert isinstance(good, Sample)
    assert isinstance(drop, Drop)
    assert (drop.step, drop.reason) == ("read", reason)
    assert drop.row == bad


def test_finqa_yes_no_gold(domain: Domain, tmp_path: Path) -> None:
    row = {**FINQA, "qa": {**QA, "program": "greater(93.5, 100.0)", "exe_ans": "no"}}
    (sample,) = finqa(domain, tmp_path, row)
    assert (sample.answer.gold, sample.answer.asks_percent) == ("no", False)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**FINQA, "table": [["a", 1]]}, r"row 2: table\[0\]"),
        ({k: v for k, v in FINQA.items() if k != "pre_text"}, "row 2: no field 'pre_text'"),
        ({**FINQA, "qa": {**QA, "exe_ans": "93.5%"}}, "row 2: field 'exe_ans'"),
        ({**FINQA, "id": FINQA["id"]}, "occurs twice"),
    ],
)
def test_finqa_wrong_rows(domain: Domain, tmp_path: Path, row: dict[str, Any], said: str) -> None:
    other = {**row, "id": row["id"] if said == "occurs twice" else "other"}
    with pytest.raises(UserError, match=said):
        finqa(domain, tmp_path, FINQA, other)


def test_finqa_compact_offers_retrieved_context_alone(domain: Domain, tmp_path: Path) -> None:
    compact = {"id": "dev-1", "context": ["a .", "b ."], "table": TABLE, **QA}
    put(tmp_path / "finqa" / "val.jsonl", [compact])
    entry = domain.source("finqa").model_copy(update={"files": {"val": ["finqa/val.jsonl"]}})
    mine = domain.model_copy(update={"sources": {"finqa": entry}})
    (sample,) = take(mine, tmp_path, "finqa", "val")
    assert sample.question == f"a .\nb .\n{QA['question']}"
    assert sample.source.document == finqa(domain, tmp_path, FINQA)[0].source.document
    with pytest.raises(UserError, match="retrieved context alone, not 'gold'"):
        take(mine, tmp_path, "finqa", "val", context="gold")


# (question, program, ratio asked as a percentage, gold already times 100); rows marked FinQA are from its dev split
PERCENT = [
    ("what percentage of the total comes from canada?", "divide(60, 243)", True, False),  # plain share
    (
        "what percentage of the total comes from canada?",
        "divide(60, 243), multiply(#0, const_100)",
        False,
        True,
    ),  # FinQA
    ("how much did rent increase?", "subtract(257, 242), divide(#0, 242)", True, False),  # FinQA: no word for percent
    ("what is the percentual increase?", "divide(91.8, 72.0), subtract(#0, const_1)", True, False),  # FinQA
    ("what is the difference in percentage return?", "divide(1, 2), divide(3, 4), subtract(#0, #1)", True, False),
    ("what was the percentage change?", "subtract(484, 500)", False, False),  # FinQA: a wrong gold, left as it is
    ("for the sale of the 19 percent interest, what is the ratio?", "divide(1, 2)", False, False),  # a given percent
    ("what is the average price per gwh?", "divide(10, 4)", False, False),  # a quotient that is no share
    ("what is the average change?", "subtract(5, 3), divide(#0, const_2)", False, False),  # a mean, not a change
    ("what is the variation in basis points?", "subtract(1.4%, 7%), multiply(#0, const_100)", False, False),  # FinQA
    ("what was the percentage?", "", True, False),  # no program: the words decide
    ("what was the percentage in 2007?", "12.5", False, False),  # ConvFinQA: read off the report
]


@pytest.mark.parametrize(("question", "program", "ratio", "times_100"), PERCENT)
def test_percent_questions(question: str, program: str, ratio: bool, times_100: bool) -> None:
    assert tables.percent_form(question, program) == (ratio, times_100)


def test_one_page_has_one_key_in_every_form() -> None:
    other = [["-", "2007", "2006"], ["Net Sales", "93.5", "$100.0"], ["loss", "-9", "12% ( 12 % )"]]
    assert tables.document_key(other) == tables.document_key(TABLE)
    changed = [*TABLE[:2], ["loss", "-8 ( 8 )", "12%"]]
    assert tables.document_key(changed) != tables.document_key(TABLE)
    few = [["", "payments"], ["arkansas", "( $ 4 )"]]
    assert tables.document_key(few) == tables.document_key([["-", "payments"], ["arkansas", "($4)"]])
    assert tables.document_key(few) != tables.document_key([["", "receipts"], ["arkansas", "( $ 4 )"]])


CONV = {
    "id": "Single_AAL/2007/page_13.pdf-2",
    "pre_text": ["before ."],
    "post_text": [],
    "table": TABLE,
    "annotation": {
        "dialogue_break": ["net sales in 2007?", "and in 2006?", "what was the change?"],
        "turn_program": ["93.5", "100.0", "subtract(93.5, 100.0)"],
        "exe_ans_list": [93.5, 100.0, -6.5],
    },
}


def test_convfinqa_protocols(domain: Domain, tmp_path: Path) -> None:
    put(tmp_path / "convfinqa_released" / "dev.json", [CONV])
    (last,) = take(domain, tmp_path, "convfinqa_released", "dev")
    assert last.question.endswith("net sales in 2007?\nand in 2006?\nwhat was the change?")
    assert (last.answer.gold, last.metadata["protocol"]) == ("-6.5", "last_turn")
    turns = take(domain, tmp_path, "convfinqa_released", "dev", protocol="all_turns_gold_history")
    assert [turn.answer.gold for turn in turns] == ["93.5", "100.0", "-6.5"]
    assert turns[2].question.endswith("net sales in 2007? 93.5\nand in 2006? 100.0\nwhat was the change?")
    assert [turn.id[-2:] for turn in turns] == ["#0", "#1", "#2"]
    assert "program" not in turns[0].evidence and turns[2].evidence["program"] == "subtract(93.5, 100.0)"


def test_convfinqa_turn_files(domain: Domain, tmp_path: Path) -> None:
    turns = [{**CONV, "turn_ind": k, "cur_dial": CONV["annotation"]["dialogue_break"][: k + 1]} for k in range(3)]
    put(tmp_path / "convfinqa_released" / "dev_turn.json", turns)
    assert len(take(domain, tmp_path, "convfinqa_released", "dev_turn", protocol="all_turns_gold_history")) == 3
    (last,) = take(domain, tmp_path, "convfinqa_released", "dev_turn")
    assert last.metadata["turn"] == 2


def test_convfinqa_known_bad_and_uneven_rows(domain: Domain, tmp_path: Path) -> None:
    known = {**CONV, "id": "Double_AOS/2004/page_11.pdf"}
    put(tmp_path / "convfinqa_released" / "dev.json", [known])
    turns = take(domain, tmp_path, "convfinqa_released", "dev", protocol="all_turns_gold_history")
    assert [turn.metadata["known_bad"] for turn in turns] == [True, False, False]
    uneven = {**CONV, "annotation": {**CONV["annotation"], "exe_ans_list": [1.0]}}
    put(tmp_path / "convfinqa_released" / "dev.json", [uneven])
    with pytest.raises(UserError, match="3 questions, 3 programs, 1 answers"):
        take(domain, tmp_path, "convfinqa_released", "dev")


@pytest.mark.parametrize(
    ("arithmetic", "program"),
    [
        ("ans = 60.94 - 25.14", "subtract(60.94, 25.14)"),
        ("x0 = 6823 - 6161; ans = x0 / 6161", "subtract(6823, 6161), divide(#0, 6161)"),
        ("ans = 189", "189"),
        ("ans = max(1, 2)", ""),
        ("x0 = 1 + 2; x0 = x0 * 3; ans = x0 > 4", "add(1, 2), multiply(#0, 3), greater(#1, 4)"),
    ],
)
def test_convfinqa_arithmetic_as_program(arithmetic: str, program: str) -> None:
    assert convfinqa.as_program(arithmetic) == program


def question(identity: str, kind: str, answer: Any, scale: str = "") -> dict[str, Any]:
    return {"uid": identity, "question": f"{identity}?", "answer": answer, "answer_type": kind, "scale": scale} | {
        "derivation": "680-774",
        "order": 1,
    }


def tat(*questions: dict[str, Any]) -> dict[str, Any]:
    paragraphs = [{"uid": "p2", "order": 2, "text": "second"}, {"uid": "p1", "order": 1, "text": "first"}]
    return {"table": {"uid": "doc", "table": TABLE}, "paragraphs": paragraphs, "questions": list(questions)}


def test_tatqa_kinds_and_scales(domain: Domain, tmp_path: Path) -> None:
    rows = [
        question("a", "arithmetic", -94, "million"),
        question("b", "arithmetic", -12.14, "percent"),
        question("c", "count", "3"),
        question("d", "span", ["2018"]),
        question("e", "multi-span", ["2019", "1,5"], "thousand"),
    ]
    put(tmp_path / "tatqa_released" / "tatqa_dataset_dev.json", [tat(*rows)])
    samples = take(domain, tmp_path, "tatqa_released", "dev")
    assert [(s.answer.kind.value, s.answer.gold, s.answer.scale) for s in samples] == [
        ("number", "-94", "million"),
        ("number", "-12.14%", ""),
        ("number", "3", ""),
        ("span", "2018", ""),
        ("set", '["2019", "1,5"]', "thousand"),
    ]
    assert samples[1].answer.asks_percent
    assert samples[0].question.endswith("\nfirst\nsecond\na?")
    assert {s.source.document for s in samples} == {"doc"}
    assert samples[0].evidence["derivation"] == "680-774"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (question("a", "sum", 1), "answer_type 'sum'"),
        (question("a", "arithmetic", 1, "trillion"), "scale 'trillion'"),
        (question("a", "arithmetic", ["1"]), "expected a number for arithmetic"),
    ],
)
def test_tatqa_wrong_rows(domain: Domain, tmp_path: Path, row: dict[str, Any], said: str) -> None:
    put(tmp_path / "tatqa_released" / "tatqa_dataset_dev.json", [tat(row)])
    with pytest.raises(UserError, match=said):
        take(domain, tmp_path, "tatqa_released", "dev")


def cflue_row(task: str, answer: str, choices: Any, analysis: str | None = "因为") -> dict[str, Any]:
    return {
        "名称": "基金从业",
        "task": task,
        "question": "是？",
        "choices": choices,
        "answer": answer,
        "analysis": analysis,
    }


def test_cflue_released_choices_are_a_literal(domain: Domain, tmp_path: Path) -> None:
    rows = [
        cflue_row("单项选择题", "B", "{'A': '股票', 'B': \"债'券\"}"),
        cflue_row("多项选择题", "DA", "{'A': '1', 'B': '2', 'C': '3', 'D': '4'}", "略"),
        cflue_row("判断题", "A", "{'A': '对', 'B': '错'}", None),
        cflue_row("单项选择题", "E", "{'A': '1', 'B': '2'}"),
    ]
    put(tmp_path / "cflue_released" / "knowledge" / "knowledge.json", rows)
    single, multi, judge, drop = take(domain, tmp_path, "cflue_released", "dev")
    assert (single.answer.options, single.answer.gold) == ({"A": "股票", "B": "债'券"}, "B")
    assert single.evidence == {"explanation": "因为"} and multi.evidence == {} and judge.evidence == {}
    assert (multi.answer.gold, multi.answer.multi, single.answer.multi) == ("AD", True, False)
    assert judge.answer.options == {"A": "对", "B": "错"}
    assert single.question == "是？" and single.metadata["exam"] == "基金从业"
    assert isinstance(drop, Drop) and drop.reason == "answer_not_in_options"


@pytest.mark.parametrize("choices", ["__import__('os').getcwd()", "{'A': ", "['a']", "{'A': ['x']}", 3])
def test_cflue_choices_are_data_and_never_run(domain: Domain, tmp_path: Path, choices: Any) -> None:
    put(tmp_path / "cflue_released" / "knowledge" / "knowledge.json", [cflue_row("单项选择题", "A", choices)])
    with pytest.raises(UserError, match="row 1: choices is"):
        take(domain, tmp_path, "cflue_released", "dev")


def gpqa_file(path: Path, rows: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        names = ["Record ID", "Question", "Correct Answer", *(f"Incorrect Answer {k}" for k in (1, 2, 3))]
        writer.writerow(names)
        writer.writerows([f"rec{k}", f"q{k}?\n", "right", "w1", "w2", "w3"] for k in range(rows))


def test_gpqa_permutations(domain: Domain, tmp_path: Path) -> None:
    gpqa_file(tmp_path / "gpqa" / "gpqa_diamond.csv", 50)
    samples = take(domain, tmp_path, "gpqa", "test", repeats=4)
    assert len(samples) == 200
    for sample in samples:
        assert sample.answer.options[sample.answer.gold] == "right"
        base = ["right", "w1", "w2", "w3"]
        assert list(sample.answer.options.values()) == [base[k] for k in sample.metadata["permutation"]]
    letters = Counter(sample.answer.gold for sample in samples)
    assert min(letters.values()) > 30  # every letter about a quarter of 200
    assert len({sample.source.document for sample in samples}) == 50
    again = take(domain, tmp_path, "gpqa", "test")
    assert [s.metadata["permutation"] for s in again] == [s.metadata["permutation"] for s in samples[::4]]
    assert choice.permutation("q", 0) == choice.permutation("q", 0)


def test_math_and_gsm8k_released(domain: Domain, tmp_path: Path) -> None:
    math = {"problem": "1/2+1/2?", "solution": "s", "answer": "1", "subject": "Algebra", "level": 1}
    put(tmp_path / "math500_released" / "test.jsonl", [{**math, "unique_id": "test/algebra/1.json"}])
    (sample,) = take(domain, tmp_path, "math500_released", "test")
    assert (sample.answer.kind, sample.metadata["level"]) == (AnswerKind.MATH, 1)
    put(tmp_path / "gsm8k_released" / "test.jsonl", [{"question": "q?", "answer": "so 1,000\n#### 1,000"}])
    (sample,) = take(domain, tmp_path, "gsm8k_released", "test")
    assert (sample.answer.kind, sample.answer.gold, sample.evidence["solution"]) == (
        AnswerKind.NUMBER,
        "1,000",
        "so 1,000",
    )
    put(tmp_path / "gsm8k_released" / "test.jsonl", [{"question": "q?", "answer": "so 1,000"}])
    with pytest.raises(UserError, match="row 1: answer has no '####'"):
        take(domain, tmp_path, "gsm8k_released", "test")


def test_fineval_released_csv(domain: Domain, tmp_path: Path) -> None:
    path = tmp_path / "accounting_val.csv"
    path.write_text("id,question,A,B,C,D,answer\n0,问？,甲,乙,丙,丁,C\n", encoding="utf-8")
    entry = domain.source("fineval").model_copy(update={"files": {"val": [path.name]}})
    (sample,) = take(domain.model_copy(update={"sources": {"fineval": entry}}), tmp_path, "fineval", "val")
    assert sample.id == "fineval-accounting-val-0"
    assert (sample.metadata["subject"], sample.answer.gold, sample.answer.options["C"]) == ("accounting", "C", "丙")


def test_ccc_own_dialogues(domain: Domain, tmp_path: Path) -> None:
    turns = [{"role": "客户", "text": "我要投诉"}, {"role": "客服", "text": "您好"}]
    log = [{"node": "监管投诉", "hit": True, "rationale": "客户说要投诉"}]
    put(tmp_path / "ccc" / "train.jsonl", [{"id": "1", "dialogue": turns, "label": "不合规", "workflow": log}])
    (sample,) = take(domain, tmp_path, "ccc", "train")
    assert sample.question.startswith("客户：我要投诉\n客服：您好\n")
    assert (sample.answer.kind, sample.answer.gold) == (AnswerKind.JUDGEMENT, "违规")
    assert sample.evidence["workflow"] == log
    for field, value, said in (("label", "也许", "label '也许'"), ("dialogue", [], "no turns")):
        put(tmp_path / "ccc" / "train.jsonl", [{"id": "1", "dialogue": turns, "label": "违规"} | {field: value}])
        with pytest.raises(UserError, match=said):
            take(domain, tmp_path, "ccc", "train")


def test_ccc_synthetic_follows_its_rule(domain: Domain) -> None:
    samples = list(read_source(domain, "ccc_synthetic", "train", None, {"items": 400}))
    for sample in samples:
        nodes = {node["node"]: node["hit"] for node in sample.evidence["workflow"]}
        escalated = nodes.pop("升级工单")
        assert sample.answer.gold == ("违规" if any(nodes.values()) and not escalated else "合规")
    labels = Counter(sample.answer.gold for sample in samples)
    assert min(labels.values()) > 160  # a model that always says one label gains nothing
    assert len({sample.question for sample in samples}) == 400
    again = list(read_source(domain, "ccc_synthetic", "train", None, {"items": 400}))
    assert again == samples
    other = list(read_source(domain, "ccc_synthetic", "train", None, {"items": 400}, seed=1))
    assert not {s.question for s in other} & {s.question for s in samples}


def test_prompts_ask_for_think_answer_and_box(domain: Domain) -> None:
    templates = {key: text for key, text in Protocol.of(domain).templates.items() if key != "ledger"}
    for key, text in templates.items():
        assert "<think>" in text and "<answer>\\boxed{" in text, key
    for lang in ("zh", "en"):
        assert "%" in templates[f"number.{lang}"]


def test_evaluation_sets_are_kept_out_of_training(domain: Domain) -> None:
    for name in ("math500", "gsm8k", "gpqa", "fineval", "fineval_candlestick", "aime24", "amc23", "minerva_math"):
        with pytest.raises(UserError, match="use: eval"):
            check_use(domain, [name])
    assert not domain.source("cflue").commercial


def samples_of(domain: Domain, root: Path, name: str, split: str) -> list[Sample]:
    items = list(read_source(domain, name, split, root))
    assert all(isinstance(item, Sample) for item in items)
    return items


@pytest.mark.parametrize(
    ("name", "split", "kinds"),
    [
        ("finqa", "train", {"number": 700}),
        ("finqa", "val", {"number": 183}),
        ("convfinqa", "dev", {"number": 321}),
        ("tatqa", "dev", {"number": 750, "span": 701, "set": 217}),
        ("cflue", "dev", {"choice": 3000}),
        ("math500", "test", {"math": 346}),
        ("gsm8k", "test", {"number": 900}),
        ("aime24", "part", {"math": 18}),
        ("amc23", "part", {"math": 26}),
        ("minerva_math", "part", {"math": 180}),
        ("fineval", "dev", {"choice": 170}),
        ("fineval", "val", {"choice": 2671}),
        ("fineval_candlestick", "test", {"choice": 93, "judgement": 13}),
    ],
)
def test_real_sets_are_read_whole(
    domain: Domain, real_data: Path, name: str, split: str, kinds: dict[str, int]
) -> None:
    samples = samples_of(domain, real_data, name, split)
    assert Counter(sample.answer.kind.value for sample in samples) == kinds
    assert all(sample.metadata["question"] in sample.question for sample in samples)
    protocol = Protocol.of(domain)
    assert all("\\boxed{" in protocol.apply(sample).question for sample in samples[:50])


def test_real_reports_are_found_across_sets(domain: Domain, real_data: Path) -> None:
    """A plain comparison of the whole tables gives the same 136 pages and 170 rows."""
    train = {sample.source.document for sample in samples_of(domain, real_data, "finqa", "train")}
    val = [sample.source.document for sample in samples_of(domain, real_data, "finqa", "val")]
    assert (len(train), len(set(val)), len(set(val) & train)) == (289, 146, 136)
    assert sum(document in train for document in val) == 170
    conv = [sample.source.document for sample in samples_of(domain, real_data, "convfinqa", "dev")]
    assert sum(document in train for document in conv) == 319
    assert all(document in train | set(val) for document in conv)


def test_gold_value_refuses_booleans() -> None:
    with pytest.raises(UserError, match="expected a number"):
        tables.gold_value(Row({"exe_ans": True}, Path("x.json"), 1), "exe_ans")
