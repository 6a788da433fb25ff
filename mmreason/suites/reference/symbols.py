"""Text as a sympy object, for published scorers that hand answers to sympy's own parser: nothing is executed here.

Sympy turns the text into Python source with its token rules and runs that. The same source is made here and read as a
tree, of which only numbers, names, arithmetic, comparisons and elementary functions have a value.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from mmreason.rewards.math_limits import refuse

MOST_DIGITS = 10_000
"""Powers with more digits have no value: the originals would compute them, however long that took."""

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitXor: operator.xor,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_MAKERS = frozenset({"Symbol", "Integer", "Float", "Rational", "Function"})
_FUNCTIONS = frozenset(
    "sqrt sin cos tan cot sec csc asin acos atan acot sinh cosh tanh log ln exp re im root factorial binomial "
    "floor ceiling sign gcd lcm factorial2 Abs Min Max abs conjugate arg".split()
)
_CONSTANTS = frozenset({"pi", "E", "I", "oo", "zoo", "nan"})


class NoSymbolsError(ValueError):
    """The text is no expression that is read here."""


@cache
def _names() -> dict[str, Any]:
    import builtins

    import sympy

    plain = {name: one for name, one in vars(builtins).items() if type(one) is type(len)}
    return {**{name: getattr(sympy, name) for name in sympy.__all__}, **plain}


def too_costly(text: str) -> bool:
    """Whether to keep the text from sympy: long, deeply nested, or with huge or stacked powers."""
    return (
        refuse(text.replace("**", "^")) is not None or re.search(r"(?:\^|\*\*)[^-+=,()]*(?:\^|\*\*)", text) is not None
    )


def expression(text: str, implicit: bool = False) -> Any:
    """The sympy object that sympy's `parse_expr` makes of the text; `implicit`: with implicit multiplication.

    Raises NoSymbolsError, and whatever sympy raises on operations that it does not have (x ^ 2 on a symbol).
    """
    from sympy.parsing import sympy_parser

    rules = sympy_parser.standard_transformations
    if implicit:
        rules = (*rules, sympy_parser.implicit_multiplication_application)
    if too_costly(text):
        raise NoSymbolsError("too costly")
    try:
        source = sympy_parser.stringify_expr(text, {}, _names(), rules)
        return _value(ast.parse(source.strip(), mode="eval").body)
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise NoSymbolsError(str(error)) from None


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
        return node.value
    if isinstance(node, ast.Name):
        return _constant(node.id)
    if isinstance(node, ast.BinOp):
        return _binary(node)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
        return _COMPARE[type(node.ops[0])](_value(node.left), _value(node.comparators[0]))
    if isinstance(node, ast.Tuple | ast.List):
        items = [_value(item) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else items
    if isinstance(node, ast.Call):
        return _call(node)
    raise NoSymbolsError(type(node).__name__)


def _constant(name: str) -> Any:
    if name not in _CONSTANTS:
        raise NoSymbolsError(name)
    return _names()[name]


def _binary(node: ast.BinOp) -> Any:
    left, right = _value(node.left), _value(node.right)
    if not isinstance(node.op, ast.Pow):
        return _BINARY[type(node.op)](left, right)
    base, exponent = getattr(left, "is_number", False), getattr(right, "is_number", False)
    if base and exponent and abs(right) * math.log10(max(2.0, float(abs(left)))) > MOST_DIGITS:
        raise NoSymbolsError("a power of too many digits")
    return left**right


def _call(node: ast.Call) -> Any:
    """A maker of numbers and symbols, an elementary function, or an unknown function of a name: f(x)."""
    if node.keywords:
        raise NoSymbolsError("keywords")
    values = [_value(argument) for argument in node.args]
    if isinstance(node.func, ast.Call):
        return _call(node.func)(*values)
    if not isinstance(node.func, ast.Name) or node.func.id not in _MAKERS | _FUNCTIONS:
        raise NoSymbolsError("a call")
    name = node.func.id
    if "factorial" in name and any(not getattr(v, "is_number", False) or abs(v) > 1000 for v in values):
        raise NoSymbolsError("a factorial of that")
    return abs(*values) if name == "abs" else _names()[name](*values)
