"""FinQA programs: read `op(arg1, arg2), ...`, look cells up in the table, execute. Never eval."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from mmreason.errors import nearest
from mmreason.records import Answer, Unread, Verdict

TABLE_OPS: dict[str, Callable[[list[float]], float]] = {
    "table_max": max,
    "table_min": min,
    "table_sum": sum,
    "table_average": lambda cells: sum(cells) / len(cells),
}
SCALAR_OPS: dict[str, Callable[[float, float], float]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "exp": lambda a, b: a**b,
}
COMPARE = "greater"
"""Its result is "yes" or "no"."""
OPERATIONS = (*SCALAR_OPS, COMPARE, *TABLE_OPS)

_STEP = re.compile(r"\s*(\w+)\s*\(")
_PLAIN_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d{1,3})?", re.IGNORECASE)
_LONGEST = 4000


class ProgramError(ValueError):
    """A program that cannot be read or executed; the message names the operation and the argument."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation with its two arguments as written."""

    op: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.op}({self.first}, {self.second})"


def parse_program(program: str) -> list[Step]:
    """Steps of `op(arg1, arg2), op(...)`. Row names may hold commas and balanced parentheses.

    Raises ProgramError naming the step; an unknown operation names the nearest known one.
    """
    if len(program) > _LONGEST:
        raise ProgramError(f"the program has {len(program)} characters, at most {_LONGEST} are read")
    steps: list[Step] = []
    at = 0
    while True:
        head = _STEP.match(program, at)
        if head is None:
            raise ProgramError(f"step {len(steps)}: expected 'operation(', found {program[at : at + 30]!r}")
        if head.group(1) not in OPERATIONS:
            raise ProgramError(f"step {len(steps)}: unknown operation {head.group(1)!r}{nearest(head[1], OPERATIONS)}")
        close = _closing(program, head.end())
        steps.append(_step(head.group(1), program[head.end() : close], len(steps)))
        rest = program[close + 1 :].strip()
        if not rest:
            return steps
        if not rest.startswith(","):
            raise ProgramError(f"step {len(steps)}: expected a comma between steps, found {rest[:30]!r}")
        at = program.index(",", close + 1) + 1


def _closing(program: str, at: int) -> int:
    depth = 1
    for place in range(at, len(program)):
        depth += (program[place] == "(") - (program[place] == ")")
        if depth == 0:
            return place
    raise ProgramError(f"no closing parenthesis after {program[:at][-30:]!r}")


def _step(op: str, inside: str, index: int) -> Step:
    first, comma, second = inside.rpartition(",")
    if not comma or not first.strip() or not second.strip():
        raise ProgramError(f"step {index}: {op} takes two arguments, found {inside.strip()!r}")
    return Step(op, first.strip(), second.strip())


def parse_cell(text: str) -> float | None:
    """A table cell as a number: "$" removed, cut at "(" ("-9 ( 9 )" is -9), commas removed, percent / 100."""
    text = text.replace("$", "").split("(")[0].replace(",", "").strip()
    percent = text.endswith("%")
    text = text.removesuffix("%").strip()
    if not _PLAIN_NUMBER.fullmatch(text):
        return None
    return float(text) / 100 if percent else float(text)


def row_cells(table: list[list[str]], name: str) -> list[float]:
    """The numbers of the row called `name` (exact; of several rows with that name the last).

    Raises ProgramError when there is no such row or one of its cells is no number.
    """
    rows = {row[0]: row[1:] for row in table if row}
    if name not in rows:
        raise ProgramError(f"the table has no row {name!r}{nearest(name, rows) if rows else ' (it is empty)'}")
    cells = [parse_cell(cell) for cell in rows[name]]
    if not cells or None in cells:
        bad = next((cell for cell, number in zip(rows[name], cells, strict=True) if number is None), "")
        raise ProgramError(f"row {name!r}: cell {bad!r} is no number")
    return [cell for cell in cells if cell is not None]


def _argument(text: str, done: list[float | str], step: Step) -> float:
    if text.startswith("#"):
        place = text[1:]
        if not place.isdecimal() or int(place) >= len(done):
            raise ProgramError(f"{step}: {text!r} is no earlier step")
        value = done[int(place)]
        if isinstance(value, str):
            raise ProgramError(f"{step}: {text!r} is {value!r}, not a number")
        return value
    plain = text.replace("const_m", "-").replace("const_", "") if text.startswith("const_") else text.replace(",", "")
    percent = plain.endswith("%")
    plain = plain.removesuffix("%").strip()
    if not _PLAIN_NUMBER.fullmatch(plain):
        raise ProgramError(f"{step}: argument {text!r} is no number, constant or step")
    return float(plain) / 100 if percent else float(plain)


def _run(step: Step, done: list[float | str], table: list[list[str]]) -> float | str:
    if step.op in TABLE_OPS:
        if step.first.startswith("#"):
            raise ProgramError(f"{step}: a table operation takes a row name, found {step.first!r}")
        return TABLE_OPS[step.op](row_cells(table, step.first))
    first, second = _argument(step.first, done, step), _argument(step.second, done, step)
    if step.op == COMPARE:
        return "yes" if first > second else "no"
    try:
        value = SCALAR_OPS[step.op](first, second)
    except (ZeroDivisionError, OverflowError) as error:
        raise ProgramError(f"{step}: {error}") from None
    if isinstance(value, complex) or not math.isfinite(value):
        raise ProgramError(f"{step}: the result {value} is no finite real number")
    return value


def execute(program: str, table: list[list[str]]) -> float | str:
    """Value of a program on a table (rows of strings, row 0 the header): a float rounded to 5 decimals, or yes/no.

    The official rules, with one deviation: a table operation on an earlier step (`#0`) is an error, where the
    official scorer silently reuses the cells of the previous table operation.
    """
    done: list[float | str] = []
    for step in parse_program(program):
        done.append(_run(step, done, table))
    return round(done[-1], 5) if isinstance(done[-1], float) else done[-1]


def _gold_value(gold: str, table: list[list[str]]) -> float | str:
    if gold.strip().lower() in ("yes", "no"):
        return gold.strip().lower()
    return round(float(gold), 5) if _PLAIN_NUMBER.fullmatch(gold.strip()) else execute(gold, table)


def grade_program(read: str, answer: Answer, table: list[list[str]] | None = None) -> Verdict:
    """Execute the program that was read; right if its value equals the gold's exactly (5 decimals, yes/no).

    The gold is a program, a number or yes/no. `table` is needed where a program uses table operations.
    """
    try:
        gold = _gold_value(answer.gold, table or [])
    except ProgramError as error:
        return Verdict.no_read(Unread.GOLD, f"gold program: {error}", read)
    try:
        value = execute(read, table or [])
    except ProgramError as error:
        return Verdict.no_read(Unread.PREDICTION, str(error), read)
    return Verdict.of(value == gold, read, f"{value} against {gold}")
