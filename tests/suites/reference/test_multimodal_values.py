"""Numbers, expressions and words: the tables of the sheet marked [run], and hard rows run on the authors' own code."""

from __future__ import annotations

import pytest

from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.suites.reference import (
    chartqa,
    dynamath,
    logicvista,
    math_vision,
    mathverse,
    mathvista,
    r1_router,
    vlmevalkit,
)
from mmreason.suites.reference.latex_value import value
from mmreason.suites.references import Reference


def _sample(answer: Answer, **metadata: object) -> Sample:
    return Sample("1", Source("set", "test", "none", "1"), (Message.of(Role.USER, "?"),), answer, metadata=metadata)


def _right(scorer: Reference, output: str, sample: Sample) -> bool:
    return scorer.run([output], [sample])[0].value == 1.0


VISTA_OPTIONS = {"A": "Yes indeed", "B": "None", "C": "Perhaps not"}

# sheet 8.1: (extraction, option read)
VISTA_CHOICE = [
    ("B", "None"),
    ("(B)", "None"),
    ("(b)", "None"),
    ("b", "None"),
    ("B.", "None"),
    ("E", "None"),
    ("", "None"),
    ("I do not know", "Perhaps not"),
    ("The answer is (C) because (A) is wrong", "Perhaps not"),
    ("perhaps no", "Perhaps not"),
]


@pytest.mark.parametrize(("extraction", "option"), VISTA_CHOICE)
def test_mathvista_gives_the_nearest_option(extraction: str, option: str) -> None:
    sample = _sample(Answer(AnswerKind.CHOICE, "B", VISTA_OPTIONS), answer_type="text", released_answer="None")
    assert mathvista.normal(extraction, sample) == option


def test_mathvista_without_the_gift_for_empty_extractions() -> None:
    sample = _sample(
        Answer(AnswerKind.CHOICE, "B", VISTA_OPTIONS), answer_type="text", released_answer="None", skills=[]
    )
    assert _right(mathvista.official, "", sample) and not _right(mathvista.no_gift, "", sample)


# (extraction, answer type, precision, what it becomes)
VISTA_FREE = [
    ("14.6", "integer", None, "14"),
    ("1,000", "integer", None, None),
    ("1e3", "integer", None, "1000"),
    ("inf", "integer", None, None),
    ("1/2", "float", 1.0, None),
    ("50%", "float", 1.0, None),
    ("3.1", "float", 2.0, "3.1"),
    ("3.14159", "float", 2.0, "3.14"),
    ("[1,2]", "list", None, "[1,2]"),
]


@pytest.mark.parametrize(("extraction", "kind", "precision", "expected"), VISTA_FREE)
def test_mathvista_normalises_numbers(
    extraction: str, kind: str, precision: float | None, expected: str | None
) -> None:
    assert (
        mathvista.normal(extraction, _sample(Answer(AnswerKind.NUMBER, "1"), answer_type=kind, precision=precision))
        == expected
    )


def test_mathvista_lists_want_their_spaces() -> None:
    sample = _sample(Answer(AnswerKind.MATH, "[1, 2]"), answer_type="list", released_answer="[1, 2]", skills=[])
    assert _right(mathvista.official, "[1, 2]", sample) and not _right(mathvista.official, "[1,2]", sample)
    assert not _right(vlmevalkit.mathvista, "[1, 2]", sample)


@pytest.mark.parametrize(
    ("one", "other", "distance"), [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("a", "a", 0)]
)
def test_edit_distance(one: str, other: str, distance: int) -> None:
    assert mathvista.edit_distance(one, other) == distance == mathvista.edit_distance(other, one)


# sheet 8.3 and probes of the original: (response, gold, value of the gold's option, right)
VISION = [
    ("\\boxed{B}", "B", "12", True),
    ("\\boxed{\\text{B}}", "B", "12", True),
    ("\\boxed{(B)}", "B", "12", True),
    ("\\boxed{12}", "B", "12", True),
    ("\\boxed{B. 12}", "B", "12", False),
    ("Answer: B", "B", "12", False),
    ("<answer>B</answer>", "B", "12", False),
    ("\\boxed{\\frac{1}{2}}", "0.5", "", True),
    ("\\boxed{3.14159}", "3.14", "", True),
    ("\\boxed{1/3}", "0.33", "", True),
    ("\\boxed{60^{\\circ}}", "60", "", True),
    ("\\boxed{60 cm}", "60", "", False),
    ("\\boxed{1,000}", "1000", "", True),
    ("\\boxed{x=5}", "5", "", True),
    ("\\boxed{(1,2)}", "(1,2)", "", True),
    ("\\boxed{(1/2,4)}", "(0.5,4)", "", True),
    ("The answer is 12.", "12", "", True),
    ("\\boxed{7} no, \\boxed{12}", "12", "", True),
    ("", "12", "", False),
    ("so it must be (B).", "B", "12", True),
    ("B\nbecause", "B", "12", True),
    ("The final answer is 4/3. Done", "\\frac{4}{3}", "", True),
    ("\\boxed{\\frac{3}{4}\\pi}", "2.36", "", True),
    ("\\boxed{2^{10}}", "1024", "", True),
    ("\\boxed{e}", "2.72", "", False),
]


