"""Reference rules by the name that a suite's `metrics` uses, all as (output, sample) -> bool.

They are the scorers that the sets were published with, faults included; the strict verdict stands beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mmreason.errors import UserError, nearest
from mmreason.records import Sample
from mmreason.rewards import official
from mmreason.rewards.extract import read_answer
from mmreason.rewards.program import ProgramError, parse_program
from mmreason.suites.suite import Suite

Rule = Callable[[str, Sample], bool]

RULES: dict[str, Rule] = {
    "official_scalar": official.official_scalar,
    "finqa_execution": official.finqa_execution,
    "finqa_program": official.finqa_program,
    "dianjin_cflue": official.dianjin_cflue,
    "cflue_extractor": official.cflue_extractor,
    "math_hendrycks": official.math_hendrycks,
    "math_evalscope": official.math_evalscope,
}

PROGRAM_RULES = ("finqa_execution", "finqa_program")
"""Left out where no output is a program: a score of 0 would say nothing."""


def rule(name: str) -> Rule:
    """The rule called `name`. Raises UserError with the nearest name."""
    if name not in RULES:
        raise UserError(f"no reference rule {name!r} for suite metrics{nearest(name, ['strict', *RULES])}")
    return RULES[name]


def applicable(suite: Suite, texts: Iterable[str | None]) -> Suite:
    """The suite with the rules that its outputs can be scored by. Raises UserError for an unknown rule name."""
    for name in suite.metrics:
        if name != "strict":
            rule(name)
    if not set(suite.metrics) & set(PROGRAM_RULES) or any(text and _is_program(text) for text in texts):
        return suite
    return suite.model_copy(update={"metrics": [name for name in suite.metrics if name not in PROGRAM_RULES]})


def _is_program(text: str) -> bool:
    """Whether the answer that is read from an output parses as a FinQA program."""
    read = read_answer(text).text
    if read is None or "(" not in read:
        return False
    try:
        return bool(parse_program(read))
    except ProgramError:
        return False
