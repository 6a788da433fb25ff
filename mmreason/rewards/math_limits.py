"""What is too costly to hand to a computer algebra system, decided from the text alone."""

from __future__ import annotations

import re

LONGEST = 300
DEEPEST = 20
LARGEST = 10_000
"""Largest exponent and factorial argument that are evaluated."""
TALLEST = 2
"""Levels of stacked exponents."""

_EXPONENT = re.compile(r"\^\s*\{?\s*[-+]?(\d[\d,]*)")
_WRITTEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_FACTORIAL = re.compile(r"(\d+)\s*!")


def refuse(latex: str) -> str | None:
    """Why an expression is too costly to hand to a computer algebra system, or None."""
    if len(latex) > LONGEST:
        return f"{len(latex)} characters, at most {LONGEST}"
    depth = deepest = 0
    for char in latex:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        return f"{deepest} nested brackets, at most {DEEPEST}"
    tower = max((len(run) for run in _towers(latex)), default=0)
    if tower > TALLEST:
        return f"a tower of {tower} exponents, at most {TALLEST}"
    if _WRITTEN.search(latex):
        return "words that are no mathematics"
    if latex.count("|") % 2 and "\\{" not in latex:
        return "a lone bar"  # two answers, of which a parser takes the last
    numbers = [*_EXPONENT.findall(latex), *_FACTORIAL.findall(latex)]
    if any(len(number) > 6 or int(number.replace(",", "")) > LARGEST for number in numbers):
        return f"an exponent or factorial above {LARGEST}"
    if re.search(r"!\s*!|\)\s*!", latex) or re.search(r"\\(?:boxed|fbox|input|def|write)(?![a-z])", latex):
        return "a form that is not evaluated"
    return None


def _towers(latex: str) -> list[str]:
    """Runs of carets, one per level of stacked exponents."""
    runs, levels = [], [0]
    for place, char in enumerate(latex):
        if char == "^":
            levels[-1] += 1
            runs.append("^" * sum(levels))
        elif char == "{":
            levels.append(0)
        elif char == "}" and len(levels) > 1:
            levels.pop()
            following = latex[place + 1 : place + 2]
            levels[-1] = levels[-1] if following == "^" else 0
        elif char in "+-=, )" and len(levels) == 1:
            levels[-1] = 0
    return runs
