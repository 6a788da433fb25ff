"""Published scorers of video choices: what the originals returned on the same answers, gold C.

The first 24 rows are the video sheet's table 6.2; all were produced by running the originals unmodified.
"""

from __future__ import annotations

import random

import pytest

from mmreason.records import Answer, AnswerKind, MediaRef, Message, Role, Sample, Source
from mmreason.suites.reference import (
    longvideobench,
    lvbench,
    mcq_extract,
    mlvu,
    mmvu,
    mvbench,
    nextqa,
    video_mme,
    video_r1,
)
from mmreason.suites.references import Reference

OPTIONS = {"A": "a person walks", "B": "two dogs", "C": "the red one", "D": "none", "E": "five"}


def choice(gold: str = "C", options: int = 4, name: str = "s", **metadata: object) -> Sample:
    """A question whose gold is `gold`."""
    kept = dict(list(OPTIONS.items())[:options])
    return Sample(
        id=name,
        source=Source("d", "t", "l", name),
        messages=(Message.of(Role.USER, "q"),),
        answer=Answer(AnswerKind.CHOICE, gold, kept),
        media=(MediaRef("", "video", "v.mp4", 0),),
        metadata={"question": "q", "answer_text": OPTIONS.get(gold, ""), **metadata},
    )


def value(one: Reference, output: str, sample: Sample) -> float | bool | None:
    return one.score(output, sample, random.Random(0))


Row = tuple[str, str, str, str, str, int, int, int, int, int]

# output; letters of Video-MME, lmms-eval, LongVideoBench ("?": it guesses), LVBench; verdicts of MLVU, MVBench with the
# prefilled bracket and bare, MVBench and MMVU in lmms-eval
ROWS = [
    ("C", "C", "C", "C", "C", 1, 1, 1, 1, 1),
    ("c", "", "", "?", "c", 0, 1, 1, 1, 1),
    ("C.", "C", "C", "C", "C", 0, 1, 1, 1, 1),
    ("(C)", "C", "C", "C", "C", 1, 1, 1, 1, 1),
    ("C) red", "C", "C", "C", "C", 1, 1, 1, 1, 1),
    ("C. the red one", "C", "C", "C", "C", 0, 1, 1, 1, 1),
    ("", "", "", "?", "", 0, 1, 1, 0, 0),
    ("(", "", "", "?", "", 0, 0, 1, 0, 0),
    (")", "", "", "?", "", 0, 0, 1, 0, 0),
    ("Answer: C", "C", "C", "A", "A", 0, 0, 0, 1, 1),
    ("The answer is C", "C", "C", "C", "T", 0, 0, 0, 1, 1),
    ("The answer is (C).", "C", "C", "C", "C", 1, 0, 0, 1, 1),
    ("Therefore, the final answer is: C", "C", "C", "C", "T", 0, 0, 0, 1, 1),
    ("Option C", "C", "C", "C", "O", 0, 0, 0, 1, 1),
    ("Based on the video, the answer is C.", "B", "C", "B", "B", 0, 0, 0, 1, 1),
    ("A person walks, so the answer is C", "A", "A", "A", "A", 0, 0, 0, 0, 1),
    ("<think>Maybe A. No.</think><answer>C</answer>", "A", "A", "A", "<", 0, 0, 0, 0, 1),
    ("<answer>C</answer>", "C", "C", "C", "<", 0, 0, 0, 1, 1),
    ("\\boxed{C}", "C", "C", "C", "\\", 0, 0, 0, 1, 1),
    ("**C**", "C", "C", "C", "*", 0, 0, 0, 1, 1),
    ("I cannot tell", "", "", "?", "I", 0, 0, 0, 0, 0),
    ("E", "", "", "E", "E", 0, 0, 0, 0, 0),
    ("A or C", "A", "A", "A", "A", 0, 0, 0, 0, 1),
    ("C\nBecause A is wrong", "C", "C", "C", "C", 0, 1, 0, 1, 1),
    ("Because A is wrong\nC", "B", "C", "B", "B", 0, 0, 0, 0, 1),
    ("C or A", "C", "C", "C", "C", 0, 1, 1, 1, 1),
    ("Not A, not B, but C", "A", "C", "A", "N", 0, 0, 0, 0, 1),
    ("First (A) then (B) then (C)", "A", "C", "A", "A", 0, 0, 0, 0, 1),
    ("A. B. C. D. C.", "A", "A", "A", "A", 0, 0, 0, 0, 1),
    ("I choose C", "C", "C", "C", "I", 0, 0, 0, 1, 1),
    ("my answer is c", "", "", "?", "m", 0, 0, 0, 1, 1),
    ("the correct choice is C, since option A is wrong", "C", "A", "C", "t", 0, 0, 0, 1, 1),
    ("The best option is C", "C", "C", "C", "T", 0, 0, 0, 1, 1),
    ("Best answer:Best option: C", "C", "C", "C", "B", 0, 0, 0, 1, 1),
    ("[C]", "C", "C", "C", "[", 0, 0, 0, 1, 1),
    ("C/B", "C", "C", "C", "C", 0, 0, 0, 1, 1),
    ("CC", "C", "C", "C", "C", 0, 0, 0, 0, 0),
    ("1,234 C", "C", "C", "C", "1", 0, 0, 0, 1, 1),
    ("...C...", "C", "C", "C", ".", 0, 1, 1, 1, 1),
    ("C\t", "C", "C", "C", "C", 0, 1, 0, 1, 1),
    ("\tC", "C", "C", "C", "C", 0, 1, 0, 1, 1),
    ("'C'", "C", "C", "C", "'", 0, 0, 0, 1, 1),
    ("\uff08C\uff09", "C", "C", "C", "\uff08", 0, 0, 0, 1, 1),
    ("\ub2f5\uc740 C", "C", "C", "C", "\ub2f5", 0, 0, 0, 1, 1),
    ("the red one", "", "", "?", "t", 0, 0, 0, 0, 1),
    ("None of the above", "", "", "?", "N", 0, 0, 0, 0, 0),
    ("(C", "C", "C", "C", "C", 0, 0, 1, 1, 1),
    ("C because B and D are wrong", "C", "C", "C", "C", 0, 1, 1, 1, 1),
    ("All ABCDE", "A", "D", "A", "A", 0, 0, 0, 0, 0),
    (" C ", "C", "C", "C", "C", 0, 1, 1, 1, 1),
    ("The option is (C) and nothing else", "C", "C", "C", "C", 1, 0, 0, 1, 1),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:24] or "(empty)" for row in ROWS])
