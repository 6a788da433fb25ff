"""Letters and open answers: what the published parsers say of hard outputs, run once on the authors' own code."""

from __future__ import annotations

import random

import pytest

from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.suites.reference import mmmu, mmmu_pro, mmstar, vlmevalkit, we_math

OPTIONS = {"A": "red apple", "B": "green pear", "C": "12", "D": "none"}

# (output, letter of MMMU, MMMU-Pro and We-Math, MMStar: right for gold B, VLMEvalKit); None: none read, or a guess
ROWS = [
    ("B", "B", "B", "B", True, "B"),
    ("(B)", "B", "B", None, True, "B"),
    ("b", None, None, None, True, None),
    ("B.", "B", "B", "B", True, "B"),
    ("B)", None, None, "B", True, "B"),
    ("The answer is B", "B", "B", None, True, "B"),
    ("Answer: B", "B", "B", "B", False, "B"),
    ("Answer:B", None, "B", "B", False, "B"),
    ("**B**", None, None, None, False, "B"),
    ("<answer>B</answer>", None, None, None, False, None),
    ("\\boxed{B}", None, None, None, False, "B"),
    ("green pear", None, None, None, False, "B"),
    ("A then B", "B", "B", "A", False, None),
    ("(A) no, (B) yes", "B", "B", None, False, None),
    ("the answer is (b)", None, None, None, False, None),
    ("option b", None, None, None, True, None),
    ("Option B.", "B", "B", None, True, "B"),
    ("A man stands B", "B", "B", "A", False, None),
    ("Because of that", None, None, "B", True, None),
    ("", None, None, None, False, None),
    ("   ", None, None, None, False, None),
    ("I do not know", None, None, None, False, None),
    ("Answer: A. Wait. Answer: B", "B", "B", "B", False, None),
    ("<Answer>: <<B>>", None, None, "B", False, None),
    ("Answer: Because it is C", "C", "C", "B", False, "C"),
    ("B\u3002", None, None, "B", True, None),
    ("it is 12 in the end, I would say so", "C", "C", None, False, "C"),
    ("Z", None, None, None, False, "Z"),
]


@pytest.mark.parametrize(("output", "letter", "pro", "math", "star", "kit"), ROWS)
def test_every_parser_reads_what_the_original_reads(
    output: str, letter: str | None, pro: str | None, math: str | None, star: bool, kit: str | None
) -> None:
    assert mmmu.read_choice(output, OPTIONS) == letter
    assert mmmu_pro.read_choice(output, OPTIONS) == pro
    assert we_math.read_letter(output) == math
    assert mmstar.right(output, "B") is star
    assert vlmevalkit.infer(output, OPTIONS) == kit


def _choice(identity: str, gold: str, options: dict[str, str], **metadata: object) -> Sample:
    source = Source("set", "test", "none", identity)
    return Sample(
        identity, source, (Message.of(Role.USER, "?"),), Answer(AnswerKind.CHOICE, gold, options), metadata=metadata
    )


def test_mmmu_guesses_with_the_seed_of_the_original() -> None:
    outputs = ["<answer>B</answer>", "A", "\\boxed{B}", "", "**C**"]
    samples = [_choice(str(index), "B", OPTIONS) for index in range(len(outputs))]
    drawn = random.Random(42)
    guesses = [drawn.choice("ABCD") if index != 1 else "A" for index in range(5)]
    values = [one.value for one in mmmu.official.run(outputs, samples)]
    assert values == [float(guess == "B") for guess in guesses]
    assert mmmu.official.total(mmmu.official.run(outputs, samples))["guessed_share"] == 0.8


# sheet 8.7: (gold, response, right)
OPEN = [
    ("12", "The answer is 12.", True),
    ("12", "12.004", True),
    ("12", "112", False),
    ("1000", "1,000", True),
    ("0.5", "50%", False),
    ("3", "there are 3 of 5", True),
    ("C", "pure carbon", True),
    ("Transformation", "it is not a transformation", True),
    ("12", "x = 12", True),
    ("12", "x=12\ny=13", False),  # only the last line may give an equation
    ("1000", "1e3", True),
    ("-120", "- 120", False),
    ("9.20", "so 9.2", True),
    ("12", "", False),
    ("embryonic", "Thus embryonic stage", True),
    ("242110.62", "242,110.62", True),
    ("3", "the value is 3.0000001", True),
]


@pytest.mark.parametrize(("gold", "response", "right"), OPEN)
def test_mmmu_open_answers(gold: str, response: str, right: bool) -> None:
    assert mmmu.open_equal(response, [gold]) is right


def test_several_golds_of_an_open_item() -> None:
    assert mmmu.open_equal("it lies in florida", ["Tampa", "Florida"])
    assert mmmu.open_equal("about 3.43", ["24/7", "3.429"])


# sheet 8.8 beyond the rows above; ten options
PRO = [
    ("Answer: \\boxed{B}", "B"),
    ("Answer:**C**", "C"),
    ("**Answer: B**", "B"),
    ("answer: D", "D"),
    ("so Answer: A. Wait. Answer: D", "D"),
    ("Answer: Between A and C", "C"),
    ("Answer: B\nThat is A", "A"),
    ("$B$", None),
    ("I think it is a tie", "I"),
    ("DNA is the key", "A"),
]


@pytest.mark.parametrize(("output", "letter"), PRO)
def test_mmmu_pro_reads_capitals_within_words(output: str, letter: str | None) -> None:
    assert mmmu_pro.read_choice(output, {one: f"option {one.lower()}x" for one in "ABCDEFGHIJ"}) == letter


def test_options_in_a_list_of_a_list_are_never_right_for_the_authors() -> None:
    sample = _choice("1", "B", OPTIONS, nested_options=True, setting="vision")
    assert [one.value for one in mmmu_pro.official.run(["B"], [sample])] == [0.0]


def test_vlmevalkit_asks_open_items_as_a_choice() -> None:
    source = Source("mmmu", "validation", "none", "1")
    open_item = Sample("1", source, (Message.of(Role.USER, "?"),), Answer(AnswerKind.SPAN, "Transformation"))
    values = [one.value for one in vlmevalkit.mmmu.run(["transformation", "Other Answers", "A"], [open_item] * 3)]
    assert values == [1.0, 0.0, 1.0]
    assert vlmevalkit.infer("x" * 200 + " green pear", OPTIONS) is None
    assert vlmevalkit.infer("Cannot determine the answer", OPTIONS) == "Z"
