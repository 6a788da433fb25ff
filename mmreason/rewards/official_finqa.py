"""FinQA's program scorer, for parity: execution accuracy by exact equality, program accuracy by symbolic equality.

Programs are token lists, `["divide(", "10", "2", ")", "EOF"]`: groups of four and one last token that is cut off
unseen. Reconstructed from its described behaviour; traps included (see `official_value`).
"""

from __future__ import annotations

from typing import Any

from mmreason.rewards.program import OPERATIONS, SCALAR_OPS, TABLE_OPS, parse_program

INVALID = "n/a"
"""What the scorer calls a program that it cannot execute."""


def program_tokens(program: str) -> list[str]:
    """Token list of a program text, "EOF" at its end. Raises ProgramError where it does not parse."""
    steps = parse_program(program)
    return [token for step in steps for token in (f"{step.op}(", step.first, step.second, ")")] + ["EOF"]


def scalar_program(answer: float | str | None) -> list[str]:
    """The bridge from a final answer to a program: x -> add(x, 0), yes -> greater(1, 0), nothing -> add(0, 0)."""
    if answer in ("yes", "no"):
        return ["greater(", *(("1", "0") if answer == "yes" else ("0", "1")), ")", "EOF"]
    return ["add(", "0" if answer is None else str(answer), "0", ")", "EOF"]


def _to_number(text: str) -> float | None:
    text = text.replace(",", "")
    scale = 1.0
    if "%" in text:
        text, scale = text.replace("%", ""), 100.0
    elif text.startswith("const_"):
        text = text.removeprefix("const_").replace("m1", "-1")
    try:
        return float(text) / scale
    except ValueError:
        return None


def _steps(tokens: list[str]) -> list[tuple[str, str, str]] | None:
    """(op, first, second) of each group of four, the last token cut; None where the layout or an op is wrong."""
    body = tokens[:-1]
    if not body or len(body) % 4:
        return None
    steps = []
    for at in range(0, len(body), 4):
        op, first, second, close = body[at : at + 4]
        nested = any(mark in first + second for mark in "()")
        if op.removesuffix("(") not in OPERATIONS or not op.endswith("(") or close != ")" or nested:
            return None
        steps.append((op[:-1], first, second))
    return steps


def _cells(name: str, table: list[list[str]]) -> list[float] | None:
    rows = {row[0]: row[1:] for row in table if row}
    numbers = [_to_number(cell.replace("$", "").strip().split("(")[0].strip()) for cell in rows.get(name, [])]
    return [n for n in numbers if n is not None] if numbers and None not in numbers else None


def official_value(tokens: list[str], table: list[list[str]]) -> float | str:
    """Value by the official rules, rounded to 5 decimals, "yes"/"no", or "n/a".

    A table operation on `#i` reuses the cells of the previous table operation, as the official code does; ours
    (`program.execute`) calls that invalid.
    """
    steps = _steps(tokens)
    done: list[float | str] = []
    cells: list[float] | None = None
    for op, first, second in steps or []:
        if op in TABLE_OPS:
            cells = cells if first.startswith("#") else _cells(first, table)
            value: float | str = TABLE_OPS[op](cells) if cells else INVALID
        else:
            value = _apply(op, _resolve(first, done), _resolve(second, done))
        if value == INVALID:
            return INVALID
        done.append(value)
    if not done:
        return INVALID
    return round(done[-1], 5) if isinstance(done[-1], float) else done[-1]


def _resolve(text: str, done: list[float | str]) -> float | None:
    if not text.startswith("#"):
        return _to_number(text)
    place = text[1:]
    value = done[int(place)] if place.isdecimal() and int(place) < len(done) else None
    return value if isinstance(value, float) else None


def _apply(op: str, first: float | None, second: float | None) -> float | str:
    if first is None or second is None:
        return INVALID
    if op == "greater":
        return "yes" if first > second else "no"
    try:
        value = SCALAR_OPS[op](first, second)
    except (ZeroDivisionError, OverflowError):
        return INVALID
    return INVALID if isinstance(value, complex) else value


def official_execution_equal(tokens: list[str], table: list[list[str]], exe_ans: float | str) -> bool:
    """Execution accuracy of one item: the value equals `exe_ans` exactly, without tolerance."""
    value = official_value(tokens, table)
    return value != INVALID and value == exe_ans


def official_program_equal(gold: list[str], predicted: list[str]) -> bool:
    """Program accuracy of one item: both token lists are the same expression in the gold's arguments.

    Arguments are names, not values: "10.0" is not "10", and a constant that the gold does not use may not appear.
    Additions and products commute and re-associate (sympy). Needs sympy, which comes with math-verify.
    """
    import sympy

    gold_steps, predicted_steps = _steps(gold), _steps(predicted)
    if gold_steps is None or predicted_steps is None:
        return False
    names: dict[str, Any] = {}
    for step in gold_steps:
        for key in ["|".join(step)] if step[0] in TABLE_OPS else step[1:]:
            if not key.startswith("#"):
                names.setdefault(key, sympy.Symbol(f"a{len(names)}"))
    left, right = _expression(gold_steps, names), _expression(predicted_steps, names)
    return left is not None and right is not None and sympy.simplify(left) == sympy.simplify(right)


def _expression(steps: list[tuple[str, str, str]], names: dict[str, Any]) -> Any:
    """The last step as a sympy expression; None if it uses a name that the gold does not."""
    import sympy

    done: list[Any] = []
    for op, first, second in steps:
        if op in TABLE_OPS:
            done.append(names.get("|".join((op, first, second))))
        else:
            left, right = (_symbol(text, done, names) for text in (first, second))
            if left is None or right is None:
                return None
            done.append(sympy.Gt(left, right) if op == "greater" else SCALAR_OPS[op](left, right))
        if done[-1] is None:
            return None
    return done[-1]


def _symbol(text: str, done: list[Any], names: dict[str, Any]) -> Any:
    if not text.startswith("#"):
        return names.get(text)
    place = text[1:]
    return done[int(place)] if place.isdecimal() and int(place) < len(done) else None