def test_letters_and_verdicts_are_those_of_the_originals(
    row: tuple[str, str, str, str, str, int, int, int, int, int],
) -> None:
    output, vmme, lmms, lvb, lv, *verdicts = row
    assert video_mme.first_letter(output) == vmme
    assert mcq_extract.extract(output) == lmms
    assert (longvideobench.first_letter(output.strip()) or "?") == lvb
    assert lvbench.polish(output) == lv
    given = [mlvu.dev, mvbench.official, mvbench.bare, mvbench.lmms_eval, mmvu.lmms_eval]
    outputs = [output, "(" + output, output, output, output]
    wide = [value(one, text, choice(options=5)) for one, text in zip(given, outputs, strict=True)]
    assert [int(one or 0) for one in wide] == verdicts


def test_an_empty_reply_is_right_on_mvbench_whatever_the_gold() -> None:
    samples = [choice(letter, task=task) for letter, task in zip("ABCD", ("AS", "AS", "MC", "MC"), strict=True)]
    scored = mvbench.official.run(["("] * 4, samples)
    assert mvbench.official.total(scored) == {"acc": 1.0, "mean_of_2_tasks": 1.0}
    assert mvbench.lmms_eval.total(mvbench.lmms_eval.run([""] * 4, samples))["acc"] == 0.0
    assert [one.value for one in mvbench.lmms_eval.run(["", "B", None, "D"], samples)] == [None, 1.0, None, 1.0]


def test_longvideobench_guesses_from_its_seed() -> None:
    samples = [choice(letter, name=str(place), duration_group=15) for place, letter in enumerate("ABCD" * 25)]
    guesses = random.Random(longvideobench.official.seed)
    expected = [float(guesses.choice(list("ABCD")) == sample.answer.gold) for sample in samples]
    scored = longvideobench.official.run(["no letter"] * 100, samples)
    assert [one.value for one in scored] == expected and 10 < sum(expected) < 40
    assert longvideobench.official.total(scored)["15s"] == sum(expected) / 100


def test_unread_answers_leave_the_denominator_of_video_mme_and_lvbench() -> None:
    samples = [choice(name=str(place), duration="long", abilities=["reasoning", "summarization"]) for place in range(4)]
    scored = video_mme.official.run(["C", "none", None, "B"], samples)
    assert [one.value for one in scored] == [1.0, None, None, 0.0]
    assert video_mme.official.total(scored) == {"acc": 0.5, "long": 0.5}
    scored = lvbench.exact.run(["C", "C.", None, "C"], samples)
    assert lvbench.exact.total(scored) == {"acc": 2 / 3, "reasoning": 2 / 3, "summarization": 2 / 3}


