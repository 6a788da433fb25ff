"""FinQA's own scorers: execution and program accuracy, and the final answer through the add-zero bridge.

Predictions (`predictions`): the JSON array that the original reads, [{"id", "predicted": [token, ..., "EOF"]}, ...].
The original divides by the number of predictions given; beside that stands the share of all questions. It stops at a
program that is equal to the gold's but executes to another value; here such an item counts as equal.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.rewards.extract import read_answer
from mmreason.rewards.number import read_gold
from mmreason.rewards.program import ProgramError, parse_program
from mmreason.rewards.quantity import Quantity, parse_number
from mmreason.suites.reference.finqa_program import (
    InvalidProgramError,
    execution_equal,
    program_equal,
    scalar_program,
    tokenize,
    value,
)
from mmreason.suites.reference.forms import field, named, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "czyssrs/FinQA code/evaluate/evaluate.py@0f16e28"
_TOKENS = re.compile(r"<program>(\[.*\])</program>", re.DOTALL)
"""A program's tokens, as `predictions` stores them in front of an output."""


def read_scalar(output: str) -> float | str | None:
    """The final answer of an output: a number, "yes" or "no"; a percentage as its ratio."""
    text = (read_answer(output, lenient=True).text or "").strip()
    if text.lower() in ("yes", "no"):
        return text.lower()
    shown = parse_number(text) if text else None
    return shown.value if shown else None


def read_tokens(output: str) -> list[str] | None:
    """The tokens of the program that an output gives, None where it gives none."""
    stored = _TOKENS.match(output)
    if stored:
        return [str(token) for token in json.loads(stored.group(1))]
    text = read_answer(output, lenient=True).text or ""
    try:
        return tokenize(text) if "(" in text and parse_program(text) else None
    except ProgramError:
        return None


def is_program(output: str) -> bool:
    """Whether an output gives a program."""
    return read_tokens(output) is not None


def gold_value(sample: Sample) -> float | str | None:
    """The released `exe_ans` where the reader kept it: a gold printed with its percent sign is on another scale."""
    released = sample.evidence.get("exe_ans")
    if isinstance(released, (int, float, str)):
        return released if isinstance(released, str) else round(float(released), 5)
    gold = read_gold(sample.answer.gold, "")
    if isinstance(gold, Quantity):
        return round(gold.value, 5)
    return {True: "yes", False: "no", None: None}[gold]


def table_of(sample: Sample) -> list[list[str]]:
    """The rows of the report's table; none where the reader kept none."""
    return [list(row) for row in sample.evidence.get("table") or []]


def score_scalar(output: str, sample: Sample, rng: random.Random) -> bool:
    """The final answer x as the program add(x, 0): equal to the gold at 5 decimals."""
    gold = gold_value(sample)
    return gold is not None and execution_equal(scalar_program(read_scalar(output)), [], gold)


def score_execution(output: str, sample: Sample, rng: random.Random, bare: bool = False) -> bool:
    """Execution accuracy of a program; any other answer goes over the bridge."""
    gold, tokens = gold_value(sample), read_tokens(output)
    if gold is None or tokens is None:
        return score_scalar(output, sample, rng)
    return execution_equal(tokens, table_of(sample), gold, bare)


def score_program(output: str, sample: Sample, rng: random.Random, bare: bool = False) -> bool:
    """Program accuracy; False for an answer that is no program."""
    tokens, gold = read_tokens(output), sample.evidence.get("program")
    return tokens is not None and bool(gold) and program_equal(tokenize(str(gold)), tokens, bare)


def of_given(scored: Sequence[Scored]) -> dict[str, float]:
    """The share of the predictions given, as the original prints it, and the share of all questions."""
    values = [one.value for one in scored if one.value is not None]
    right = sum(values)
    return {"acc": right / len(values) if values else 0.0, "of_all": right / len(scored) if scored else 0.0}


scalar = Reference(f"{ORIGIN}, final answer x as add(x, 0)", score_scalar)
execution = Reference(ORIGIN, score_execution, total=of_given, missing=None, applies=is_program)
program = Reference(f"{ORIGIN}, programs", score_program, total=of_given, missing=None, applies=is_program)


def predictions(path: Path, samples: Sequence[Sample], bare: bool = False) -> dict[str, list[str]]:
    """The original's predictions file. Raises UserError for an entry without a list of tokens."""
    tables = {sample.source.row: table_of(sample) for sample in samples}
    found = []
    for where, row in objects(path):
        name, tokens = str(field(where, row, "id")), field(where, row, "predicted")
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise UserError(f"{where}: 'predicted' is {tokens!r:.100}, expected a list of tokens")
        found.append((where, name, program_output(tokens, tables.get(name, []), bare)))
    return named(samples, found)


def program_output(tokens: Sequence[str], table: Any, bare: bool = False) -> str:
    """The tokens for this scorer, and for ours the value that they execute to; no answer where they do not."""
    stored = f"<program>{json.dumps(list(tokens), ensure_ascii=False)}</program>"
    try:
        return f"{stored}<answer>\\boxed{{{value(tokens, table, bare)}}}</answer>"
    except InvalidProgramError:
        return stored
