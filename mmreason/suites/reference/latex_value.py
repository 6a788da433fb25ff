"""The number that a LaTeX constant stands for, as programs find it that convert LaTeX and run what comes out.

A recursive descent over digits, + - * /, powers, fractions, roots, logarithms, trigonometric functions and pi. Nothing
is executed; letters, unknown commands and huge powers have no value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

LONGEST = 400
"""Characters; longer text has no value."""
DEEPEST = 40
MOST_DIGITS = 10_000
"""Powers with more digits have no value: the original would compute them, however long that took."""

Number = int | float

_TOKEN = re.compile(r"\s*(?:(\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)|(\\[A-Za-z]+|\\%|\\.)|(.))", re.DOTALL)
_SKIPPED = frozenset({"\\left", "\\right", "\\,", "\\quad", "\\displaystyle", "$", "'"})
_TIMES = frozenset({"*", "\\times", "\\cdot"})
_OVER = frozenset({"/", "\\div", ":"})
_FRACTIONS = frozenset({"\\frac", "\\dfrac", "\\tfrac"})
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "\\sin": math.sin,
    "\\cos": math.cos,
    "\\tan": math.tan,
    "\\arcsin": math.asin,
    "\\arccos": math.acos,
    "\\arctan": math.atan,
    "\\log": math.log10,
    "\\exp": math.exp,
}
_INVERSE = {"\\sin": math.asin, "\\cos": math.acos, "\\tan": math.atan}
_CLOSERS = frozenset("})].")
_PAIRS = {"(": ")", "{": "}", "[": "]"}


class NoValueError(ValueError):
    """The text is no constant that is read here."""


def value(text: str) -> Number | None:
    """The number, int where Python's arithmetic keeps it whole; None where there is none.

    A quotient is a float even if it comes out even. What stands behind a complete expression and a closing bracket or a
    period is passed over, as the original's grammar does.
    """
    if not text.strip() or len(text) > LONGEST:
        return None
    try:
        reader = _Reader(_tokens(text))
        found = reader.sum(0)
        if reader.here and reader.here not in _CLOSERS:
            return None
        return found
    except (ValueError, ArithmeticError):
        return None


def _tokens(text: str) -> list[str]:
    tokens = [next(filter(None, match.groups())) for match in _TOKEN.finditer(text) if any(match.groups())]
    return [token for token in tokens if token not in _SKIPPED and not token.isspace()]


def _number(token: str) -> Number:
    plain = token.replace(",", "")
    whole = float(plain)
    return int(whole) if "." in plain and whole.is_integer() else float(plain) if "." in plain else int(plain)


def _power(base: Number, exponent: Number) -> Number:
    if abs(base) > 1 and abs(exponent) * math.log10(abs(base)) > MOST_DIGITS:
        raise NoValueError
    found = base**exponent
    if isinstance(found, complex):
        raise NoValueError
    return found


class _Reader:
    """The tokens and how far they are read; every method raises `NoValueError` or an ArithmeticError."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0

    @property
    def here(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.here
        if not token or (expected and token != expected):
            raise NoValueError
        self.at += 1
        return token

    def sum(self, depth: int) -> Number:
        if depth > DEEPEST:
            raise NoValueError
        total = self.product(depth)
        while self.here in ("+", "-"):
            sign = 1 if self.take() == "+" else -1
            total += sign * self.product(depth)
        return total

    def product(self, depth: int) -> Number:
        found = self.signed(depth)
        while self.here in _TIMES or self.here in _OVER:
            if self.take() in _TIMES:
                found *= self.signed(depth)
            else:
                found /= self.signed(depth)
        return found

    def run(self, depth: int) -> Number:
        """Factors side by side: they bind more closely than a sign of division, 1/2pi is 1/(2 pi)."""
        found = self.power(depth)
        while self.starts():
            found *= self.power(depth)
        return found

    def starts(self) -> bool:
        """Whether a factor begins here without a sign in front."""
        here = self.here
        return here[:1].isdigit() or (here[:1] == "." and len(here) > 1) or here in ("(", "{", "e") or self.named(here)

    def named(self, token: str) -> bool:
        return token in _FRACTIONS or token in _FUNCTIONS or token in ("\\sqrt", "\\pi", "\\binom")

    def signed(self, depth: int) -> Number:
        if self.here not in ("+", "-"):
            return self.run(depth)
        if depth > DEEPEST:
            raise NoValueError
        return self.signed(depth + 1) if self.take() == "+" else -self.signed(depth + 1)

    def power(self, depth: int) -> Number:
        base, euler = (math.e, True) if self.here == "e" else (0, False)
        base = (self.take(), base)[1] if euler else self.atom(depth)
        raised = False
        while self.here in ("^", "!", "\\%"):
            mark = self.take()
            if mark == "^":
                base, raised = _power(base, self.exponent(depth)), True
            else:
                base = base / 100 if mark == "\\%" else self.factorial(base)
        if euler and not raised:
            raise NoValueError  # a lone e becomes a name that the original does not know
        return base

    def factorial(self, number: Number) -> int:
        if not isinstance(number, int) or not 0 <= number <= 1000:
            raise NoValueError
        return math.factorial(number)

    def exponent(self, depth: int) -> Number:
        if self.here == "(":
            raise NoValueError
        return self.group("{", depth) if self.here == "{" else self.atom(depth)

    def group(self, opener: str, depth: int) -> Number:
        self.take(opener)
        found = self.sum(depth + 1)
        self.take(_PAIRS[opener])
        return found

    def atom(self, depth: int) -> Number:
        token = self.here
        if token in ("(", "{"):
            return self.group(token, depth)
        self.take()
        if token[:1].isdigit() or (token[:1] == "." and len(token) > 1):
            return _number(token)
        if token == "\\pi":
            return math.pi
        if token in _FRACTIONS:
            return self.group("{", depth) / self.group("{", depth)
        if token == "\\binom":
            return self.binomial(self.group("{", depth), self.group("{", depth))
        if token == "\\sqrt":
            degree = self.group("[", depth) if self.here == "[" else 2
            return self.root(self.group("{", depth), degree)
        if token in _FUNCTIONS:
            return self.function(token, depth)
        raise NoValueError

    def binomial(self, upper: Number, lower: Number) -> int:
        if not isinstance(upper, int) or not isinstance(lower, int) or not 0 <= lower <= upper <= 100:
            raise NoValueError
        return math.comb(upper, lower)

    def root(self, inner: Number, degree: Number) -> Number:
        return math.sqrt(inner) if degree == 2 else _power(inner, 1 / degree)

    def function(self, name: str, depth: int) -> Number:
        apply = _FUNCTIONS[name]
        if self.here == "_":
            self.take()
            base = self.exponent(depth)
            return math.log(self.argument(depth), base)
        if self.here == "^":
            self.take()
            exponent = self.exponent(depth)
            if exponent != -1 or name not in _INVERSE:
                return _power(apply(self.argument(depth)), exponent)
            apply = _INVERSE[name]
        argument = self.argument(depth)
        if name == "\\exp" and argument == 1:
            raise NoValueError  # as a lone e
        return apply(argument)

    def argument(self, depth: int) -> Number:
        """In brackets, else everything up to the next sum."""
        return self.group("(", depth) if self.here == "(" else self.product(depth + 1)
