"""What the readers of report questions share: tables as text, a key of the report page, percent questions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from mmreason.data.lines import Row
from mmreason.rewards.program import Step, execute, parse_program

Table = Sequence[Sequence[str]]

_REPEAT = re.compile(r"\([^()]*\)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_PLAIN_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)")
_GIVEN_PERCENT = re.compile(r"\d\s*(?:%|percent\b)")
_PERCENT = re.compile(r"percent|%|proportion|\bportion\b|\bshare of\b|\brate\b|\bgrowth\b|\broi\b|\breturn\b", re.I)
FEW_NUMBERS = 4
"""Tables with fewer numbers are keyed by their words too: two numbers are easily shared by chance."""


def document_key(table: Table) -> str:
    """A key of the report page that is the same in FinQA and ConvFinQA, released and compact.

    The sets print one table with other row names, spacing and "$", and repeat cells as "-9 ( 9 )", but agree in its
    numbers: their sorted list is hashed. On the 883 dev rows it tells apart the same pages as the whole table does.
    """
    cells = [(_REPEAT.sub("", cell).strip() or cell).replace(",", "") for row in table for cell in row]
    parts = sorted(number for cell in cells for number in _NUMBER.findall(cell))
    if len(parts) < FEW_NUMBERS:
        parts = sorted("".join(cell.replace("$", "").split()).lower() for cell in cells)
    return (
        "report-" + hashlib.sha256("|".join(part for part in parts if part not in ("", "-")).encode()).hexdigest()[:16]
    )


def row_sentence(header: Sequence[str], row: Sequence[str]) -> str:
    """One table row in words, as FinQA's retriever puts it: 'the ROW of COLUMN is CELL ; ...'."""
    facts = (f"the {row[0]} of {head} is {cell} ;" for head, cell in zip(header[1:], row[1:], strict=False))
    return " ".join([*([header[0]] if header[0] else []), *facts])


def render(table: Table, style: str) -> str:
    """A table as 'markdown' (first row the header) or 'sentences' (one row a line)."""
    if not table:
        return ""
    if style == "sentences":
        return "\n".join(row_sentence(table[0], row) for row in table[1:] if row)
    lines = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([lines[0], "|" + " --- |" * len(table[0]), *lines[1:]])


def program_value(program: str, table: list[list[str]]) -> float | str:
    """What a program executes to; ConvFinQA also writes a bare number. Raises ProgramError."""
    if _PLAIN_NUMBER.fullmatch(program.strip()):
        return round(float(program), 5)
    return execute(program, table)


def same_value(value: float | str, gold: float | str) -> bool:
    """Equal up to the fifth decimal, to which golds are rounded; yes/no as words."""
    if isinstance(value, str) or isinstance(gold, str):
        return value == gold
    return abs(value - gold) <= 1.5e-5


def gold_value(row: Row, key: str) -> float | str:
    """A gold execution result: a number, "yes" or "no". Raises UserError naming the row."""
    value = row.values.get(key)
    if isinstance(value, str) and value.strip().lower() in ("yes", "no"):
        return value.strip().lower()
    if isinstance(value, bool) or not isinstance(value, int | float):
        row.fail(f"field {key!r} is {value!r}, expected a number, 'yes' or 'no'")
    return float(value)


def _is_ratio(steps: list[Step], index: int) -> bool:
    """Step `index` gives a share of one: a quotient, or sums and differences of quotients, percents and ones."""
    step = steps[index]
    if step.op == "divide":
        return True
    if step.op not in ("add", "subtract"):
        return False
    arguments = (step.first, step.second)
    earlier = [int(a[1:]) for a in arguments if a[:1] == "#" and a[1:].isdecimal() and int(a[1:]) < index]
    others = [a for a in arguments if a[:1] != "#" and a not in ("1", "const_1") and not a.endswith("%")]
    known = bool(earlier) or any(a.endswith("%") for a in arguments)
    return known and not others and all(_is_ratio(steps, k) for k in earlier)


def _is_relative_change(steps: list[Step]) -> bool:
    last = steps[-1]
    if last.op != "divide" or last.first[:1] != "#" or not last.first[1:].isdecimal():
        return False
    base = int(last.first[1:])
    return (
        base < len(steps) - 1
        and steps[base].op == "subtract"
        and last.second in (steps[base].first, steps[base].second)
    )


def percent_form(question: str, program: str) -> tuple[bool, bool]:
    """(the gold is a ratio that the question wants as a percentage, the gold is already multiplied by 100).

    Decided by the words of the question and by the last step of the program: quotients are ratios unless a final
    multiply(.., const_100) follows; a relative change is a percentage whatever the words. `program` may be ""
    (the words alone decide) or a bare number (never a percentage).
    """
    words = bool(_PERCENT.search(_GIVEN_PERCENT.sub("", question)))
    if not program or _PLAIN_NUMBER.fullmatch(program.strip()):
        return words and not program, False
    steps = parse_program(program)
    last = steps[-1]
    if last.op == "multiply" and {"100", "const_100"} & {last.first, last.second}:
        return False, words and len(steps) > 1 and _is_ratio(steps[:-1], len(steps) - 2)
    return _is_relative_change(steps) or (words and _is_ratio(steps, len(steps) - 1)), False
