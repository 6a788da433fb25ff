"""EvalScope's rule for MATH-500, which comes from Qwen2.5-Math: percent-lenient numbers, brackets let go, then sympy.

Its LaTeX reader is latex2sympy: sympy's own needs another antlr than EvalScope requires, and never runs there. Texts
that are too costly for sympy are unequal here; the original has no limit.
"""

from __future__ import annotations

import random
import re
from math import isclose
from typing import Any

from mmreason.records import Sample
from mmreason.suites.reference.symbols import expression, too_costly
from mmreason.suites.references import Reference

ORIGIN = "modelscope/evalscope evalscope/metrics/math/parser.py@fde259d"

_PLAIN = (
    ("\\!", ""),
    ("bmatrix", "pmatrix"), ("tfrac", "frac"), ("dfrac", "frac"),
    ("\\neq", "\\ne"), ("\\leq", "\\le"), ("\\geq", "\\ge"),
    ("\\left", ""), ("\\right", ""), ("\\{", "{"), ("\\}", "}"),
)  # fmt: skip
_SIGNS = ("^{\\circ}", "^\\circ", "\\$", "$", "\\(", "\\)")
_VARIABLES = ("x=", "y=", "z=", "x\\in", "y\\in", "z\\in", "x\\to", "y\\to", "z\\to")
_CHOICE = re.compile(r"\b(A|B|C|D|E)\b")
_NUMBER = re.compile(r"-?\d*\.?\d+")
_MARKERS = ("he answer is", "final answer is")


def _digits(words: str) -> str:
    """Number words as digits; a text without any as it is."""
    from word2number import w2n

    try:
        return str(w2n.word_to_num(words))
    except Exception:  # ValueError mostly, IndexError on odd orders of words
        return words


def _number_word(found: re.Match[str]) -> str:
    digits = _digits(found.group(1).lower())
    return found.group(0) if digits == found.group(1).lower() else digits


def _fractions(text: str) -> str:
    head, *pieces = text.split("\\frac")
    for piece in pieces:
        if piece[:1] != "{":
            if len(piece) < 2:
                return text
            piece = f"{{{piece[0]}}}" + (piece[1:] if piece[1] == "{" else f"{{{piece[1]}}}{piece[2:]}")
        head += "\\frac" + piece
    return head


def _slash(text: str) -> str:
    parts = text.split("/")
    if len(parts) != 2:
        return text
    try:
        above, below = (part if "sqrt" in part else str(int(part)) for part in parts)
    except ValueError:
        return text
    return f"\\frac{{{above}}}{{{below}}}" if text == f"{above}/{below}" else text


def _units(text: str) -> str:
    text = re.sub(r"\\text\{([a-zA-Z]+)\}", _number_word, text)
    text = re.sub(r"(cm|inches)\}\^2", r"\1}", text)
    bare = re.sub(r"\\text{.*?}$", "", text).strip()
    return bare if bare else text


def _words(text: str) -> str:
    """Signs, variables, percent and quotes away; infinity in one spelling."""
    for sign in _SIGNS:
        text = text.replace(sign, "")
    text = re.sub(r"\\text\{(.*?)\}", r"\1", _digits(text))
    for name in _VARIABLES:
        text = text.replace(name, "")
    text = text.replace("\\emptyset", "{}").replace("(-\\infty,\\infty)", "\\mathbb{R}")
    text = text.replace("\\%", "").replace("%", "").replace(" .", " 0.").replace("{.", "{0.")
    text = text.replace("infinity", "\\infty")
    text = text if "\\infty" in text else text.replace("inf", "\\infty")
    text = text.replace("+\\inity", "\\infty").replace("and", "").replace("\\mathbf", "")
    text = re.sub(r"\\mbox{.*?}", "", text).replace("'", "").replace('"', "")
    return text.replace("j", "i") if "j" in text and "i" not in text else text


def _lists(text: str) -> str:
    """Thousands joined; a bare list of integers sorted."""
    if re.fullmatch(r"\s*-?\d{1,3}(?:,\d{3})+(?:\.\d+)?\s*", text):
        text = text.replace(",", "")
    if re.fullmatch(r"(\s*-?\d+\s*,)*\s*-?\d+\s*", text):
        text = ",".join(map(str, sorted(map(int, text.split(",")))))
    return text


