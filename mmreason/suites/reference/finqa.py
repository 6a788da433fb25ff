"""FinQA's own scorers: execution and program accuracy, and the final answer through the add-zero bridge."""

from __future__ import annotations

import random

from mmreason.records import Sample
from mmreason.rewards import official
from mmreason.rewards.extract import read_answer
from mmreason.rewards.program import ProgramError, parse_program
from mmreason.suites.references import Reference

ORIGIN = "czyssrs/FinQA code/evaluate/evaluate.py@0f16e28"


def is_program(output: str) -> bool:
    """Whether the answer that is read from an output parses as a FinQA program."""
    read = read_answer(output).text
    if read is None or "(" not in read:
        return False
    try:
        return bool(parse_program(read))
    except ProgramError:
        return False


def _scalar(output: str, sample: Sample, rng: random.Random) -> bool:
    return official.official_scalar(output, sample)


def _execution(output: str, sample: Sample, rng: random.Random) -> bool:
    return official.finqa_execution(output, sample)


def _program(output: str, sample: Sample, rng: random.Random) -> bool:
    return official.finqa_program(output, sample)


scalar = Reference(f"{ORIGIN}, final answer x as add(x, 0)", _scalar)
execution = Reference(ORIGIN, _execution, applies=is_program)
program = Reference(ORIGIN, _program, applies=is_program)
