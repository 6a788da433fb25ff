"""The scorers of medical choices and of structured reports against values that the original programs gave."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.suites.reference import (
    gmai,
    medevalkit_choice,
    medevalkit_judged,
    medvlthinker,
    omnimedvqa,
    pmc_vqa,
    rad_restruct,
)
from mmreason.suites.references import Reference, Scored

RNG = random.Random(0)
OPTIONS = {"A": "Diffuse uptake", "B": "Focal uptake", "C": "No uptake", "D": "Not shown"}
SAMPLE = Sample(
    id="set-1",
    source=Source("set", "test", "CC0", "1", "image"),
    messages=(Message.of(Role.USER, "What pattern is seen?"),),
    answer=Answer(AnswerKind.CHOICE, "B", OPTIONS),
    metadata={"question": "What pattern is seen?", "answer": "Focal uptake"},
)
LONG = "The tracer collects in one place and there is no uptake elsewhere, which speaks for B rather than A."


@pytest.mark.parametrize(
    ("output", "medevalkit", "thinker", "difflib", "rules"),
    [
        ("B", True, True, False, True),
        ("b", True, True, False, False),
        ("(B)", True, False, False, True),
        ("B.", True, False, False, True),
        ("B. Focal uptake", True, True, True, True),
        ("Focal uptake", True, True, True, True),
        ("The answer is B", True, False, False, True),
        ("The answer is B, of course.", False, False, False, True),
        ("\\boxed{B}", True, False, False, True),
        ("<answer>\nB\n</answer>", True, True, False, True),
        ("A or B", False, False, False, False),
        (LONG, False, False, True, False),
        ("", False, False, False, False),
    ],
)
def test_choices(output: str, medevalkit: bool, thinker: bool, difflib: bool, rules: bool) -> None:
    scorers = (medevalkit_choice.tagged, medvlthinker.evaluate, omnimedvqa.qa, gmai.rules)
    assert [one.score(output, SAMPLE, RNG) for one in scorers] == [medevalkit, thinker, difflib, rules]


def test_medevalkit_never_abstains() -> None:
    first = replace(SAMPLE, answer=replace(SAMPLE.answer, gold="A"))
    assert medevalkit_choice.untagged.score("", first, RNG) is True


def test_the_training_reward_of_medvlthinker_stops_at_a_line_break() -> None:
    assert medvlthinker.reward.score("<think>x</think><answer>B</answer>", SAMPLE, RNG) is True
    assert medvlthinker.reward.score("<think>x</think><answer>\nB</answer>", SAMPLE, RNG) is False
    assert medvlthinker.evaluate.score("<think>x</think><answer>\nB</answer>", SAMPLE, RNG) is True


def test_pmc_vqa_gives_output_and_label_to_the_nearest_choice() -> None:
    printed = [f" {letter}:{text}" for letter, text in OPTIONS.items()]
    sample = replace(SAMPLE, metadata={**SAMPLE.metadata, "choices": printed, "answer": printed[1]})
    assert pmc_vqa.choice.score("the answer: B", sample, RNG) is True
    assert pmc_vqa.whole.score("focal uptake", sample, RNG) is True
    assert pmc_vqa.blank.score("Focal", sample, RNG) is True
    assert pmc_vqa.choice.score("D", sample, RNG) is False


def test_unanswered_items_leave_the_denominator_of_omnimedvqa() -> None:
    assert omnimedvqa.qa.run([None, "Focal uptake"], [SAMPLE, SAMPLE])[0].value is None


def test_short_answers_of_mmmu_can_never_be_right_in_medevalkit() -> None:
    short = replace(SAMPLE, answer=Answer(AnswerKind.SPAN, "0.5"))
    assert medevalkit_choice.mmmu.score("0.5", short, RNG) is False
    assert medevalkit_choice.mmmu_fixed.score("The rate is 0.5", short, RNG) is True


def _judged(one: Reference, closed_hit: bool, judge: str) -> dict[str, float]:
    yes = replace(SAMPLE, metadata={"question": "q", "answer": "yes", "answer_type": "closed"})
    free = replace(SAMPLE, metadata={"question": "q", "answer": "lung", "answer_type": "open"})
    outputs = ["yes" if closed_hit else "no", "pulmo"]
    return one.total(one.run([f"{text}\n<judge>{judge}</judge>" for text in outputs], [yes, free]))


def test_the_faults_of_medevalkit_with_its_judge() -> None:
    assert _judged(medevalkit_judged.vqa_rad, True, "0") == {"acc": 1.0, "close": 1.0, "open": 1.0}
    assert _judged(medevalkit_judged.path_vqa, True, "0") == {"acc": 0.5, "close": 0.0, "open": 1.0}
    assert _judged(medevalkit_judged.slake_both, True, "0") == {"acc": 1.5, "close": 2.0, "open": 1.0}


def _item(number: int, gold: list[str], level: int, **evidence: object) -> Sample:
    binary = gold[0] in ("yes", "no")
    options = ["yes", "no"] if binary else ["mild", "severe", "unspecified"]
    letters = {chr(65 + place): text for place, text in enumerate(options)}
    right = "".join(letter for letter, text in letters.items() if text in gold)
    base = {"slots": {}, "classes": 7, "noes": [1, 3], "topic": None, "finding": None, "previous": None}
    return Sample(
        id=f"rad-9-{number:03d}",
        source=Source("rad", "test", "-", f"9-{number:03d}", "9"),
        messages=(Message.of(Role.USER, "q"),),
        answer=Answer(AnswerKind.JUDGEMENT, gold[0]) if binary else Answer(AnswerKind.CHOICE, right, letters),
        evidence={**base, **evidence},
        metadata={
            "question": "q",
            "answer": gold[0],
            "answers": gold,
            "choices": options,
            "answer_form": "yes_no" if binary else "multi_choice",
            "level": level,
            "images": 2,
            "last": level == 3,
        },
    )


REPORT = [
    _item(0, ["yes"], 1, slots={"yes": 0, "no": 1}),
    _item(1, ["yes"], 2, slots={"yes": 2, "no": 3}, topic=0),
    _item(2, ["mild"], 3, slots={"mild": 4, "severe": 5, "unspecified": 6}, topic=0, finding=1),
]


@pytest.mark.parametrize(
    ("outputs", "vector"),
    [
        (("yes", "yes", "A"), [1, 0, 1, 0, 1, 0, 0]),
        (("yes", "yes", "A, C"), [1, 0, 1, 0, 1, 0, 0]),
        (("yes", "yes", "nothing I know"), [1, 0, 1, 0, 0, 0, 1]),
        (("yes", "no", "A"), [1, 0, 0, 1, 0, 0, 0]),
        (("no", "yes", "A"), [0, 1, 0, 1, 0, 0, 0]),
        ((None, "yes", "A"), [0, 1, 0, 1, 0, 0, 0]),
    ],
)
def test_a_no_rules_out_what_hangs_on_it(outputs: tuple[str | None, ...], vector: list[int]) -> None:
    scored = [Scored(sample, output, None) for sample, output in zip(REPORT, outputs, strict=True)]
    said, wanted = rad_restruct.tables(scored)
    assert said.tolist() == [vector, vector]  # once for each of two images
    assert wanted[0].tolist() == [1, 0, 1, 0, 1, 0, 0]


def test_numbers_of_reports() -> None:
    scored = [Scored(sample, output, None) for sample, output in zip(REPORT, ("yes", "yes", "B"), strict=True)]
    found = rad_restruct.reports(scored)
    assert (found["report_acc"], found["acc"]) == (0.0, pytest.approx(5 / 7))
    # classes with gold: 0, 2 right, 4 missed; its precision without predictions counts as 1
    micro, weighted, samples = 2 / 3, 1.0, 2 / 3
    macro = (1 + 1 + 1 + 1 + 1 + 0 + 1) / 7
    assert found["precision"] == pytest.approx((1 + 1 + 1 + micro + macro + weighted + samples) / 7)


def test_the_last_question_stands_for_all_in_medevalkit() -> None:
    one = rad_restruct.medevalkit
    assert one.total(one.run(["no", "no", "mild"], REPORT)) == {"acc": 1.0, "acc_fixed": pytest.approx(1 / 3)}