def strip(answer: str) -> str:
    """The answer in the spelling that is compared."""
    text = str(answer).strip().replace("\n", "").rstrip(".").replace("\\!", "")
    text = re.sub(r"\\begin\{array\}\{.*?\}", r"\\begin{pmatrix}", text)
    text = re.sub(r"\\end\{array\}", r"\\end{pmatrix}", text)
    for old, new in _PLAIN:
        text = text.replace(old, new)
    text = _words(_units(text))
    text = re.sub(r"(\d+)\.0*([^\d])", r"\1\2", text)
    text = re.sub(r"(\d+)\.0*$", r"\1", text)
    if not text:
        return text
    text = "0" + text if text[0] == "." else text
    sides = text.split("=")
    text = sides[1] if len(sides) == 2 and len(sides[0]) <= 2 else text
    text = re.sub(r"\\sqrt(\w+)", r"\\sqrt{\1}", text).replace(" ", "")
    text = _slash(_fractions(text))
    text = re.sub(r"\\(?=\-?\d+(\\|\)|,|\]|$))", "", text)
    return _lists(re.sub(r"thgrade$", "", text))


def _braced(text: str) -> str:
    """Up to the brace that closes; all of it where none does."""
    depth = 1
    for place, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return text[:place]
    return text


def _said(output: str) -> str:
    if "final answer is $" in output and "$. I hope" in output:
        return output.split("final answer is $", 1)[1].split("$. I hope", 1)[0].strip()
    if "boxed" in output:
        tail = output.split("boxed")[-1]
        return _braced(tail[1:]) if tail[:1] == "{" else tail.split("$")[0].strip()
    for marker in _MARKERS:
        if marker in output:
            return output.split(marker)[-1].strip()
    if "答案是" in output:
        return output.split("答案是")[1].strip().split("\n\n")[0].strip()
    if "ANSWER:" in output:
        return output.split("ANSWER:")[-1].strip()
    numbers = _NUMBER.findall(output.replace(",", ""))
    return numbers[-1] if numbers else ""


def extract(output: str) -> str:
    """The answer: the last box, what follows a marker, or the last number; cleaned up."""
    output = output.replace("\u043a\u0438", "")
    if output.endswith("boxed"):
        return ""
    said = re.sub(r"\n\s*", "", _said(output))
    return strip(said.removeprefix(":").removesuffix(".").removesuffix("/"))


def _float(text: str) -> float | None:
    """A number, or a percentage as its ratio; commas are let go."""
    text = text.replace(",", "")
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(text.removesuffix("%").removesuffix("\\")) / 100 if text.endswith("%") else None
    except ValueError:
        return None


def _letter(text: str) -> str:
    text = text.strip("\n").rstrip(".").rstrip("/").strip(" ").lstrip(":")
    letters = _CHOICE.findall(text.upper())
    return (letters[-1] if letters else text.strip().strip(".")).rstrip(".").rstrip("/")


def _near(left: float, right: float) -> bool:
    return isclose(right, left, rel_tol=1e-4)


def equal(said: str, gold: str) -> bool:
    """The same text, letter, number at g/100, g or 100 g, brackets aside, part by part, or by sympy."""
    if said.strip().lower() == gold.strip().lower():
        return True
    if gold in ("A", "B", "C", "D", "E") and _letter(said) == gold:
        return True
    left, right = _float(said), _float(gold)
    if left is not None and right is not None:
        return any(_near(left, one) for one in (right / 100, right, right * 100))
    return bool(said) and _equal_texts(said.strip(), gold.strip())


def _equal_texts(said: str, gold: str) -> bool:
    if "pmatrix" in said and "pmatrix" not in gold:
        gold = ", ".join(
            r"\begin{pmatrix}" + one.strip("{}").replace(",", "\\") + r"\end{pmatrix}"
            for one in re.findall(r"\{.*,.*\}", gold)
        )
    bare = _without_brackets(said, gold)
    if bare[0].lower() == bare[1].lower() or _equal_members(said, gold) or _equal_matrices(said, gold):
        return True
    return _equal_equations(said, gold) or symbolic_equal(said, gold)


