"""MIRAGE, PubMedQA, CMB and CMExam: aggregation, their own prediction files, numbers that a mute model gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.suites.predictions import match_predictions
from mmreason.suites.reference import cmb, cmexam, mirage, pubmedqa
from mmreason.suites.references import Scored

audits = load_module(Path(__file__).parents[1] / "suite_audits.py")


def item(
    gold: str, kind: AnswerKind = AnswerKind.CHOICE, row: str = "0", options: str = "ABCD", **metadata: object
) -> Sample:
    texts = {} if kind is AnswerKind.JUDGEMENT else {letter: f"text {letter.lower()}" for letter in options}
    labels = {word: [word] for word in pubmedqa.DECISIONS} if kind is AnswerKind.JUDGEMENT else {}
    return Sample(
        id=f"set-{row}",
        source=Source("set", "test", "MIT", row),
        messages=(Message.of(Role.USER, "q"),),
        answer=Answer(kind, gold, texts, multi=len(gold) > 1 and kind is AnswerKind.CHOICE, aliases=labels),
        metadata={"question": "q", **metadata},
    )


def mirage_items(part: str, golds: dict[str, int]) -> list[Sample]:
    letters = [letter for letter, count in golds.items() for _ in range(count)]
    return [item(gold, row=f"{part}-{n}", part=part, part_id=str(n)) for n, gold in enumerate(letters)]


# Gold letters of the released sets: what a model that says nothing is credited with.
MUTE = [
    ("medqa", {"A": 353, "B": 309, "C": 346, "D": 265}, 0.2773),
    ("medmcqa", {"A": 1348, "B": 1085, "C": 925, "D": 825}, 0.3223),
    ("pubmedqa", {"A": 276, "B": 169, "C": 55}, 0.552),
    ("mmlu", {"A": 235, "B": 254, "C": 248, "D": 352}, 0.2158),
]


@pytest.mark.parametrize(("part", "golds", "share"), MUTE)
@pytest.mark.parametrize("word", ["", "I do not know", "the answer cannot be given"])
def test_a_mute_model_is_credited_with_letter_a(part: str, golds: dict[str, int], share: float, word: str) -> None:
    samples = mirage_items(part, golds)
    total = mirage.official.total(mirage.official.run([word] * len(samples), samples))
    assert total["mean"] == total[part] == pytest.approx(share, abs=5e-5)


def test_mirage_mean_is_over_parts_not_questions() -> None:
    samples = mirage_items("medqa", {"A": 3}) + mirage_items("bioasq", {"B": 1})
    scored = mirage.official.run(['{"answer_choice": "A. x"}'] * 4, samples)
    assert mirage.mean_of_parts(scored) == {"mean": 0.5, "medqa": 1.0, "bioasq": 0.0}


def test_mirage_reads_its_folder(tmp_path: Path) -> None:
    samples = mirage_items("medqa", {"A": 3})
    for name, answers in (("test_0", ["A", "B"]), ("test_1", [])):
        (tmp_path / f"{name}.json").write_text(json.dumps(answers), encoding="utf-8")
    found = mirage.folder(tmp_path, samples)
    assert found == {"set-medqa-0": ["A"]}  # the first element counts; an empty list is no answer
    outputs, missing = match_predictions(found, samples, "mirage_medqa")
    assert missing == ["set-medqa-1", "set-medqa-2"]
    assert [one.value for one in mirage.official.run([run[0].text for run in outputs], samples)] == [1, 0, 0]
    (tmp_path / "test_9.json").write_text('["A"]', encoding="utf-8")
    with pytest.raises(UserError, match="does not have, first 'medqa-9'"):
        match_predictions(mirage.folder(tmp_path, samples), samples, "mirage_medqa")


def test_mirage_refuses_two_models_and_foreign_files(tmp_path: Path) -> None:
    samples = mirage_items("medqa", {"A": 1}) + mirage_items("bioasq", {"A": 1})
    for model in ("one", "two"):
        (tmp_path / "medqa" / model).mkdir(parents=True)
        (tmp_path / "medqa" / model / "test_0.json").write_text('["A"]', encoding="utf-8")
    with pytest.raises(UserError, match="name the folder of one model"):
        mirage.folder(tmp_path, samples)
    with pytest.raises(UserError, match="is no folder with prediction files"):
        mirage.folder(tmp_path / "empty", samples)
    (tmp_path / "medqa" / "one" / "test_0.json").write_text('{"a": 1}', encoding="utf-8")
    with pytest.raises(UserError, match="is no JSON list of texts"):
        mirage.folder(tmp_path / "medqa" / "one", samples[:1])


def decided(said: list[str], truth: list[str]) -> tuple[list[str], list[Sample]]:
    return said, [item(gold, AnswerKind.JUDGEMENT, str(n)) for n, gold in enumerate(truth)]


def test_pubmedqa_all_yes_on_the_released_proportions() -> None:
    truth = ["yes"] * 276 + ["no"] * 169 + ["maybe"] * 55
    outputs, samples = decided(["yes"] * 500, truth)
    numbers = pubmedqa.official.total(pubmedqa.official.run(outputs, samples))
    assert numbers == {"accuracy": pytest.approx(0.552), "macro_f1": pytest.approx(0.237113, abs=1e-6)}
    scored = [Scored(s, o, float(o == s.answer.gold)) for o, s in zip(outputs, samples, strict=True)]
    assert pubmedqa.strict(scored)["macro_f1"] == pytest.approx(0.237113, abs=1e-6)


def test_pubmedqa_a_foreign_word_is_a_label_of_its_own() -> None:
    """scikit-learn's macro average is over every string that occurs: 4 labels here, F1 1, 2/3, 0 and 0."""
    outputs, samples = decided(["yes", "no", "no", "Yes"], ["yes", "no", "maybe", "yes"])
    numbers = pubmedqa.official.total(pubmedqa.official.run(outputs, samples))
    assert numbers == {"accuracy": 0.5, "macro_f1": pytest.approx((2 / 3 + 2 / 3) / 4)}
    assert pubmedqa.answer.total(pubmedqa.answer.run(outputs, samples))["accuracy"] == 0.75
    scored = pubmedqa.answer.run(outputs, samples)
    assert pubmedqa.strict(scored)["macro_f1"] == pytest.approx((1 + 2 / 3) / 3)


