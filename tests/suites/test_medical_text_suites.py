"""Medical text suites: every released form is read, counts hold, golds are right, no constant beats the majority."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmreason.config import Domain, load_domain
from mmreason.data.sources import read_source
from mmreason.data.step import Drop
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import AnswerKind, Role, Sample
from mmreason.suites.reading import coverage, read_suite
from mmreason.suites.suite import load_suite

audits = load_module(Path(__file__).parent / "suite_audits.py")

COUNTS = {
    **{"medqa": 1273, "medqa_5": 1273, "medmcqa": 4183, "pubmedqa": 500, "mmlu_medicine": 1089},
    **{"mmlu_pro_health": 818, "mmlu_pro_biology": 717, "medxpertqa_text": 2450, "medbullets_4": 308},
    **{"medbullets_5": 308, "careqa": 5621, "jmed": 1000, "cmb_exam": 11200, "cmexam": 6811, "mirage": 7663},
    **{"mirage_mmlu": 1089, "mirage_medqa": 1273, "mirage_medmcqa": 4183, "mirage_pubmedqa": 500},
    **{"mirage_bioasq": 618, "healthbench": 5000, "healthbench_hard": 1000, "healthbench_consensus": 3671},
}
"""Released questions, as counted on the released files where they could be had."""


@pytest.fixture(scope="module")
def medical() -> Domain:
    return load_domain(project_dir() / "domains" / "medical")


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = value if path.suffix == ".jsonl" else None
    text = "\n".join(map(json.dumps, lines)) if isinstance(lines, list) else json.dumps(value)
    path.write_text(text, encoding="utf-8")


def table(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def rows_of(domain: Domain, source: str, split: str, data: Path) -> list[Sample | Drop]:
    return list(read_source(domain, source, split, data, {"subset": True}))


def samples_of(domain: Domain, source: str, split: str, data: Path) -> list[Sample]:
    return [row for row in rows_of(domain, source, split, data) if isinstance(row, Sample)]


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_released_counts(name: str, count: int) -> None:
    suite = load_suite(name)
    assert suite.released_count == count and suite.domain == "medical"
    assert coverage(suite, count) == f"all {count} of {suite.split}"


def test_parts_of_mirage_add_up() -> None:
    assert sum(count for name, count in COUNTS.items() if name.startswith("mirage_")) == COUNTS["mirage"]


@pytest.mark.parametrize(
    ("name", "found"), [("medqa", 764), ("medmcqa", 2000), ("mmlu_medicine", 653), ("medxpertqa_text", 150)]
)
def test_real_questions_pass_the_audit(name: str, found: int, real_data: Path) -> None:
    samples = audits.audit(name, real_data)
    assert len(samples) == found
    assert all(sample.metadata["prompted"] for sample in samples)


def test_pubmedqa_other_half_passes_the_audit(real_data: Path) -> None:
    samples = audits.audit("pubmedqa@train_dev", real_data)
    assert Counter(sample.answer.gold for sample in samples) == {"yes": 276, "no": 169, "maybe": 55}
    assert all(str(sample.evidence["long_answer"]) not in sample.question for sample in samples)
    assert "yes, no or maybe" in samples[0].question


def test_a_part_of_a_set_is_refused_without_subset(medical: Domain, real_data: Path) -> None:
    with pytest.raises(UserError, match=r"764 of the 1273 released questions .* give --subset"):
        read_suite(load_suite("medqa"), medical, real_data)
    data = read_suite(load_suite("medqa"), medical, real_data, subset=True)
    assert (data.split, coverage(load_suite("medqa"), len(data.samples))) == ("compact", "subset 764 of 1273 of test")


def test_healthbench_conversations(medical: Domain, real_data: Path) -> None:
    samples = read_suite(load_suite("healthbench"), medical, real_data, subset=True).samples
    assert len(samples) == 150 and all(sample.answer.kind is AnswerKind.FREE for sample in samples)
    assert all(sample.messages[-1].role is Role.USER for sample in samples)
    assert all(sample.messages[-1].text == sample.metadata["question"] for sample in samples)  # asked as it stands
    rubrics = [rubric for sample in samples for rubric in sample.evidence["rubrics"]]
    assert min(rubric["points"] for rubric in rubrics) < 0 < max(rubric["points"] for rubric in rubrics)


MEDQA = [
    {
        "question": f"Stem {n}?",
        "answer": "two",
        "options": {"A": "one", "B": "two"},
        "meta_info": "step1",
        "answer_idx": "B",
    }
    for n in range(3)
]


def test_medqa_forms_name_a_question_by_its_place(medical: Domain, tmp_path: Path) -> None:
    write(tmp_path / "medqa/phrases_no_exclude_test.jsonl", MEDQA)
    hub = [
        {"id": f"test-0000{n}", "sent1": f"Stem {n}?", "sent2": "", "ending0": "one", "ending1": "two", "label": 1}
        for n in range(3)
    ]
    table(tmp_path / "medqa/data/test-00000-of-00001.parquet", hub)
    first, second = (samples_of(medical, "medqa", split, tmp_path) for split in ("test", "hub"))
    assert [sample.id for sample in first] == ["medqa-0000", "medqa-0001", "medqa-0002"]
    assert [(s.id, s.answer) for s in first] == [(s.id, s.answer) for s in second]
    assert first[0].answer.gold == "B" and first[0].metadata["step"] == "step1"


def test_medmcqa_counts_from_zero_on_the_hub_and_from_one_in_the_archive(medical: Domain, tmp_path: Path) -> None:
    row = {"id": "x", "question": "Which?", "opa": "1", "opb": "2", "opc": "3", "opd": "4", "choice_type": "multi"}
    told = {"exp": "because", "subject_name": "Surgery", "topic_name": None}
    table(tmp_path / "medmcqa/data/validation-00000-of-00001.parquet", [{**row, "cop": 0, **told}])
    write(tmp_path / "medmcqa/dev.json", {**row, "cop": 1, **told})  # one record a line, called .json by its authors
    for split in ("validation", "dev"):
        (sample,) = samples_of(medical, "medmcqa", split, tmp_path)
        assert (sample.answer.gold, sample.answer.multi) == ("A", False)
        assert "because" not in sample.question and sample.evidence["explanation"] == "because"
    write(tmp_path / "medmcqa/dev.json", {**row, "cop": 0, **told})
    with pytest.raises(UserError, match="cop is int 0, expected 1 to 4"):
        samples_of(medical, "medmcqa", "dev", tmp_path)


SUBJECTS = (
    "anatomy",
    "clinical_knowledge",
    "college_biology",
    "college_medicine",
    "medical_genetics",
    "professional_medicine",
)


def test_mmlu_forms_and_its_repeated_questions(medical: Domain, tmp_path: Path) -> None:
    for subject in SUBJECTS:
        stem = "Shared?" if subject in ("clinical_knowledge", "college_medicine") else f"{subject}?"
        table(
            tmp_path / f"mmlu/{subject}/test-00000-of-00001.parquet",
            [{"question": stem, "subject": subject, "choices": ["p", "q, r", "s", "t"], "answer": 2}],
        )
        path = tmp_path / f"mmlu/test/{subject}_test.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'"{stem}",p,"q, r",s,t,C\n', encoding="utf-8")
    hub, archive = (samples_of(medical, "mmlu_medicine", split, tmp_path) for split in ("test", "csv"))
    assert [(s.id, s.answer, s.metadata) for s in hub] == [(s.id, s.answer, s.metadata) for s in archive]
    assert hub[0].id == "mmlu_medicine-anatomy-000" and hub[0].answer.gold == "C"
    assert len({sample.source.document for sample in hub}) == len(SUBJECTS) - 1
    path.write_text("only one cell\n", encoding="utf-8")
    with pytest.raises(UserError, match="1 cells, expected question, four options and a letter"):
        samples_of(medical, "mmlu_medicine", "csv", tmp_path)


def test_mmlu_pro_takes_one_category_and_no_filling_options(medical: Domain, tmp_path: Path) -> None:
    base = {"question": "Which?", "options": ["a", "b", "c", "N/A"], "cot_content": "", "src": "x"}
    rows = [
        {"question_id": 1, **base, "answer": "C", "answer_index": 2, "category": "health"},
        {"question_id": 2, **base, "answer": "A", "answer_index": 0, "category": "law"},
    ]
    table(tmp_path / "mmlu_pro/data/test-00000-of-00001.parquet", rows)
    (sample,) = samples_of(medical, "mmlu_pro", "health", tmp_path)
    assert sample.id == "mmlu_pro-1" and list(sample.answer.options) == ["A", "B", "C"]
    rows[0]["answer"] = "B"
    table(tmp_path / "mmlu_pro/data/test-00000-of-00001.parquet", rows)
    with pytest.raises(UserError, match="do not name the same option"):
        samples_of(medical, "mmlu_pro", "health", tmp_path)


def expert(question: str, options: object, label: object) -> dict[str, object]:
    kinds = {"medical_task": "Diagnosis", "body_system": "Skeletal", "question_type": "Reasoning"}
    return {"id": "Text-1", "question": question, "options": options, "label": label, **kinds}


def test_medxpertqa_does_not_ask_its_options_twice(medical: Domain, tmp_path: Path) -> None:
    asked = "Why (A) or not?\nAnswer Choices: (A) one (B) two"
    write(tmp_path / "medxpertqa/Text/test.jsonl", [expert(asked, {"A": "one", "B": "two"}, "B")])
    listed = [{"letter": "A", "content": "one"}, {"letter": "B", "content": "two"}]
    write(
        tmp_path / "medxpertqa/eval/data/medxpertqa/input/medxpertqa_text_input.jsonl", [expert(asked, listed, ["B"])]
    )
    hub, github = (samples_of(medical, "medxpertqa_text", split, tmp_path) for split in ("test", "github"))
    assert hub[0].answer == github[0].answer and hub[0].question == "Why (A) or not?"
    prompted = read_suite(load_suite("medxpertqa_text"), medical, tmp_path, subset=True, style="official").samples[0]
    assert prompted.question.count("two") == 1
    write(tmp_path / "medxpertqa/Text/test.jsonl", [expert(asked, {"A": "one", "B": "three"}, "B")])
    with pytest.raises(UserError, match="does not end with its answer choices"):
        samples_of(medical, "medxpertqa_text", "test", tmp_path)


def test_medbullets_columns_and_repeats(medical: Domain, tmp_path: Path) -> None:
    stems = {"0": "One?", "1": "Two?", "2": "one? "}
    options = {f"op{letter}": {n: f"{letter}{n}" for n in stems} for letter in "abcd"}
    columns = {
        "question": stems,
        **options,
        "answer_idx": dict.fromkeys(stems, "D"),
        "explanation": dict.fromkeys(stems, "w"),
    }
    write(tmp_path / "medbullets/medbullets_op4.json", columns)
    samples = samples_of(medical, "medbullets", "op4", tmp_path)
    assert [sample.id for sample in samples] == ["medbullets-000", "medbullets-001", "medbullets-002"]
    assert len({sample.source.document for sample in samples}) == 2
    assert load_suite("medbullets_4").main == "distinct.questions:distinct"
    del columns["opd"]["1"]
    write(tmp_path / "medbullets/medbullets_op4.json", columns)
    with pytest.raises(UserError, match="column 'opd' has no row '1'"):
        samples_of(medical, "medbullets", "op4", tmp_path)


def test_careqa_counts_from_one_and_drops_blank_rows(medical: Domain, tmp_path: Path) -> None:
    row = {
        "exam_id": 1,
        "question": "Which?",
        "op1": "a",
        "op2": "b",
        "op3": "c",
        "op4": "d",
        "cop": 4.0,
        "year": 2024.0,
    }
    rows = [{**row, "category": "Nursing", "unique_id": "u"}, dict.fromkeys([*row, "category", "unique_id"])]
    write(tmp_path / "careqa/CareQA_en.json", rows)
    sample, blank = rows_of(medical, "careqa", "test", tmp_path)
    assert isinstance(sample, Sample) and (sample.id, sample.answer.gold) == ("careqa-u", "D")
    assert isinstance(blank, Drop) and blank.reason == "no_question"
    lines = "\n".join(json.dumps({**one, "question": float("nan")} if one["question"] is None else one) for one in rows)
    (tmp_path / "careqa/CareQA_en.json").write_text(lines, encoding="utf-8")  # as pandas writes the same table
    assert [type(one) for one in rows_of(medical, "careqa", "test", tmp_path)] == [Sample, Drop]


PMID = {
    "QUESTION": "Does it?",
    "CONTEXTS": ["Aim.", "Result."],
    "LABELS": ["A", "B"],
    "LONG_ANSWER": "It does.",
    "YEAR": "2001",
}


def test_pubmedqa_is_the_half_that_its_ground_truth_names(medical: Domain, tmp_path: Path) -> None:
    articles = {"11": {**PMID, "final_decision": "maybe"}, "22": {**PMID, "final_decision": "yes"}}
    write(tmp_path / "pubmedqa/ori_pqal.json", articles)
    write(tmp_path / "pubmedqa/test_ground_truth.json", {"11": "maybe"})
    (sample,) = samples_of(medical, "pubmedqa", "test", tmp_path)
    assert (sample.id, sample.source.document, sample.answer.gold) == ("pubmedqa-11", "pmid-11", "maybe")
    assert sample.question == "Aim.\nResult.\nQuestion: Does it?"
    assert audits.wrong_golds([sample]) == {}
    write(tmp_path / "pubmedqa/test_ground_truth.json", {"11": "no"})
    with pytest.raises(UserError, match="11 is decided 'maybe'"):
        samples_of(medical, "pubmedqa", "test", tmp_path)
    write(tmp_path / "pubmedqa/test_ground_truth.json", {"33": "no"})
    with pytest.raises(UserError, match="no field '33'"):
        samples_of(medical, "pubmedqa", "test", tmp_path)


def benchmark() -> dict[str, Any]:
    options = {"A": "yes", "B": "no", "C": "maybe", "D": "never"}
    return {
        part: {name: {"question": f"{part} {name}?", "options": options, "answer": "A"} for name in ("b2", "a1")}
        for part in ("medqa", "mmlu", "medmcqa", "pubmedqa", "bioasq")
    }


def test_mirage_asks_parts_in_its_own_order(medical: Domain, tmp_path: Path) -> None:
    write(tmp_path / "mirage/benchmark.json", benchmark())
    samples = samples_of(medical, "mirage", "all", tmp_path)
    assert [sample.id for sample in samples[:3]] == ["mirage-mmlu-a1", "mirage-mmlu-b2", "mirage-medqa-a1"]
    assert len(samples) == 10 and len(samples_of(medical, "mirage", "bioasq", tmp_path)) == 2


def test_cmb_takes_answers_from_the_second_file(medical: Domain, tmp_path: Path) -> None:
    base = {"exam_type": "药师考试", "exam_class": "初级药士", "exam_subject": "x", "question": "哪些？"}
    options = {"A": "甲", "B": "乙", "C": "丙", "D": "", "E": ""}
    kinds = ("单项选择题", "多项选择题")
    questions = [{"id": n, **base, "question_type": kind, "option": options} for n, kind in enumerate(kinds, start=1)]
    write(tmp_path / "cmb/CMB-Exam/CMB-test/CMB-test-choice-question-merge.json", questions)
    write(tmp_path / "cmb/CMB-test-choice-answer.json", [{"id": 1, "answer": "B"}, {"id": 2, "answer": "CA"}])
    single, several = samples_of(medical, "cmb_exam", "test", tmp_path)
    assert (single.answer.multi, several.answer.multi) == (False, True)
    assert (several.answer.gold, several.metadata["answer"]) == ("AC", "CA")
    assert list(single.answer.options) == ["A", "B", "C"] and single.answer.lang == "zh"
    audits.audit("cmb_exam", tmp_path)
    write(tmp_path / "cmb/CMB-test-choice-answer.json", [{"id": 1, "answer": "B"}])
    with pytest.raises(UserError, match="question 2 has no answer"):
        samples_of(medical, "cmb_exam", "test", tmp_path)


def test_cmexam_lines_of_options(medical: Domain, tmp_path: Path) -> None:
    path = tmp_path / "cmexam/test_with_annotations.csv"
    path.parent.mkdir()
    header = "Question,Options,Answer,Explanation,Disease Group,Clinical Department,Medical Discipline\n"
    rows = ['哪项？,"A 甲\nB 乙\nC 丙",B', '哪些？,"A 甲\nB 乙",AB', '哪？,"A 甲\nB 乙",']
    path.write_text(header + "".join(f"{row},因为,x,y,内科\n" for row in rows), encoding="utf-8")
    single, several, without = rows_of(medical, "cmexam", "test", tmp_path)
    assert isinstance(single, Sample) and single.answer.options == {"A": "甲", "B": "乙", "C": "丙"}
    assert isinstance(several, Sample) and several.answer.multi and several.metadata["discipline"] == "内科"
    assert isinstance(without, Drop) and without.reason == "answer_not_in_options"
    assert audits.wrong_golds([single, several]) == {}


def test_jmed_has_21_options(medical: Domain, tmp_path: Path) -> None:
    options = {chr(ord("A") + n): f"诊断{n}" for n in range(21)}
    write(tmp_path / "jmed/test.jsonl", [{"id": 5, "question": "诊断？", "options": options, "answer": ["U"]}])
    (sample,) = samples_of(medical, "jmed", "test", tmp_path)
    assert sample.answer.gold == "U" and audits.wrong_golds([sample]) == {}
    assert load_suite("jmed").reader_only


BROKEN: list[tuple[str, str, str, Callable[[Path], object], str]] = [
    ("mirage", "all", "mirage/benchmark.json", lambda p: p.write_text('["x"]'), "expected an object with fields"),
    ("mirage", "all", "mirage/benchmark.json", lambda p: p.write_text('{"mmlu": '), "broken JSON"),
    (
        "medmcqa",
        "validation",
        "medmcqa/data/validation-00000-of-00001.parquet",
        lambda p: p.write_bytes(b"PAR1"),
        "not a whole",
    ),
    ("careqa", "test", "careqa/CareQA_en.json", lambda p: p.write_bytes(b"{\xff}"), "not UTF-8 at byte 1"),
]


@pytest.mark.parametrize(("source", "split", "name", "spoil", "message"), BROKEN)
def test_broken_files_say_so(
    source: str, split: str, name: str, spoil: Callable[[Path], object], message: str, medical: Domain, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    spoil(path)
    with pytest.raises(UserError, match=message):
        samples_of(medical, source, split, tmp_path)
