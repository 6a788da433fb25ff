"""Reference rules as suites use them: (output, sample) -> bool. Parity numbers beside ours, never a reward."""

from __future__ import annotations

from mmreason.records import Sample
from mmreason.rewards.extract import Reading, read_answer
from mmreason.rewards.number import read_gold
from mmreason.rewards.official_finqa import (
    official_execution_equal,
    official_program_equal,
    program_tokens,
    scalar_program,
)
from mmreason.rewards.official_text import (
    cflue_equal,
    dianjin_cflue_equal,
    math500_evalscope_equal,
    math500_hendrycks_equal,
)
from mmreason.rewards.program import ProgramError
from mmreason.rewards.quantity import Quantity, parse_number


def dianjin_cflue(output: str, sample: Sample) -> bool:
    """DianJin-R1's CFLUE evaluation."""
    return dianjin_cflue_equal(output, sample.answer.gold)


def cflue_extractor(output: str, sample: Sample) -> bool:
    """CFLUE's own extraction and string equality."""
    return cflue_equal(output, sample.answer.gold)


def math_hendrycks(output: str, sample: Sample) -> bool:
    """The MATH string rule."""
    return math500_hendrycks_equal(output, sample.answer.gold)


def math_evalscope(output: str, sample: Sample) -> bool:
    """The percent-lenient number rule; a lower bound of that scorer."""
    return math500_evalscope_equal(output, sample.answer.gold)


def official_scalar(output: str, sample: Sample) -> bool:
    """FinQA by final answer through the add-zero bridge: exact equality with the gold at 5 decimals."""
    gold = _gold_value(sample)
    tokens = scalar_program(_scalar(_read(output).text))
    return gold is not None and official_execution_equal(tokens, [], gold)


def finqa_execution(output: str, sample: Sample) -> bool:
    """FinQA execution accuracy of a program in the answer; a bare number goes through the add-zero bridge."""
    gold, tokens = _gold_value(sample), _program(output)
    if gold is None or tokens is None:
        return official_scalar(output, sample)
    return official_execution_equal(tokens, _table(sample), gold)


def finqa_program(output: str, sample: Sample) -> bool:
    """FinQA program accuracy: symbolic equality with the gold program; False for a bare number."""
    tokens, gold = _program(output), sample.evidence.get("program")
    return tokens is not None and bool(gold) and official_program_equal(program_tokens(str(gold)), tokens)


def _read(output: str) -> Reading:
    return read_answer(output, lenient=True)


def _scalar(text: str | None) -> float | str | None:
    if text is None:
        return None
    if text.strip().lower() in ("yes", "no"):
        return text.strip().lower()
    shown = parse_number(text)
    return shown.value if shown else None


def _gold_value(sample: Sample) -> float | str | None:
    """The released `exe_ans` where the reader kept it: a gold printed with its percent sign is on another scale."""
    released = sample.evidence.get("exe_ans")
    if isinstance(released, (int, float, str)):
        return released if isinstance(released, str) else round(float(released), 5)
    gold = read_gold(sample.answer.gold, "")
    if isinstance(gold, Quantity):
        return round(gold.value, 5)
    return {True: "yes", False: "no", None: None}[gold]


def _program(output: str) -> list[str] | None:
    text = _read(output).text
    try:
        return program_tokens(text) if text else None
    except ProgramError:
        return None  # no program in the answer: wrong here, or a bare number for the bridge


def _table(sample: Sample) -> list[list[str]]:
    return [list(row) for row in sample.evidence.get("table") or []]
