"""LaTeX of a final answer as plain text, the way pylatexenc's LatexNodes2Text (2.10) writes it: \\frac{1}{2} is 1/2.

Facts of its tables are kept for what answers hold: fractions, roots, symbols, accents left away, matrices. Unknown
commands vanish and leave their arguments.
"""

from __future__ import annotations

import re
import unicodedata

_GREEK = "alpha beta gamma delta zeta eta theta iota kappa mu nu xi pi rho sigma tau upsilon chi psi omega".split()
_SYMBOLS = {
    **{name: unicodedata.lookup(f"GREEK SMALL LETTER {name.upper()}") for name in _GREEK},
    **{name.capitalize(): unicodedata.lookup(f"GREEK CAPITAL LETTER {name.upper()}") for name in _GREEK},
    "lambda": "λ", "Lambda": "Λ", "phi": "ϕ", "varphi": "φ", "Phi": "Φ", "epsilon": "ϵ", "varepsilon": "ε",
    "vartheta": "ϑ", "infty": "∞", "cup": "∪", "cap": "∩", "cdot": "·", "times": "×", "pm": "±", "mp": "∓", "div": "÷",
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "circ": "∘", "in": "∈", "notin": "∉",
    "emptyset": "∅", "varnothing": "∅", "angle": "∠", "dots": "…", "ldots": "…", "cdots": "⋯", "to": "→",
    "rightarrow": "→", "setminus": "∖", "prime": "'", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉",
    "subset": "⊂", "approx": "≈", "equiv": "≡", "sim": "∼", "perp": "⊥", "parallel": "∥", "mid": "∣", "sum": "∑",
    "int": "∫", "partial": "∂", "ell": "ℓ", "quad": "  ", "qquad": "    ", "lbrace": "{", "rbrace": "}",
}  # fmt: skip
_WORDS = frozenset("sin cos tan arcsin arccos arctan csc sec log ln exp min max gcd det lim sinh cosh tanh deg".split())
_MARKS = {**dict.fromkeys(" ,;:", " "), "!": "", "\\": "\n", **{mark: mark for mark in "{}%$&#_"}}
_HIDDEN = frozenset({"mbox", "phantom", "label", "ref"})
"""Commands whose argument is not shown."""
_LETTERS = {"mathbf": "BOLD", "mathbb": "DOUBLE-STRUCK"}
_MATRICES = frozenset({"matrix", "pmatrix", "bmatrix", "vmatrix", "array", "smallmatrix"})
_COMMAND = re.compile(r"\\(?:([A-Za-z]+)\*?[ \t\n]*|(.))", re.DOTALL)
_ENVIRONMENT = re.compile(r"\{(\w+)\*?\}")
_OPTION = re.compile(r"\s*\[[^\]]*\]")


class NoTextError(ValueError):
    """pylatexenc stops at this text."""


def plain(latex: str) -> str:
    """The text. Raises NoTextError where a root has no argument."""
    return _until(latex, 0, "")[0]


def _until(text: str, at: int, end: str) -> tuple[str, int]:
    """(text, place behind) up to the closing brace or the end of an environment; `end` "" reads all."""
    said: list[str] = []
    while at < len(text):
        if end and text.startswith(end, at):
            return "".join(said), at + len(end)
        piece, at = _one(text, at)
        said.append(piece)
    return "".join(said), at


def _one(text: str, at: int) -> tuple[str, int]:
    """(text, place behind) of one group, command or character."""
    char = text[at]
    if char == "\\":
        return _command(text, at)
    if char == "{":
        return _until(text, at + 1, "}")
    shown = {"}": "", "$": "", "&": "   ", "~": "\xa0"}.get(char, char)
    for mark, sign in (("---", "—"), ("--", "–"), ("''", "”"), ("``", "“")):
        if text.startswith(mark, at):
            return sign, at + len(mark)
    return shown, at + 1


def _argument(text: str, at: int) -> tuple[str | None, int]:
    """The argument of a command: a group, a command without arguments of its own, one character; None at the end."""
    while at < len(text) and text[at].isspace():
        at += 1
    bare = _COMMAND.match(text, at)
    if bare:
        return _command(bare.group().strip() or bare.group(), 0)[0], bare.end()
    return (None, at) if at >= len(text) or text[at] == "}" else _one(text, at)


def _command(text: str, at: int) -> tuple[str, int]:
    found = _COMMAND.match(text, at)
    if found is None:
        return "", at + 1
    name, mark = found.groups()
    if mark is not None:
        return _MARKS.get(mark, ""), found.end()
    if name == "frac":
        return _fraction(text, found.end())
    if name == "sqrt":
        option = _OPTION.match(text, found.end())
        inner, at = _argument(text, option.end() if option else found.end())
        if inner is None:
            raise NoTextError("a root of nothing")
        return f"√({inner})", at
    if name == "begin":
        return _environment(text, found.end())
    if name in _HIDDEN:
        return "", _argument(text, found.end())[1]
    if name in _LETTERS:
        inner, at = _argument(text, found.end())
        return "".join(_styled(char, _LETTERS[name]) for char in inner or ""), at
    return _SYMBOLS.get(name, name if name in _WORDS else ""), found.end()


def _fraction(text: str, at: int) -> tuple[str, int]:
    above, at = _argument(text, at)
    below, at = (None, at) if above is None else _argument(text, at)
    return (f"%s/%s{above or ''}" if below is None else f"{above}/{below}"), at


def _environment(text: str, at: int) -> tuple[str, int]:
    """A matrix as "[ 1 2; 3 4 ]"; of other environments what they hold."""
    found = _ENVIRONMENT.match(text, at)
    if found is None:
        return "", at
    close = f"\\end{found.group()}"
    end = text.find(close, found.end())
    inside, behind = (text[found.end() :], len(text)) if end < 0 else (text[found.end() : end], end + len(close))
    if found.group(1) not in _MATRICES or end < 0:
        return plain(inside), behind
    rows = ([plain(cell).strip() for cell in row.split("&")] for row in inside.split("\\\\"))
    return "[ " + "; ".join(" ".join(cells) for cells in rows) + " ]", behind


def _styled(char: str, style: str) -> str:
    case = "SMALL" if char.islower() else "CAPITAL"
    names = (f"MATHEMATICAL {style} {case} {char.upper()}", f"{style} {case} {char.upper()}")
    for name in names:
        try:
            return unicodedata.lookup(name)
        except KeyError:
            continue
    return char