@pytest.mark.parametrize(("response", "gold", "option", "right"), VISION)
def test_math_vision(response: str, gold: str, option: str, right: bool) -> None:
    said = math_vision.read_answer(response)
    assert (math_vision.equal(gold, said) or math_vision.equal(option, said)) is right


# what converting LaTeX and running it gives, on the original's converter
VALUES = [
    ("1,000", 1000),
    ("12,345.6", 12345.6),
    ("1,2", None),
    ("\\frac12", None),
    ("2\\sqrt{3}", 3.46),
    ("50\\%", 0.5),
    ("1:2", 0.5),
    ("-2^2", -4),
    ("2^3^2", 64),
    ("2^-1", None),
    ("2^{-1}", 0.5),
    ("1/2\\pi", 0.16),
    ("6/2(1+2)", 1.0),
    ("5!", 120),
    ("12}", 12),
    ("5.so what", 5),
    ("5-", None),
    ("60cm", None),
    ("|3|", None),
    ("\\sqrt[3]{8}", 2.0),
    ("\\log_2 8", 3.0),
    ("\\tan^{-1}(1)", 0.79),
    ("\\frac{3^{1008}-1}{3^{1009}}", 0.33),
    ("e^2", 7.39),
    ("\\binom{4}{2}", 6),
    ("1/0", None),
    ("", None),
    ("2x", None),
    ("9^{9^{9^9}}", None),  # ours: the original would compute it
    ("(" * 500, None),
]


@pytest.mark.parametrize(("text", "expected"), VALUES)
def test_value_of_a_constant(text: str, expected: float | None) -> None:
    found = value(text)
    assert (None if found is None else round(found, 2)) == expected


def test_a_quotient_is_a_float_even_if_it_comes_out_even() -> None:
    assert isinstance(value("6/3"), float) and isinstance(value("2"), int) and isinstance(value("3.0"), int)


def test_vlmevalkit_is_stricter_than_the_authors_on_decimals() -> None:
    sample = _sample(Answer(AnswerKind.MATH, "3.14"), released_answer="3.14", level="1", subject="x")
    assert _right(math_vision.official, "\\boxed{3.14159}", sample)
    assert not _right(vlmevalkit.math_vision, "3.14159", sample)


def _dyna(kind: str, gold: str) -> Sample:
    answer = Answer(AnswerKind.CHOICE, gold) if kind == "multiple choice" else Answer(AnswerKind.SPAN, gold)
    return _sample(answer, answer_type=kind, variant=1)


# (answer type, gold, output, authors, VLMEvalKit without judge)
DYNAMATH = [
    ("float", "3.142", '{"short answer": "3.142"}', True, True),
    ("float", "3.142", '{"short answer": "3.1431"}', False, False),
    ("float", "6.283", '{"short answer": "2\u03c0"}', True, True),
    ("float", "12", '{"short answer": "12 units"}', True, True),
    ("float", "12", '{"short answer": 12}', True, False),
    ("float", "12", "12", False, True),
    ("float", "1234.5678", '{"short answer": "1.235e3"}', False, False),
    ("float", "12", 'Sure: {"short answer": "12"}', False, True),
    ("multiple choice", "B", '{"short answer": "B"}', True, True),
    ("multiple choice", "B", '{"short answer": "b"}', False, True),
    ("multiple choice", "B", '{"short answer": "(B)"}', True, True),
    ("multiple choice", "B", '{"short answer": "Option B"}', False, True),
    ("multiple choice", "B", '{"short answer": "AB"}', True, False),
    ("text", "Sep", '{"short answer": "September"}', True, False),
    ("text", "Sep", '{"short answer": "sep"}', False, True),
    ("text", "Sep", "", False, True),
    ("text", "Sep", '{"short answer": ""}', False, True),
    ("text", "Sep", '{"Short Answer": "Sep"}', False, False),
    ("text", "None", "{}", True, False),
]


@pytest.mark.parametrize(("kind", "gold", "output", "official", "kit"), DYNAMATH)
def test_dynamath(kind: str, gold: str, output: str, official: bool, kit: bool) -> None:
    sample = _dyna(kind, gold)
    assert _right(dynamath.official, output, sample) is official
    assert _right(vlmevalkit.dynamath, output, sample) is kit