def test_pubmedqa_official_takes_no_prose_and_ours_does() -> None:
    outputs, samples = decided(
        ["<think>x</think><answer>\\boxed{maybe}</answer>", "The answer is no."], ["maybe", "no"]
    )
    assert [one.value for one in pubmedqa.official.run(outputs, samples)] == [0, 0]
    assert pubmedqa.answer.run(outputs, samples)[0].value == 1


def test_pubmedqa_decisions_file(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    path.write_text('{"0": "yes", "77": "no"}', encoding="utf-8")
    _, samples = decided(["yes"], ["yes"])
    with pytest.raises(UserError, match="does not have, first '77'"):
        match_predictions(pubmedqa.decisions(path, samples), samples, "pubmedqa")
    path.write_text('{"0": "yes", "0": "no"}', encoding="utf-8")
    with pytest.raises(UserError, match="'0' was given before"):
        pubmedqa.decisions(path, samples)


def test_pubmedqa_annotators_on_the_other_half(real_data: Path) -> None:
    """Accuracy and macro-F1 of the two annotators on the 500 questions outside the test split, by scikit-learn."""
    _, samples = audits.questions("pubmedqa@train_dev", real_data)
    assert len(samples) == 500
    for key, expected in (("reasoning_required_pred", (0.782, 0.694557)), ("reasoning_free_pred", (0.928, 0.888063))):
        outputs = [str(sample.evidence[key]) for sample in samples]
        numbers = pubmedqa.official.total(pubmedqa.official.run(outputs, samples))
        assert (numbers["accuracy"], numbers["macro_f1"]) == pytest.approx(expected, abs=1e-6), key


CMB_ROWS = [
    ("D", "单项选择题", "D"),
    ("答案是D。", "单项选择题", "D"),
    ("答案：B和D。C不对", "多项选择题", "BD"),
    ("正确选项为A，因为B错", "单项选择题", "A"),
    ("A和B都对，答案为C。", "单项选择题", "C"),
    ("GFE选", "多项选择题", "GFE"),
    ("GFE选", "单项选择题", "G"),
    ("答案是。D", "单项选择题", ""),
    ("The answer is B", "单项选择题", "B"),
    ("The Answer is B", "单项选择题", "A"),
    ("", "多项选择题", ""),
]


@pytest.mark.parametrize(("output", "kind", "letters"), CMB_ROWS)
def test_cmb_reads_letters_as_the_original(output: str, kind: str, letters: str) -> None:
    assert cmb.extract(output, kind == cmb.MULTI) == letters


def test_cmb_is_macro_within_categories(tmp_path: Path) -> None:
    rows = [
        ("医师考试", "执业医师", "A"),
        ("医师考试", "执业医师", "B"),
        ("医师考试", "中级职称", "CA"),
        ("药师考试", "初级药士", "D"),
    ]
    samples = [
        item("".join(sorted(gold)), row=str(n), exam_type=kind, exam_class=grade, answer=gold)
        for n, (kind, grade, gold) in enumerate(rows, start=1)
    ]
    path = tmp_path / "model_answer.json"
    answers = [{"id": 1, "model_answer": "A"}, {"id": 3, "model_answer": "CA"}, {"id": 4, "model_answer": "d"}]
    path.write_text(json.dumps(answers), encoding="utf-8")
    outputs, missing = match_predictions(cmb.answers(path, samples), samples, "cmb_exam")
    assert missing == ["set-2"]
    total = cmb.official.total(cmb.official.run([run[0].text for run in outputs], samples))
    assert total == {"mean": 0.375, "医师考试": 0.75, "药师考试": 0.0}


CMEXAM_OPTIONS = {"A": "阿司匹林", "B": "维生素C 片", "C": "肝炎", "D": "A型血友病", "E": "高血压 病"}
CMEXAM_ROWS = [
    ("B", "B", ""),
    ("B\n解释：因为肝炎", "B", ""),
    ("选B。肝炎", "BC", ""),
    ("维生素C", "BC", ""),
    ("D 血友病", "D", ""),
    ("A型血友病", "AD", ""),
    ("高血压", "E", ""),
    ("无", "无答案", ""),
    ("", "无答案", ""),
    ("答案：C，解释：x", "C", "C"),
    ("答案：C,解释", "C", ""),
    ("答案：AB，因为，解释：x", "AB", "AB，因为"),
    ("答案：NA，x", "A", ""),
    ("解释C\nB", "C", ""),
]


@pytest.mark.parametrize(("output", "collected", "labelled"), CMEXAM_ROWS)
def test_cmexam_reads_letters_as_the_originals(output: str, collected: str, labelled: str) -> None:
    assert cmexam.collected(output, CMEXAM_OPTIONS) == collected
    assert cmexam.labelled_answer(output) == labelled


def test_cmexam_weighted_shares() -> None:
    """scikit-learn on the same strings: precision 3/4, recall 1/2, F1 7/12."""
    truth, said = ["A", "A", "B", "BC"], ["A", "B", "无答案", "BC"]
    assert cmexam.weighted(truth, said) == {"acc": 0.5, "precision": 0.75, "recall": 0.5, "f1": pytest.approx(7 / 12)}
    samples = [item(gold, row=str(n), answer=gold) for n, gold in enumerate(truth)]
    numbers = cmexam.labelled.total(cmexam.labelled.run(["答案：A，x", None, "B", "答案：C，x"], samples))
    assert numbers["acc"] == 0.5  # an answer without the label leaves the denominator
