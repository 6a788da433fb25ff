"""The program scorer of FinQA and ConvFinQA with its traps: exact execution, symbolic equality of programs.

A program is a list of tokens, `["divide(", "10", "2", ")", "EOF"]`; the last one is cut off unseen. The original works
on the tokens joined by "|" and parted at ")", so a step behind the first begins with "|": a table operation counts as
another one there. A table operation on `#i` uses the cells of the table operation before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmreason.rewards.program import OPERATIONS, SCALAR_OPS, TABLE_OPS

Table = Sequence[Sequence[str]]
Value = float | str

_BROKEN = (ArithmeticError, IndexError, KeyError, TypeError, ValueError)
"""What the original catches on the way, as any exception; the program is then invalid."""


class InvalidProgramError(ValueError):
    """The scorer cannot execute or compare the program."""


def tokenize(program: str) -> list[str]:
    """Tokens of a program text as the original makes them: parted at ", ", each parenthesis ends one; "EOF" behind."""
    tokens: list[str] = []
    for piece in program.split(", "):
        word = ""
        for char in piece:
            if char == ")" and word:
                tokens.append(word)
                word = ""
            word += char
            if char in "()":
                tokens.append(word)
                word = ""
        tokens += [word] if word else []
    return [*tokens, "EOF"]


def scalar_program(answer: float | str | None) -> list[str]:
    """The bridge from a final answer to a program: x -> add(x, 0), yes -> greater(1, 0), nothing -> add(0, 0)."""
    if answer in ("yes", "no"):
        return ["greater(", *(("1", "0") if answer == "yes" else ("0", "1")), ")", "EOF"]
    return ["add(", "0" if answer is None else str(answer), "0", ")", "EOF"]


def number(text: str) -> float:
    """A number, a percentage or a constant. Raises InvalidProgramError."""
    text = text.replace(",", "")
    try:
        return float(text)
    except ValueError:
        if "%" not in text and "const" not in text:
            raise InvalidProgramError(text) from None
    if "%" in text:
        return float(text.replace("%", "")) / 100.0
    text = text.replace("const_", "")
    return float("-1" if text == "m1" else text)


def _steps(body: Sequence[str]) -> list[str]:
    """The steps as texts "op(|first|second", all but the first with "|" in front."""
    for place, token in enumerate(body):
        if place % 4 == 0 and token.strip("(") not in OPERATIONS:
            raise InvalidProgramError(f"no operation {token!r}")
        if place % 4 == 3 and token != ")":
            raise InvalidProgramError(f"expected ')', found {token!r}")
    return "|".join(body).split(")")[:-1]


def _parts(step: str) -> tuple[str, str, str]:
    """(operation, first, second) of a step."""
    pieces = step.strip().split("(")
    if len(pieces) > 2:
        raise InvalidProgramError(f"parentheses within {step!r}")
    first, second = pieces[1].strip("|").strip().split("|")[:2]
    return pieces[0].strip("|").strip(), first.strip(), second.strip()


def _cells(name: str, table: Table) -> list[float]:
    rows = {row[0]: row[1:] for row in table}
    return [number(cell.replace("$", "").strip().split("(")[0].strip()) for cell in rows[name]]


def _resolve(text: str, done: dict[int, Any]) -> Any:
    return done[int(text.replace("#", ""))] if "#" in text else number(text)


def _scalar(op: str, first: Any, second: Any) -> Any:
    return ("yes" if first > second else "no") if op == "greater" else SCALAR_OPS[op](first, second)


def _execute(body: Sequence[str], table: Table) -> Any:
    done: dict[int, Any] = {}
    cells: list[float] | None = None
    for place, step in enumerate(_steps(body)):
        op, first, second = _parts(step)
        if op not in TABLE_OPS:
            done[place] = _scalar(op, _resolve(first, done), _resolve(second, done))
            continue
        if "#" in first:
            _resolve(first, done)
        else:
            cells = _cells(first, table)
        if cells is None:
            raise InvalidProgramError(f"no cells for {step!r}")
        done[place] = TABLE_OPS[op](cells)
    return done[len(done) - 1]


def value(tokens: Sequence[str], table: Table, bare: bool = False) -> Value:
    """What the program executes to, rounded to 5 decimals, or "yes" or "no". Raises InvalidProgramError.

    `bare`: a program of one token is a number, as ConvFinQA has it.
    """
    body = list(tokens[:-1])
    try:
        found = number(body[0]) if bare and len(body) == 1 else _execute(body, table)
        return found if found in ("yes", "no") else round(found, 5)
    except _BROKEN as error:
        raise InvalidProgramError(str(error)) from None


def execution_equal(tokens: Sequence[str], table: Table, gold: Value, bare: bool = False) -> bool:
    """Execution accuracy of one item: the value equals the gold exactly, without tolerance."""
    try:
        return bool(value(tokens, table, bare) == gold)
    except InvalidProgramError:
        return False


def program_equal(gold: Sequence[str], predicted: Sequence[str], bare: bool = False) -> bool:
    """Program accuracy of one item: both are the same expression in the gold's arguments, simplified by sympy.

    Arguments are names, not values: "10.0" is not "10", and a constant that the gold does not use may not appear. A
    gold that the original stops at is equal to nothing.
    """
    if bare and len(gold) == 2:
        return len(predicted) == 2 and gold[0] == predicted[0]
    try:
        return _same(gold[:-1], predicted[:-1])
    except _BROKEN:
        return False


def _same(gold: Sequence[str], predicted: Sequence[str]) -> bool:
    import sympy

    wanted, said = "|".join(gold).split(")")[:-1], _steps(predicted)
    names: dict[str, Any] = {}
    for key in (key for step in wanted for key in _names(step)):
        names.setdefault(key, sympy.Symbol(f"a{len(names)}"))
    if any(key not in names for step in said for key in _names(step)):
        return False
    left, right = _expression(wanted, names), _expression(said, names, ordered=True)
    return bool(sympy.simplify(left) == sympy.simplify(right))


def _names(step: str) -> list[str]:
    """What of a step becomes a variable: a table operation as a whole, else its arguments that are no step."""
    op, *arguments = _parts(step)
    return [step.strip()] if "table" in op else [text for text in arguments if "#" not in text]


def _expression(steps: Sequence[str], names: dict[str, Any], ordered: bool = False) -> Any:
    """The last step as a sympy expression. `ordered`: each step may use earlier ones alone."""
    import sympy

    def part(text: str, place: int) -> Any:
        if "#" not in text:
            return names[text]
        if ordered and int(text.strip("#")) >= place:
            raise InvalidProgramError(f"{text} in step {place}")
        return done[int(text.replace("#", ""))]

    done: dict[int, Any] = {}
    for place, step in enumerate(steps):
        op, first, second = _parts(step)
        if "table" in op:
            done[place] = names[step.strip()]
            continue
        left, right = part(first, place), part(second, place)
        done[place] = sympy.Gt(left, right) if op == "greater" else SCALAR_OPS[op](left, right)
    return done[len(steps) - 1]