def test_mlvu_averages_tasks_and_lmms_eval_divides_by_absent_ones() -> None:
    tasks = ["plotQA"] * 3 + ["count"]
    samples = [choice(name=str(place), task=task) for place, task in enumerate(tasks)]
    scored = mlvu.dev.run(["C", "C", "B", "B"], samples)
    assert mlvu.dev.total(scored) == {"m_avg": pytest.approx(1 / 3), "acc": 0.5}
    scored = mlvu.lmms_eval_dev.run(["C", "C", "B", "B"], samples)
    assert mlvu.lmms_eval_dev.total(scored)["m_avg"] == pytest.approx(2 / 3 / 7)
    assert value(mlvu.lmms_eval_test, "E", choice("E", 5)) is False
    assert value(mlvu.test, " E) five", choice("E", 5)) is True


# (output, what lmms-eval's parser reads; None: it guesses)
PARSED = [
    ("C", "C"),
    ("(C)", "C"),
    ("(A) no, (C)", "C"),
    ("C.", "C"),
    ("c", None),
    ("A or C", "C"),
    ("A. or C.", "C"),  # the full stop at the end is cut first
    ("I see two dogs and then the red one", "C"),
    ("the red one", None),
]


@pytest.mark.parametrize(("output", "letter"), PARSED)
def test_nextqa_in_lmms_eval(output: str, letter: str | None) -> None:
    assert nextqa.read_letter(output, OPTIONS) == letter


def test_nextqa_by_type_merges_before_and_after() -> None:
    samples = [choice(name=str(place), type=kind) for place, kind in enumerate(("TN", "TP", "CW", "DL"))]
    numbers = nextqa.official.total(nextqa.official.run(["C", "B", "C", "C"], samples))
    assert numbers == {"acc": 0.75, "C": 1.0, "CW": 1.0, "D": 1.0, "DL": 1.0, "T": 0.5, "TN": 0.5}


# (kind, gold, output, reward of the original)
REWARDS = [
    (AnswerKind.CHOICE, "C", "<answer> C </answer>", 1.0),
    (AnswerKind.CHOICE, "C", "<answer>C.</answer>", 0.0),
    (AnswerKind.CHOICE, "C", "<answer>A</answer><answer>C</answer>", 0.0),
    (AnswerKind.CHOICE, "C", "C", 1.0),
    (AnswerKind.NUMBER, "3.0", "<answer>3</answer>", 0.0),
    (AnswerKind.NUMBER, "3.0", "<answer>3.004</answer>", 1.0),
    (AnswerKind.NUMBER, "1,000", "<answer>1000</answer>", 0.0),
    (AnswerKind.NUMBER, "3", "3 m", 0.0),
    (AnswerKind.REGRESSION, "3", "<answer>3</answer>", 1.0),
    (AnswerKind.REGRESSION, "3", "<answer>2.7</answer>", 0.9),
    (AnswerKind.REGRESSION, "10", "<answer>15</answer>", 0.0),
    (AnswerKind.FREE, "a dog", "<answer>a dog</answer>", 0.0),
]


@pytest.mark.parametrize(("kind", "gold", "output", "expected"), REWARDS)
def test_video_r1_rewards(kind: AnswerKind, gold: str, output: str, expected: float) -> None:
    sample = Sample("s", Source("d", "t", "l", "r"), (Message.of(Role.USER, "q"),), Answer(kind, gold))
    assert value(video_r1.reward, output, sample) == pytest.approx(expected)


LONG = ["C " * 100_000, "A." + " " * 200_000 + "x\ny", "<answer>" * 40_000, "(" * 200_000, "1" * 200_000]


@pytest.mark.parametrize("output", LONG, ids=range(len(LONG)))
def test_long_answers_are_read_in_linear_time(output: str) -> None:
    rules = [mvbench.official, mvbench.bare, mvbench.lmms_eval, video_mme.official, video_mme.lmms_eval, mmvu.lmms_eval]
    rules += [longvideobench.official, lvbench.official, mlvu.dev, nextqa.lmms_eval, video_r1.reward]
    assert len([value(one, output, choice(options=5)) for one in rules]) == len(rules)
