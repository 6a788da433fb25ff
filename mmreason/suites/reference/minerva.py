"""lm-eval's minerva_math: exact match behind the anchor "Final Answer: The final answer is", and math-verify.

The original reads LaTeX with sympy's own grammar, which refuses any antlr but 4.11 by its version number alone; the
same grammar is used here without that check. Texts too costly for sympy are unequal; the original stops after 5 s.
"""

from __future__ import annotations

import random
import re
from functools import cache, lru_cache
from typing import Any

from mmreason.records import Sample
from mmreason.suites.reference.symbols import too_costly
from mmreason.suites.references import Reference

ORIGIN = "EleutherAI/lm-evaluation-harness lm_eval/tasks/minerva_math/utils.py@4e7e0d4"
INVALID = "[invalidanswer]"

_ANCHORED = re.compile(r"Final Answer: The final answer is(.*?). I hope it is correct.")
_REPLACED = (
    ("an ", ""), ("a ", ""), (".$", "$"), ("\\$", ""), ("\\ ", ""), (" ", ""), ("mbox", "text"),
    (",\\text{and}", ","), ("\\text{and}", ","), ("\\text{m}", "\\text{}"),
)  # fmt: skip
_REMOVED = (
    *"square ways integers dollars mph inches ft hours km units \\ldots sue points feet minutes digits cents".split(),
    *"degrees cm gm pounds meters meals edges students childrentickets multiples \\text{s} \\text{.}".split(),
    "\\text{\ns}",
    *("\\text{}^2", "\\text{}^3", "\\text{\n}", "\\text{}"),
    *("\\mathrm{th}", "^\\circ", "^{\\circ}", "\\;", ",\\!", "{,}", '"', "\\dots"),
)
_UNWRAPPED = (
    (re.compile(r"(.*?)(\$)(.*?)(\$)(.*)"), r"$\3$"),
    (re.compile(r"(\\text\{)(.*?)(\})"), r"\2"),
    (re.compile(r"(\\textbf\{)(.*?)(\})"), r"\2"),
    (re.compile(r"(\\overline\{)(.*?)(\})"), r"\2"),
    (re.compile(r"(\\boxed\{)(.*)(\})"), r"\2"),
    (re.compile(r"(frac)([^{])(.)"), r"frac{\2}{\3}"),
    (re.compile(r"(sqrt)([^{])"), r"sqrt{\2}"),
)


def anchored(output: str) -> str:
    """What stands between the anchor and "I hope it is correct."; a sign that nothing does."""
    found = _ANCHORED.search(output + "I hope it is correct.")
    return found.group(1).strip() if found else INVALID


def normal(answer: str) -> str:
    """The answer in the spelling of Minerva's appendix: no words, units, dollar signs or boxes."""
    text = answer.split("=")[-1]
    for old, new in _REPLACED:
        text = text.replace(old, new)
    for word in _REMOVED:
        text = text.replace(word, "")
    for pattern, kept in _UNWRAPPED:
        text = pattern.sub(kept, text)
    text = text.replace("$", "")
    return text.replace(",", "") if text.replace(",", "").isdigit() else text


@cache
def _grammar() -> tuple[Any, Any, Any]:
    """Sympy's lexer, parser and converter of LaTeX."""
    from sympy.parsing.latex import _parse_latex_antlr as latex
    from sympy.parsing.latex._antlr.latexlexer import LaTeXLexer
    from sympy.parsing.latex._antlr.latexparser import LaTeXParser

    def any_version(reader: Any, version: str) -> None:
        """The generated code prints a warning for each text otherwise."""

    lexer, parser = (type(one.__name__, (one,), {"checkVersion": any_version}) for one in (LaTeXLexer, LaTeXParser))
    return lexer, parser, latex


@lru_cache(4096)  # a gold is read again for every answer and for every constant of the baselines
def _parsed(text: str) -> Any:
    import antlr4

    lexer_of, parser_of, latex = _grammar()
    listener = latex.MathErrorListener(text)
    lexer = lexer_of(antlr4.InputStream(text))
    lexer.removeErrorListeners()
    lexer.addErrorListener(listener)
    parser = parser_of(antlr4.CommonTokenStream(lexer))
    parser.removeErrorListeners()
    parser.addErrorListener(listener)
    return latex.convert_relation(parser.math().relation())


def equal(said: str, gold: str) -> bool:
    """Whether sympy simplifies the difference of two LaTeX texts to 0; two equal texts that it cannot read are not."""
    if too_costly(said) or too_costly(gold):
        return False
    import sympy

    try:
        return bool(sympy.simplify(_parsed(said) - _parsed(gold)) == 0)
    except Exception:  # sympy fails in many ways; the original takes each for "not equal"
        return False


def _exact(output: str, sample: Sample, rng: random.Random) -> bool:
    return equal(normal(anchored(output)), normal(sample.answer.gold))


exact_match = Reference(ORIGIN, _exact)
