"""TempCompass, MMVU's judge and VSI-Bench: rules, stored verdicts, predictions files and totals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Role, Sample, Source
from mmreason.suites.reference import mmvu, tempcompass, vsi_bench
from mmreason.suites.reference.judged import answer_of, verdict_of, with_verdict
from mmreason.suites.references import Scored


def sample(answer: Answer, name: str = "s", clip: str = "v", **metadata: Any) -> Sample:
    return Sample(
        id=f"d-{name}",
        source=Source("d", "t", "l", name),
        messages=(Message.of(Role.USER, "q"),),
        answer=answer,
        media=(MediaRef("", "video", f"tempcompass/videos/{clip}.mp4", 0),),
        metadata={"question": "q", **metadata},
    )


# (prediction, gold, verdict of the original without its judge)
CHOICES = [
    ("B. dunking", "B. dunking", True),
    ("B", "B. dunking", True),
    ("B.", "B. dunking", True),
    ("B) dunking", "B. dunking", True),
    ("B.\n\nBecause", "B. dunking", True),
    ("(B)", "B. dunking", False),
    ("b", "B. dunking", False),
    ("dunking", "B. dunking", False),
    ("The answer is B.", "B. dunking", False),
    ("**B.**", "B. dunking", False),
    ("B,", "B. dunking", False),
    ("A", "B. dunking", False),
    ("", "B. dunking", False),
]
VERDICTS = [
    ("Yes, it is.", "yes", True),
    ("yes and no", "yes", True),
    ("No", "no", True),
    ("Not sure", "no", True),
    ("Nothing moves", "no", True),
    ("It is.", "yes", False),
    (" yes", "yes", True),
    ("", "no", False),
]
CAPTION = "Which sentence is better?\nSentence A: A man runs.\nSentence B: A man walks."
CAPTIONS = [
    ("Sentence B: A man walks.", True),
    ("A man walks.", True),
    ("Sentence B", True),
    ("Sentence B.", True),
    ("B", True),
    ("B.", True),
    ("B) A man walks.", True),
    ("Option B", False),
    ("b", False),
    ("Sentence A", False),
    ("The answer is B", False),
    ("A man walks", False),
    ("", False),
]


@pytest.mark.parametrize(("output", "gold", "expected"), CHOICES)
def test_choices(output: str, gold: str, expected: bool) -> None:
    one = sample(Answer(AnswerKind.CHOICE, gold[0]), answer_text=gold)
    assert tempcompass.multi_choice.run([output], [one])[0].value == float(expected)


@pytest.mark.parametrize(("output", "gold", "expected"), VERDICTS)
def test_yes_or_no(output: str, gold: str, expected: bool) -> None:
    one = sample(Answer(AnswerKind.JUDGEMENT, gold), answer_text=gold)
    assert tempcompass.yes_no.run([output], [one])[0].value == float(expected)


@pytest.mark.parametrize(("output", "expected"), CAPTIONS)
def test_captions(output: str, expected: bool) -> None:
    assert tempcompass.caption_equal(output, CAPTION, "Sentence B: A man walks.") is expected


def test_verdicts_of_judges_are_carried_not_made() -> None:
    output = with_verdict("It is B", "1")
    assert (answer_of(output), verdict_of(output)) == ("It is B", "1")
    assert (answer_of("B"), verdict_of("B")) == ("B", None)
    assert tempcompass.with_judge.applies is not None and not tempcompass.with_judge.applies("B")
    one = sample(Answer(AnswerKind.CHOICE, "B"), answer_text="B. dunking")
    assert tempcompass.with_judge.run([output], [one])[0].value == 1.0
    assert tempcompass.multi_choice.run([output], [one])[0].value == 0.0


def _tempcompass(name: str, text: str, gold: str) -> Sample:
    answer = Answer(AnswerKind.CHOICE, gold[0])
    return sample(answer, name, released_question=text, answer_text=gold, aspect="action")


def test_files_of_tempcompass(tmp_path: Path) -> None:
    samples = [
        _tempcompass("v-multi-choice-action-0", "q0", "A. x"),
        _tempcompass("v-multi-choice-action-1", "q1", "B. y"),
    ]
    path = tmp_path / "multi-choice.json"
    rows = [
        {"question": "q0", "answer": "A. x", "prediction": "A"},
        {"question": "q1", "answer": "B. y", "response": None},
    ]
    path.write_text(json.dumps({"v": {"action": rows}}))
    found = tempcompass.predictions(path, samples)
    assert found == {samples[0].id: ["A"], samples[1].id: [""]}
    scored = tempcompass.multi_choice.run([found[one.id][0] for one in samples], samples)
    assert tempcompass.multi_choice.total(scored) == {"avg": 0.5, "action": 0.5}
    rated = [{"question": "q0", "gt-answer": "A. x", "video-llm-prediction": "It is A", "rating": 1}]
    path.write_text(json.dumps({"v": {"action": rated}}))
    assert tempcompass.judgements(path, samples) == {samples[0].id: [with_verdict("It is A", "1")]}


def test_faults_in_files_of_tempcompass(tmp_path: Path) -> None:
    samples, path = [_tempcompass("v-multi-choice-action-0", "q0", "A. x")], tmp_path / "p.json"
    path.write_text(json.dumps({"v": {"action": [{"question": "other", "answer": "A. x", "prediction": "A"}]}}))
    with pytest.raises(UserError, match="asks 'other', but d-v-multi-choice-action-0 asks 'q0'"):
        tempcompass.predictions(path, samples)
    path.write_text(json.dumps({"w": {"action": [{"question": "q0", "answer": "A. x", "prediction": "A"}]}}))
    assert list(tempcompass.predictions(path, samples)) == ["w-action-0"]  # refused when matched with the suite
    path.write_text(json.dumps({"v": {"action": "A"}}))
    with pytest.raises(UserError, match="under 'v', 'action' is no list of objects"):
        tempcompass.predictions(path, samples)
    rated = {"question": "q0", "gt-answer": "A. x", "video-llm-prediction": "A", "rating": "good"}
    path.write_text(json.dumps({"v": {"action": [rated]}}))
    with pytest.raises(UserError, match="rating is 'good', expected 0 or 1"):
        tempcompass.judgements(path, samples)


def test_stored_verdicts_of_mmvu(tmp_path: Path) -> None:
    options = {"A": "red", "B": "blue", "C": "green", "D": "grey", "E": "white"}
    samples = [sample(Answer(AnswerKind.CHOICE, "B", options), f"validation_{place}") for place in range(2)]
    path = tmp_path / "model.json"
    rows = [
        {"id": "validation_0", "choices": options, "response": "I say B", "extracted_answer": "B", "correct": True},
        {"id": "validation_1", "choices": options, "response": "No idea", "extracted_answer": "", "correct": False},
        {"id": "validation_9", "choices": dict.fromkeys("ABCDE", ""), "response": "zoom", "correct": True},
    ]
    path.write_text(json.dumps(rows))
    found = mmvu.judgements(path, samples)
    assert len(found) == 2
    scored = mmvu.official.run([found[one.id][0] for one in samples], samples)
    assert mmvu.official.total(scored) == {"acc": 0.5}
    path.write_text(json.dumps([{**rows[0], "id": "validation_7"}]))
    assert list(mmvu.judgements(path, samples)) == ["validation_7"]


# (output, gold, share of levels in the original)
NUMBERS = [
    ("3", "3", 1.0),
    ("3.", "3", 1.0),
    ("3 chairs", "3", 1.0),
    ("2.7", "3", 0.9),
    ("15", "10", 0.1),
    ("14.9", "10", 0.1),
    ("three", "3", 0.0),
    ("about 3", "3", 0.0),
    ("nan", "3", 0.0),
    ("", "3", 0.0),
]


@pytest.mark.parametrize(("output", "gold", "expected"), NUMBERS)
def test_mean_relative_accuracy(output: str, gold: str, expected: float) -> None:
    one = sample(Answer(AnswerKind.REGRESSION, gold), task="object_counting")
    assert vsi_bench.official.run([output], [one])[0].value == pytest.approx(expected)


# (text, the number that the newer scorer finds)
FOUND = [
    ("There are three boxes", 3.0),
    ("twenty-one chairs", 21.0),
    ("three hundred and twenty-one", 321.0),
    ("one apple, room 2", 1.0),
    ("2 rooms, one door", 2.0),
    ("a thousand and one", 1001.0),
    ("about -3.5 m", -3.5),
    ("none", None),
]


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_numbers_in_text(text: str, expected: float | None) -> None:
    assert vsi_bench.number_in(text) == expected


def test_eight_tasks_where_direction_is_the_mean_of_three() -> None:
    choice = Answer(AnswerKind.CHOICE, "A", {"A": "1", "B": "2"})
    tasks = [f"object_rel_direction_{level}" for level in ("easy", "easy", "medium", "hard")] + ["route_planning"]
    scored = [Scored(sample(choice, task=task), "A", value) for task, value in zip(tasks, (1, 1, 0, 0, 1), strict=True)]
    numbers = vsi_bench.eight(scored)
    assert numbers["object_rel_direction"] == pytest.approx(1 / 3) and numbers["overall"] == pytest.approx(2 / 3)
    assert numbers["micro"] == 0.6


def test_strict_credit_becomes_the_share_of_levels() -> None:
    measured = Answer(AnswerKind.REGRESSION, "10")
    scored = [
        Scored(sample(measured, task="object_counting"), "9", 0.9),
        Scored(sample(measured, task="object_counting"), "x", 0.0),
    ]
    assert vsi_bench.macro(scored)["overall"] == pytest.approx(0.45)  # 0.9 meets nine of ten levels
