"""The scorers of free medical answers against values that the original programs gave."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.suites.reference import llava_med, medevalkit, medical_forms, pathvqa, slake_lmms, vqa_med, vqa_words
from mmreason.suites.references import Reference, Scored

RNG = random.Random(0)


def asked(answer: str, closed: bool, question: str = "what is it?", name: str = "q", **extra: object) -> Sample:
    """One question with what the scorers look at."""
    form = "closed" if closed else "open"
    return Sample(
        id=f"set-{name}",
        source=Source("set", "test", "CC0", name, f"image-{name}"),
        messages=(Message.of(Role.USER, question),),
        answer=Answer(AnswerKind.SPAN, answer),
        metadata={"question": question, "answer": answer, "answer_type": form, "form": form, **extra},
    )


def value(one: Reference, output: str, answer: str, closed: bool = False) -> float | bool | None:
    return one.score(output, asked(answer, closed), RNG)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("X-ray/CT", "x ray ct"),
        ("left lung, right", "left lung right"),
        ("1,000 - mg", "1000 mg"),
        ("The mass is 3.4 cm.", "mass is 3.4 cm"),
        ("none of two; ten", "0 of 2 10"),
        ("dont y'alld've", "don't y'all'd've"),
        ("a.b" * 40, "ab" * 32 + "a.b" * 8),
    ],
)
def test_normaliser(text: str, normal: str) -> None:
    assert vqa_words.vqa_normal(text.lower()) == normal


@pytest.mark.parametrize(
    ("output", "gold", "right", "repaired"),
    [
        ("yes", "yes", True, True),
        ("Yes, there is no effusion", "no", True, False),
        ("Yes, there is no effusion", "yes", True, False),
        ("It is normal", "no", True, False),
        ("the left side", "left", False, True),
        ("left, no doubt", "left", True, True),
        ("yes no", "yes", True, False),
        ("", "no", False, False),
        ("mri", "MRI", False, True),
        ("abnormal", "abnormal", True, True),
    ],
)
def test_llava_med_closed(output: str, gold: str, right: bool, repaired: bool) -> None:
    assert value(llava_med.closed, output, gold, closed=True) is right
    assert value(llava_med.closed_fixed, output, gold, closed=True) is repaired
    assert value(llava_med.closed, output, gold) is None


def test_the_pathvqa_script_does_not_count_a_wrong_yes_or_no() -> None:
    assert value(llava_med.closed_pathvqa, "yes", "no", closed=True) is None
    assert value(llava_med.closed_pathvqa, "no", "no", closed=True) is True
    assert value(llava_med.closed_pathvqa, "maybe", "no", closed=True) is False


@pytest.mark.parametrize(
    ("output", "gold", "precision", "recall", "f1"),
    [
        ("left left left", "left lung", 1.0, 0.75, 6 / 7),
        ("left lung", "lung left", 1.0, 1.0, 1.0),
        ("right lung, left", "left lung, right", 1.0, 1.0, 1.0),
        ("the heart is here", "heart", 1 / 3, 1.0, 0.5),
        ("", "heart", 0.0, 0.0, 0.0),
    ],
)
def test_llava_med_open(output: str, gold: str, precision: float, recall: float, f1: float) -> None:
    found = [value(one, output, gold) for one in (llava_med.precision, llava_med.recall, llava_med.f1)]
    assert found == pytest.approx([precision, recall, f1])


def test_its_exact_match_is_a_share_of_words_and_its_repaired_recall_counts_both_sides() -> None:
    assert value(llava_med.exact, "lung", "left lung, right") == 1.0
    assert value(llava_med.recall_fixed, "left left left", "left lung") == 0.5


def test_bleu_of_two_ages() -> None:
    quarters = (0.25,) * 4
    assert vqa_words.sentence_bleu(["a"], ["a"], quarters, old=True) == 1.0
    assert vqa_words.sentence_bleu(["a"], ["a"], quarters) == pytest.approx(1.821831989445342e-231)
    assert vqa_words.sentence_bleu(["a"], list("axyzw"), quarters, old=True) == pytest.approx(0.668740304976422)
    assert vqa_words.sentence_bleu(["a"], [], quarters, old=True) == 0.0


@pytest.mark.parametrize(
    ("output", "gold", "same"),
    [
        ("X-Ray", "xray", True),
        ("Yeah", "Yes", True),
        ("lung (left)", "Lung", True),
        ("Right Lung, Left", "Left, Right Lung", False),
        ("正常", "是", True),
        ("异常。", "没有", True),
        ("no evidence", "No", False),
    ],
)
def test_slake_of_lmms_eval(output: str, gold: str, same: bool) -> None:
    assert value(slake_lmms.exact, output, gold) is same


def test_pathvqa_drops_digits() -> None:
    assert value(pathvqa.exact, "10 um", "um") == 1.0
    assert value(pathvqa.f1, "10 20", "um") == 0.0
    assert value(pathvqa.bleu_1, "a cell", "the cell") == pytest.approx(0.5 * 2.718281828459045 ** (1 - 8 / 6))
    assert value(pathvqa.bleu_3, "cell", "cell") == 0.0


@pytest.mark.parametrize(
    ("output", "gold", "right"),
    [
        ("Yes", "yes", True),
        ("The answer is: Yes.", "yes", True),
        ("the answer is yes", "yes", True),
        ("yes, not normal", "yes", False),
        ("<answer>left</answer> <answer>lung</answer>", "left lung", True),
        ("\\boxed{lung}", "Lung", True),
        ("boxed nothing", "none", False),
        ("final answer: x", "x", False),
    ],
)
def test_medevalkit_answers(output: str, gold: str, right: bool) -> None:
    assert value(medevalkit.vqa, output, gold) is right


def test_medevalkit_columns_stand_under_each_others_names() -> None:
    sample = asked("left lung", closed=False)
    scored = [Scored(sample, "left lung lobe", 0.0), Scored(sample, "left lung", 1.0)]
    faithful, repaired = medevalkit.vqa.total(scored), medevalkit.vqa_fixed.total(scored)
    assert (repaired["precision"], repaired["recall"], repaired["f1"]) == pytest.approx((5 / 6, 1.0, 0.9))
    assert (faithful["precision"], faithful["recall"], faithful["f1"]) == pytest.approx((0.9, 5 / 6, 1.0))
    assert (repaired["open"], faithful["open"]) == (0.5, 0.25)  # the original divides by n once more


def test_slake_of_medevalkit_looks_for_a_lower_case_gold() -> None:
    assert value(medevalkit.slake, "Yes, it is", "Yes", closed=True) is False
    assert value(medevalkit.slake_fixed, "Yes, it is", "Yes", closed=True) is True
    assert value(medevalkit.slake, "Yes.", "Yes", closed=True) is True


def test_vqa_med_takes_any_reference_and_its_bleu_the_best() -> None:
    sample = asked("avascular necrosis", closed=False, answers=["avascular necrosis", "osteonecrosis of the hip"])
    assert vqa_med.accuracy.score("Osteonecrosis, of the hip", sample, RNG) is True
    assert vqa_med.accuracy.score("necrosis", sample, RNG) is False
    assert vqa_med.bleu.score("osteonecrosis of hips", sample, RNG) == 1.0
    assert vqa_med.bleu_new.score("osteonecrosis", sample, RNG) < 1e-3
    assert vqa_med.bleu.total([Scored(sample, "", 1 / 3)]) == {"acc": 0.3333}


def test_a_run_of_vqa_med(tmp_path: Path) -> None:
    samples = [asked("iv", False, name="synpic1"), asked("mri", False, name="synpic2")]
    path = tmp_path / "run.txt"
    path.write_text("synpic2|mri\nsynpic1| iv \n")
    assert vqa_med.run(path, samples) == {"set-synpic2": ["mri"], "set-synpic1": ["iv"]}
    path.write_text("synpic1|\n")
    with pytest.raises(UserError, match=r"line 1.*not empty"):
        vqa_med.run(path, samples)


def test_answer_files_are_matched_by_order_and_question(tmp_path: Path) -> None:
    samples = [asked("yes", True, "Is it axial?", "1"), asked("ct", False, "Which  kind?", "2")]
    path = tmp_path / "answers.jsonl"
    rows = ['{"question_id": 7, "prompt": "Is it axial? Please choose", "text": "Yes"}']
    path.write_text("\n".join([*rows, '{"question_id": 9, "prompt": "Which kind?", "text": "CT"}']))
    assert llava_med.answers(path, samples) == {"set-1": ["Yes"], "set-2": ["CT"]}
    path.write_text("\n".join([*rows, '{"question_id": 9, "prompt": "What plane?", "text": "CT"}']))
    with pytest.raises(UserError, match="line 2 asks 'What plane"):
        llava_med.answers(path, samples)
    path.write_text(rows[0])
    with pytest.raises(UserError, match="1 answers, the suite 2 questions"):
        llava_med.answers(path, samples)


def test_closed_and_open_apart() -> None:
    yes = asked("yes", True)
    samples = [yes, asked("left", True), asked("right lung", False), asked("left lung", False)]
    values, outputs = (1.0, 0.5, 1.0, 0.5), ("yes", "left?", "right lung", "the right lung")
    found = medical_forms.by_form([Scored(*row) for row in zip(samples, outputs, values, strict=True)])
    assert (found["closed"], found["open_em"], found["open_f1"]) == (0.5, 0.5, 0.75)
    assert (found["yes_no"], found["wrong_side"]) == (0.0, 0.5)


def test_blind_and_lookup() -> None:
    train = [("Is it CT?", "no"), ("is it ct?", "Yes"), ("Is it CT? ", "yes"), ("Where?", "left"), ("Why?", "left")]
    assert medical_forms.blind(train, ["Is it CT?", "where?", "never asked"]) == ["yes", "left", "yes"]
    rows = [("a", "Is the heart large?", "yes"), ("a", "Which plane is it?", "axial"), ("b", "x", "y")]
    assert medical_forms.lookup(rows, [("a", "is the heart big?"), ("c", "x")]) == ["yes", ""]