def test_dynamath_for_open_models_finds_the_braces() -> None:
    sample = _dyna("float", "12")
    assert _right(dynamath.open_source, 'Sure: {"short answer": "12"} done', sample)
    assert _right(dynamath.open_source, "long text\n12.", sample)
    assert not _right(dynamath.open_source, "long text\n12", sample)  # the last character is cut off


def test_dynamath_with_a_relative_tolerance_for_large_values() -> None:
    assert _right(dynamath.relative, '{"short answer": "1.235e3"}', _dyna("float", "1234.5678"))


# sheet 8.10: (said, gold, right)
CHART = [
    ("105", "100", True),
    ("95", "100", True),
    ("2011", "2010", True),
    ("1910", "2010", True),
    ("105.1", "100", False),
    ("14%", "14%", True),
    ("0.14", "14%", True),
    ("14%", "14", False),
    ("1,000", "1000", False),
    ("$5", "5", False),
    ("yes.", "yes", False),
    ("[5, 6]", "[5,6]", False),
    ("0.0", "0", False),
    ("BLUE", "Blue", True),
    (" 100", "100", True),
    ("", "Blue", False),
    ("nan", "100", False),
    ("1_00", "100", True),
]


@pytest.mark.parametrize(("said", "gold", "right"), CHART)
def test_relaxed_correctness(said: str, gold: str, right: bool) -> None:
    assert chartqa.relaxed(gold, said) is right


def test_trimming_before_the_relaxed_rule_is_ours() -> None:
    sample = _sample(Answer(AnswerKind.JUDGEMENT, "yes"), released_answer="yes", half="human")
    assert not _right(chartqa.official, " yes.", sample) and _right(chartqa.trimmed, " yes.", sample)


# (letters given, gold as released, authors, VLMEvalKit)
LOGIC = [
    ("['c']", "C", True, False),
    ("C", "C", True, True),
    ("c", "C", True, False),
    ("['c', 'a']", "A, C", True, False),
    ("CA", "A, C", False, True),
    ("C, A", "A, C", True, False),
    ("['zzzzz']", "C", False, False),
    ("", "C", False, False),
    ("C.", "C", False, False),
    ("[1, 2]", "C", False, False),
    ("[", "C", False, False),
]


@pytest.mark.parametrize(("given", "gold", "official", "kit"), LOGIC)
def test_logicvista_compares_letter_lists(given: str, gold: str, official: bool, kit: bool) -> None:
    sample = _sample(Answer(AnswerKind.CHOICE, "C"), released_answer=gold)
    assert _right(logicvista.official, given, sample) is official
    assert _right(vlmevalkit.logicvista, given, sample) is kit


def test_mathverse_exact_match_is_exact() -> None:
    sample = _sample(Answer(AnswerKind.MATH, "12"), released_answer="12 ", problem_version="Text Lite", subject="x")
    assert _right(mathverse.quick_match, "12 ", sample) and not _right(mathverse.quick_match, "12", sample)
    assert _right(vlmevalkit.mathverse, "12", sample)


# run on the authors' evaluate.py: (output, golds, recall)
RECALL = [
    ("Leonardo DiCaprio does not have any children", ["He has none", "Leonardo DiCaprio has no children."], 3 / 5),
    ("the answer is 2", ["two"], 1.0),
    ("a long answer that holds green pear somewhere", ["green pear"], 1.0),
    ("green", ["green pear"], 0.5),
    ("dont", ["don't"], 1.0),
    ("3,500", ["3500"], 1.0),
    ("green-pear", ["green pear"], 1.0),
    ("", ["green"], 0.0),
    ("I'm we've he'd she'll they're", ["Y'all'd've"], 0.5),
]


@pytest.mark.parametrize(("output", "golds", "recall"), RECALL)
def test_r1_router_counts_recall_alone(output: str, golds: list[str], recall: float) -> None:
    assert r1_router.f1_recall(output, golds) == pytest.approx(recall)


@pytest.mark.parametrize(
    ("token", "named"), [("10.0", True), ("10", True), ("10.05", False), ("10.1", True), ("16.5", False), ("x", False)]
)
def test_r1_router_lists_the_numbers_of_a_range(token: str, named: bool) -> None:
    assert r1_router.names_number(token, 10.0, 16.0) is named


# exactly one of the two words, else unknown
WORDS = [
    ("Yes, it is.", "yes"),
    ("yes no", None),
    ("no, 1,000 yes", None),
    ("It is not", None),
    ("(yes)", "yes"),
    ("yes.no", None),
    ("5. no", "no"),
]


@pytest.mark.parametrize(("output", "word"), WORDS)
def test_vlmevalkit_reads_yes_or_no(output: str, word: str | None) -> None:
    assert vlmevalkit.yes_or_no(output) == word
