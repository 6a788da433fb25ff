"""Published scorers of medical choices: what the originals returned on the same answers.

Every row was produced by running the originals unmodified on one question with four options.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.suites.reference import citrus, distinct, huatuo, medevalkit_text, medxpertqa, mirage, mmlu_pro
from mmreason.suites.references import Reference, Scored

OPTIONS = {"A": "Aspirin", "B": "Heparin", "C": "Warfarin", "D": "Insulin"}


def ask(
    gold: str, name: str = "s", options: dict[str, str] | None = None, document: str = "", **metadata: object
) -> Sample:
    return Sample(
        id=name,
        source=Source("medqa", "test", "MIT", name, document),
        messages=(Message.of(Role.USER, "Which drug?"),),
        answer=Answer(AnswerKind.CHOICE, gold, options or OPTIONS),
        metadata={"question": "Which drug?", **metadata},
    )


def accepted(one: Reference, output: str, options: dict[str, str] | None = None) -> str:
    """The golds under which the scorer calls the output right."""
    return "".join(gold for gold in OPTIONS if one.score(output, ask(gold, options=options), random.Random(0)))


# output; letter of MIRAGE and of its rule for PMC-LLaMA; MMLU-Pro level 1 and 2; HuatuoGPT-o1 first and last;
# MedXpertQA; golds that MedEvalKit, MedXpertQA's QVQ rule and its DeepSeek rule accept
ROWS = [
    ("C", "C", "A", "", "C", "CC", "C", "C", "C", "C"),
    ("(C)", "A", "A", "", "C", "CC", "C", "C", "C", ""),
    ("C.", "C", "A", "", "C", "CC", "C", "C", "C", ""),
    ("C)", "A", "A", "", "C", "CC", "C", "C", "C", ""),
    (" C\n", "C", "A", "", "C", "CC", "C", "C", "C", ""),
    ("c", "A", "A", "", "", "DD", "", "C", "C", ""),
    ("C. Warfarin", "C", "A", "", "C", "CC", "C", "C", "C", ""),
    ("(C) Warfarin", "A", "A", "", "C", "CC", "C", "C", "C", ""),
    ("C: Warfarin", "C", "C", "", "C", "CC", "C", "C", "C", ""),
    ("Warfarin", "A", "A", "", "", "CC", "", "C", "A", ""),
    ("WARFARIN", "A", "A", "", "", "CC", "", "C", "A", ""),
    ("The answer is C", "A", "A", "C", "C", "CC", "C", "C", "C", ""),
    ("The answer is (C).", "A", "A", "C", "C", "CC", "C", "C", "C", ""),
    ("the answer is\nC", "A", "A", "", "C", "CC", "C", "C", "C", ""),
    ("Answer: C", "C", "A", "", "C", "CC", "C", "C", "C", ""),
    ("answer:C", "C", "A", "", "C", "CC", "C", "C", "C", ""),
    ("**Answer**: C", "C", "A", "", "C", "CC", "C", "C", "C", ""),
    ("**Answer: C**", "C", "A", "", "C", "CC", "C", "C", "C", ""),
    ("\\boxed{C}", "A", "A", "", "C", "CC", "C", "C", "C", "C"),
    ("\\boxed{C. Warfarin}", "A", "A", "", "C", "CC", "C", "C", "C", ""),
    ("\\boxed{B} no, \\boxed{C}", "A", "A", "", "C", "BC", "B", "C", "C", "B"),
    ("boxed answer C", "A", "A", "", "C", "CC", "C", "D", "C", ""),
    ("<think>B seems right</think><answer>C</answer>", "A", "A", "", "C", "BC", "B", "C", "C", ""),
    ("<think>B</think><answer>\\boxed{C}</answer>", "A", "A", "", "C", "BC", "B", "C", "C", "C"),
    ("<answer>B</answer> <answer>C</answer>", "A", "A", "", "C", "BC", "B", "B", "C", ""),
    ("<answer>\nC\n</answer>", "A", "A", "", "C", "CC", "C", "C", "C", ""),
    ("<answer>C", "A", "A", "", "C", "CC", "C", "A", "C", ""),
    ("<ANSWER>C</ANSWER>", "A", "A", "", "C", "CC", "C", "C", "", ""),
    (
        "We weigh the options: A. Aspirin; B. Heparin; C. Warfarin; D. Insulin; So I choose Warfarin.",
        "A",
        "A",
        "",
        "I",
        "AD",
        "A",
        "C",
        "D",
        "",
    ),
    ("A. Aspirin; B. Heparin; C. Warfarin; D. Insulin;\n\nC", "A", "A", "", "C", "AC", "A", "C", "C", ""),
    ("C\n\nA. Aspirin; B. Heparin; C. Warfarin; D. Insulin;", "A", "A", "", "D", "CD", "C", "C", "D", ""),
    ("A. Aspirin; B. Heparin; C. Warfarin; D. Insulin;\n\nC. Warfarin", "A", "A", "", "C", "AC", "A", "C", "C", ""),
    ("answer is B. Wait, the answer is C", "A", "A", "B", "B", "BC", "C", "C", "C", ""),
    ("answer is C or B", "A", "A", "C", "C", "CC", "C", "C", "B", ""),
    ("C or B", "C", "A", "", "B", "CB", "C", "C", "B", ""),
    ("C and B", "C", "A", "", "B", "CB", "C", "C", "B", ""),
    ("C/B", "C", "A", "", "B", "CC", "C", "B", "B", ""),
    ("C, B", "C", "A", "", "B", "CB", "C", "C", "B", ""),
    ("CB", "A", "A", "", "", "DD", "", "B", "B", ""),
    ("option C", "C", "C", "", "C", "CC", "C", "A", "C", ""),
    ("Option C is right", "C", "C", "", "C", "CC", "C", "A", "C", ""),
    ("OPTION C", "A", "C", "", "C", "CC", "C", "A", "C", ""),
    ("A patient with fever. I think it is Warfarin", "A", "A", "", "I", "CC", "A", "C", "A", ""),
    ("I understand that the answer is C", "A", "A", "C", "C", "CC", "C", "C", "C", ""),
    ("Therefore, among A through D, the answer is C", "A", "A", "C", "C", "CC", "C", "C", "C", ""),
    ("Therefore, among A through J, the answer is (C) Warfarin", "A", "A", "C", "C", "CC", "C", "C", "C", ""),
    ("among A through D: C", "C", "A", "", "C", "DC", "C", "A", "C", ""),
    ("A Warfarin", "A", "A", "", "A", "CC", "A", "C", "A", ""),
    ("I cannot say", "A", "A", "", "I", "DD", "", "A", "A", ""),
    ("A", "A", "A", "", "A", "AA", "A", "A", "A", "A"),
    ("I", "A", "A", "", "I", "DD", "", "A", "", ""),
    ("", "A", "A", "", "", "DD", "", "A", "", ""),
    ("   ", "A", "A", "", "", "DD", "", "A", "", ""),
    ("\n", "A", "A", "", "", "DD", "", "A", "", ""),
    ("\u7b54\u6848\u662fC", "A", "A", "", "", "CC", "", "C", "C", ""),
    ("\u7b54\u6848\uff1aC\uff0c\u89e3\u91ca\uff1aHeparin", "A", "A", "", "C", "CC", "C", "B", "C", ""),
    ("\u7b54\u6848\uff1aCB\u3002", "A", "A", "", "", "DD", "", "B", "B", ""),
    ("\u6b63\u786e\u9009\u9879\u4e3aC", "A", "A", "", "", "CC", "", "C", "C", ""),
    ("\u9009C\u9879", "A", "A", "", "", "CC", "", "C", "C", ""),
    ("\uff23", "A", "A", "", "", "DD", "", "A", "", ""),
    ('{"step_by_step_thinking": "B", "answer_choice": "C"}', "C", "C", "", "C", "BC", "B", "A", "C", ""),
    ('{"step_by_step_thinking": "x", "answer_choice": "C. Warfarin"}', "C", "A", "", "C", "CC", "C", "C", "C", ""),
    ('"answer_choice": "C', "C", "A", "", "C", "CC", "C", "D", "C", ""),
    ("## Thinking\n\nB\n\n## Final Response\n\nThe diagnosis is Warfarin", "A", "A", "", "B", "CC", "B", "C", "B", ""),
    ("## Final Response\n\nC", "A", "A", "", "C", "CC", "C", "C", "C", ""),
    ("Final Answer: C", "C", "A", "", "C", "CC", "C", "C", "C", ""),
    ("final answer c blah", "A", "A", "", "", "DD", "", "C", "C", ""),
    ("**Final Answer**\n\n\\[ \\boxed{C} \\]", "A", "A", "", "C", "CC", "C", "C", "C", "C"),
    ("Z", "A", "A", "", "", "DD", "", "A", "", ""),
    ("Q: C?", "C", "A", "", "C", "CC", "C", "A", "C", ""),
    ("'C'", "A", "A", "", "C", "CC", "C", "C", "C", ""),
    ("#C#", "A", "A", "", "C", "CC", "C", "C", "C", ""),
    ("*C*", "A", "A", "", "C", "CC", "C", "C", "C", ""),
    ("_C_", "A", "A", "", "", "DD", "", "C", "C", ""),
    ("The correct answer is C.Warfarin", "A", "A", "C", "C", "CC", "C", "C", "C", ""),
    ("Warf", "A", "A", "", "", "CC", "", "C", "A", ""),
    ("WarfarinHeparin", "A", "A", "", "", "BB", "", "C", "A", ""),
    ("not C", "A", "A", "", "C", "CC", "C", "A", "C", ""),
    ("1. C 2. B", "A", "A", "", "B", "CB", "C", "A", "B", ""),
    ("yes", "A", "A", "", "", "DD", "", "A", "", ""),
    ("no", "A", "A", "", "", "DD", "", "A", "", ""),
    ("maybe", "A", "A", "", "", "BB", "", "B", "", ""),
    ("C\u3001B", "A", "A", "", "B", "CC", "C", "B", "B", ""),
    (
        "C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C C ",
        "A",
        "A",
        "",
        "C",
        "CC",
        "C",
        "C",
        "C",
        "",
    ),
    ("\u00e9\u00fc \ud83d\ude00 C", "A", "A", "", "C", "CC", "C", "A", "C", ""),
    ("\u2163 C", "A", "A", "", "C", "CC", "C", "A", "C", ""),
    ("B is wrong, C is right", "A", "A", "", "C", "BC", "B", "A", "C", ""),
]


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_same_as_the_originals(row: tuple[str, ...]) -> None:
    output, plain, llama, first, second, huatuo_pair, expert, kit, qvq, deepseek = row
    assert mirage.letter(output) == plain
    assert accepted(mirage.pmc_llama, output) == llama
    assert (mmlu_pro.first_level(output) or "") == first
    assert (mmlu_pro.second_level(output) or "") == second
    assert "".join(huatuo.first_and_last(output, OPTIONS)) == huatuo_pair
    assert (medxpertqa.cleansed(output, "D") or "") == expert
    assert accepted(medevalkit_text.multi_choice, output) == kit
    five = {**OPTIONS, "E": "Iron"}  # the range of letters that these two rules had
    assert accepted(medxpertqa.qvq, output, five) == qvq
    assert accepted(medxpertqa.boxed, output, five) == deepseek


def test_mmlu_pro_draws_in_the_original_stream() -> None:
    """random.seed(12345): level 1 draws for all unread answers, then level 2 goes on in the same stream."""
    rng = random.Random(12345)
    outputs = ["nothing here", "Answer: C", "the answer is (B)", "no"]
    drawn = [rng.choice("ABCDEFGHIJ") for _ in range(3)]  # level 1: answers 0, 1 and 3
    again = [rng.choice("ABCDEFGHIJ") for _ in range(2)]  # level 2: answers 0 and 3
    golds = [drawn[0], drawn[1], "B", drawn[2]]
    samples = [ask(gold, options=dict.fromkeys("ABCDEFGHIJ", "x")) for gold in golds]
    assert [one.value for one in mmlu_pro.level1.run(outputs, samples)] == [1, 1, 1, 1]
    golds = [again[0], "C", "B", again[1]]
    samples = [ask(gold, options=dict.fromkeys("ABCDEFGHIJ", "x")) for gold in golds]
    assert [one.value for one in mmlu_pro.level2.run(outputs, samples)] == [1, 1, 1, 1]
    assert mmlu_pro.level2.run([None, *outputs[1:]], samples)[0].value is None


def test_mmlu_pro_letters_after_a_label_come_from_one_line() -> None:
    assert mmlu_pro.second_level("Answer: A, answer: B\nanswer: C") == "B"
    assert mmlu_pro.second_level("Answer:\nC answer: D") == "C"
    assert mmlu_pro.second_level("x" * 50_000 + " I") == "I"


def test_mmlu_pro_reads_its_own_files(tmp_path: Path) -> None:
    path = tmp_path / "health_result.json"
    rows = [
        {"question_id": 7, "category": "health", "model_outputs": "The answer is (B)."},
        {"question_id": 8, "category": "law", "model_outputs": "x"},
        {"question_id": 9, "category": "health", "generated_text": "no"},
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    base = ask("B", "mmlu_pro-7")
    samples = [Sample("mmlu_pro-7", Source("mmlu_pro", "health", "MIT", "7"), base.messages, base.answer)]
    assert mmlu_pro.outputs(path, samples) == {"mmlu_pro-7": ["The answer is (B)."], "9": ["no"]}


def test_huatuo_reports_the_larger_side() -> None:
    """The original on these three: first letters 1 of 3, last letters 3 of 3, reported 1.0."""
    outputs = ["The answer is A. No, the answer is B.", "The answer is D, then: the answer is C", "Heparin"]
    samples = [ask("B"), ask("C"), ask("B")]
    scored = huatuo.official.run(outputs, samples)
    assert huatuo.larger(scored) == {"acc": 1.0, "first": 1 / 3, "last": 1.0}
    assert huatuo.larger(huatuo.first.run([outputs[0], None, "C"], samples)) == {"acc": 0.5, "first": 0.0, "last": 0.5}


def test_huatuo_guesses_the_last_of_equals_on_an_empty_answer() -> None:
    assert huatuo.first_and_last("", OPTIONS) == ("D", "D")
    assert accepted(medevalkit_text.multi_choice, "") == "A"


def test_huatuo_file_is_matched_by_question_and_options(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    rows = [{"question": "Which drug?", "options": OPTIONS, "answer_idx": "B", "output": "B"}]
    path.write_text(json.dumps(rows), encoding="utf-8")
    assert huatuo.outputs(path, [ask("B", "medqa-0003")]) == {"medqa-0003": ["B"]}
    rows[0].pop("output")
    path.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(UserError, match="expected the field 'output'"):
        huatuo.outputs(path, [ask("B", "medqa-0003")])


def test_medxpertqa_takes_the_article_and_the_pronoun_for_letters() -> None:
    assert medxpertqa.cleansed("A patient like this needs B", "J") == "A"
    assert medxpertqa.cleansed("I think B", "J") == "I"
    assert medxpertqa.cleansed("I think B", "E") == "B"
    assert medxpertqa.cleansed("I understand. Therefore, among A through J, the answer is (C), not D", "J") == "C"
    scored = medxpertqa.official.run(
        ["B", "C"], [ask("B", question_type="Reasoning"), ask("B", question_type="Understanding")]
    )
    assert medxpertqa.by_type(scored) == {"acc": 0.5, "Reasoning": 1.0, "Understanding": 0.0}


def test_citrus_leaves_long_answers_to_its_model() -> None:
    one = citrus.rule
    outputs = ["<answer>x</answer> <answer> B </answer>", "B", "<answer>B. Heparin</answer>", "<answer>(B)</answer>"]
    assert [item.value for item in one.run(outputs, [ask("B")] * 4)] == [1, 1, None, 0]


def test_distinct_questions_count_once() -> None:
    scored = [Scored(ask("B", document=name), "B", value) for name, value in (("p", 1.0), ("p", 0.0), ("q", 0.0))]
    assert distinct.questions(scored) == {"distinct": 0.5, "all": 1 / 3}