def _without_brackets(said: str, gold: str) -> tuple[str, str]:
    square = said.startswith("[") and said.endswith("]") and not gold.startswith("(")
    round_ = said.startswith("(") and said.endswith(")") and not gold.startswith("[")
    pair = (said.strip("[]()"), gold.strip("[]()")) if square or round_ else (said, gold)
    left, right = (re.sub(r"[{}()]", "", one) for one in pair)
    return left, right


def _equal_members(said: str, gold: str) -> bool:
    if not all(re.match(r"(\(|\[).+(\)|\])", one) for one in (said, gold)):
        return False
    pairs = (said[1:-1].split(","), gold[1:-1].split(","))
    return len(pairs[0]) == len(pairs[1]) and all(map(equal, *pairs))


def _rows(matrix: str) -> list[list[str]] | None:
    begins = matrix.startswith((r"\begin{pmatrix}", r"\begin{bmatrix}"))
    if not begins or not matrix.endswith((r"\end{pmatrix}", r"\end{bmatrix}")):
        return None
    inside = matrix[len(r"\begin{pmatrix}") : -len(r"\end{pmatrix}")]
    return [line.strip().split("&") for line in inside.split("\\\\") if line.strip()]


def _equal_matrices(said: str, gold: str) -> bool:
    left, right = _rows(said), _rows(gold)
    if left is None or right is None or [len(row) for row in left] != [len(row) for row in right]:
        return False
    return all(all(map(equal, row, wanted)) for row, wanted in zip(left, right, strict=True))


def _equal_equations(said: str, gold: str) -> bool:
    left, right = said.split("="), gold.split("=")
    if len(left) == len(right) == 2:
        one, other = (f"{side[0].strip()} - ({side[1].strip()})" for side in (left, right))
        return symbolic_equal(one, other) or symbolic_equal(f"-({one})", other)
    if len(left) == 2 and len(left[0].strip()) <= 2 and len(right) == 1:
        return equal(left[1], gold)
    if len(right) == 2 and len(right[0].strip()) <= 2 and len(left) == 1:
        return equal(said, right[1])
    return False


def _latex(text: str) -> Any:
    from latex2sympy2_extended import latex2sympy

    return latex2sympy(text)


def _parsed(text: str) -> Any:
    """A sympy object, or the text where neither parser reads it."""
    for parse in (expression, _latex):
        for form in (text.replace("\\\\", "\\"), text):
            try:
                return parse(form)
            except Exception:  # as the original: the next parser is asked
                continue
    return text


def symbolic_equal(said: str, gold: str) -> bool:
    """Whether sympy finds both equal: as they print, by difference, as equations, numerically, as matrices."""
    if too_costly(said) or too_costly(gold):
        return said == gold
    left, right = _parsed(said), _parsed(gold)
    return any(
        _holds(test, left, right) for test in (_as_printed, _by_difference, _as_equations, _as_numbers, _as_matrices)
    )


def _holds(test: Any, left: Any, right: Any) -> bool:
    try:
        return bool(test(left, right))
    except Exception:  # sympy fails in many ways; the original goes on with the next test
        return False


def _as_printed(left: Any, right: Any) -> bool:
    return str(left) == str(right) or left == right


def _by_difference(left: Any, right: Any) -> bool:
    import sympy

    return bool(left.equals(right) or sympy.simplify(left - right) == 0)


def _as_equations(left: Any, right: Any) -> Any:
    return abs(left.lhs - left.rhs).equals(abs(right.lhs - right.rhs))


def _as_numbers(left: Any, right: Any) -> bool:
    import sympy

    return _near(float(sympy.N(left)), float(sympy.N(right)))


def _as_matrices(left: Any, right: Any) -> Any:
    same = left.shape == right.shape
    return same and left.applyfunc(_rounded).equals(right.applyfunc(_rounded))


def _rounded(number: Any) -> Any:
    return round(number, 3)


def _score(output: str, sample: Sample, rng: random.Random) -> bool:
    return equal(extract(output), strip(sample.answer.gold))


official = Reference(ORIGIN, _score)
