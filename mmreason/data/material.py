"""The teacher of a run without an endpoint: chains written from what the released sets carry.

Gold programs (FinQA, ConvFinQA), explanations (CFLUE) and derivations (TAT-QA) become chains by template. This is
reconstructed: DianJin-R1 asks DeepSeek-R1. It teaches form and steps, not style, and says so in `metadata.teacher`.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmreason.records import AnswerKind, Outcome, Sample
from mmreason.rewards.grade import grade
from mmreason.rewards.program import ProgramError, execute, parse_program

_SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "exp": "^", "greater": ">"}
_FIELDS = {
    "trace": "played",
    "chain": "workflow",
    "program": "gold_program",
    "explanation": "explanation",
    "derivation": "derivation",
}


def material_of(sample: Sample) -> str:
    """Teacher's name for the evidence that a chain can be written from, "" where there is none."""
    for field, name in _FIELDS.items():
        value = sample.evidence.get(field)
        if isinstance(value, str) and value.strip():
            return name
    return ""


def compose(chain: str, answer: str) -> str:
    """The response form of the paper."""
    return f"<think>{chain}</think><answer>{answer}</answer>"


def shown(value: float | str) -> str:
    """A value as people write it: at most five decimals, no exponent."""
    if isinstance(value, str):
        return value
    text = f"{value:.5f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def program_chain(program: str, table: Sequence[Sequence[str]]) -> str:
    """One sentence a step, each with its executed value. Raises ProgramError where a step cannot be executed."""
    steps = parse_program(program)
    rows = [list(row) for row in table]
    values: list[str] = []
    sentences: list[str] = []
    for index, step in enumerate(steps):
        value = shown(execute(", ".join(str(done) for done in steps[: index + 1]), rows))
        first, second = _argument(step.first, values), _argument(step.second, values)
        if step.op in _SIGNS:
            sentences.append(f"{first} {_SIGNS[step.op]} {second} = {value}")
        else:
            sentences.append(f"the {step.op.removeprefix('table_')} of {first} in the table is {value}")
        values.append(value)
    return "\n".join(f"Step {number}: {sentence}." for number, sentence in enumerate(sentences, 1))


def _argument(text: str, values: Sequence[str]) -> str:
    if text.startswith("#") and text[1:].isdigit() and int(text[1:]) < len(values):
        return values[int(text[1:])]
    constant = text.removeprefix("const_")
    return constant.replace("m", "-", 1) if text.startswith("const_m") else constant


def boxed_gold(sample: Sample) -> str:
    """The gold answer in the box, ratios as a percentage with its sign where the question asks for one."""
    gold = sample.answer.gold
    if sample.answer.kind is AnswerKind.NUMBER and sample.answer.asks_percent and "%" not in gold:
        try:
            percent = f"\\boxed{{{shown(round(float(gold) * 100, 3))}%}}"
        except ValueError:
            return f"\\boxed{{{gold}}}"  # a yes/no gold of a comparison
        if grade(compose("check", percent), sample.answer).outcome is Outcome.RIGHT:
            return percent
    return f"\\boxed{{{gold}}}"


def _from_explanation(sample: Sample) -> str:
    explanation = str(sample.evidence["explanation"]).strip()
    if sample.answer.kind is AnswerKind.FREE:
        return compose(explanation, sample.answer.gold)
    if sample.answer.lang != "zh":
        return compose(explanation, f"The answer is {boxed_gold(sample)}")
    return compose(explanation, f"答案是 {boxed_gold(sample)}")


def write_chain(sample: Sample, attempt: int) -> str | None:
    """Response written from the sample's own evidence; None where it has none, or where its program fails."""
    name = material_of(sample)
    if name == "played":
        return str(sample.evidence["trace"])
    if name == "workflow":
        return compose(str(sample.evidence["chain"]), boxed_gold(sample))
    if name == "explanation":
        return _from_explanation(sample)
    if name == "derivation":
        scale = f" {sample.answer.scale}" if sample.answer.scale else ""
        sign = " =" if sample.answer.kind is AnswerKind.NUMBER else ", so"
        chain = f"{sample.evidence['derivation']}{sign} {sample.answer.gold}{scale}"
        return compose(chain, f"The answer is {boxed_gold(sample)}")
    if name == "gold_program":
        try:
            chain = program_chain(sample.evidence["program"], sample.evidence.get("table") or [])
        except ProgramError:
            return None
        return compose(chain, f"The answer is {boxed_gold(sample)}")
    return None
