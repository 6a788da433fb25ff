"""MATH-Vision's own reading and comparison of answers, without running model text

Predictions file: `responses` is the repository's outputs/<model>.jsonl, one {"id", "response", ...} a line.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from mmreason.records import Sample
from mmreason.suites.reference.forms import field, mean, means, named, objects
from mmreason.suites.reference.latex_value import value
from mmreason.suites.references import Reference, Scored

ORIGIN = "mathllm/MATH-V evaluation/{evaluate,utils}.py@a1f5cc3, its evaluation of LaTeX rebuilt without running text"
_PHRASES = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")
_BOX = re.compile(r"oxed{(.*)}", re.DOTALL)
_DROPPED = (
    " ",
    "\\,",
    "\n",
    "\\text",
    "\\mbox",
    "\\left",
    "\\right",
    "^{\\circ}",
    "^\\circ",
    "{m}^3",
    "m^3",
    "{units}",
)
_DROPPED_LAST = ("units", "{km}", "km")
LONGEST = 200_000
"""Characters of a response that are read, its end (ours)."""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _lone_letter(response: str) -> str:
    """A, B ... E where the response ends or begins with that letter in one of the accepted forms."""
    for letter in "ABCDE":
        ends = response.endswith((f" {letter}.", f" ({letter})."))
        if ends or response.startswith((f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")):
            response = letter
    return response


def _after_phrase(answer: str) -> str:
    """What follows the last of each phrase in turn, to the end of its line or sentence."""
    for phrase in _PHRASES:
        for form in (phrase, phrase.replace("the", "The")):
            found = form in answer
            answer = answer.split(form)[-1].strip()
            if found:
                answer = answer.split("\n")[0].split(". ")[0]
    return answer


def _fixed_roots(text: str) -> str:
    head, *rest = text.split("\\sqrt")
    return head + "".join(
        "\\sqrt{" + part[0] + "}" + part[1:] if part and part[0] != "{" else "\\sqrt" + part for part in rest
    )


def _fixed_fractions(text: str) -> str:
    head, *rest = text.split("\\frac")
    fixed = head
    for part in rest:
        if part.startswith("{"):
            fixed += "\\frac" + part
        elif len(part) < 2:
            return text
        else:
            below = part[1:] if part[1] == "{" else "{" + part[1] + "}" + part[2:]
            fixed += "\\frac{" + part[0] + "}" + below
    return fixed


def _fixed_slash(text: str) -> str:
    above, slash, below = text.partition("/")
    try:
        plain = slash and text == f"{int(above)}/{int(below)}"
    except ValueError:
        return text
    return f"\\frac{{{int(above)}}}{{{int(below)}}}" if plain else text


def _stripped(text: str) -> str:
    """LaTeX decoration taken off, and short forms of fractions and roots written out."""
    text = (
        text.replace("\n", "")
        .replace("\\!", "")
        .replace("\\\\", "\\")
        .replace("tfrac", "frac")
        .replace("dfrac", "frac")
    )
    for mark in ("\\left", "\\right", "^{\\circ}", "^\\circ", "\\$", "$"):
        text = text.replace(mark, "")
    text = text.split("\\text{ ")[0].replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.")
    if not text:
        return text
    text = "0" + text if text[0] == "." else text
    for sign in ("=", "\\approx"):
        text = text.split(sign)[-1] if text.count(sign) == 1 else text
    text = _fixed_roots(text).replace(" ", "")
    if "sqrt" in text:
        text = _fixed_fractions(text)
    return _fixed_slash("\\frac{1}{2}" if text == "0.5" else text)


def find_answer(text: str) -> str:
    """The content of the last box, or the whole text, lower-case and cleaned."""
    text = text.lower().replace("{}", "")
    found = _BOX.findall(text)
    answer: str = found[-1] if found else text
    close, opened = answer.find("}"), answer.find("{")
    if close != -1 and (opened == -1 or close < opened):
        answer = answer.split("}")[0]
    answer = answer.split("=")[-1].split("\\approx")[-1]
    answer = answer.replace(" ", "").replace("\\,", "").replace("\u221e", "\\infty")
    answer = answer.replace("+\\infty", "\\infty").replace("\\\\", "\\").replace("\n", "")
    answer = answer.replace("\\text", "").replace("\\mbox", "").replace("bmatrix", "pmatrix")
    for mark in (*_DROPPED[5:], *_DROPPED_LAST):
        answer = answer.replace(mark, "")
    return _stripped(answer)


def read_answer(response: str) -> str:
    """The answer that the scorer takes from a response."""
    answer = _lone_letter(response.strip())
    tail = answer.split("is ")[-1].rstrip(".")
    answer = tail if _is_number(tail) else answer
    if "oxed{" not in answer:
        answer = _after_phrase(answer)
    elif answer.count("oxed{") > 1:
        answer = "\\boxed{" + answer.split("oxed{")[-1]
    answer = find_answer(answer)
    for opener, closer in ("()", "{}"):
        for letter in "abcde":
            answer = answer.replace(f"{opener}{letter}{closer}", letter)
    return answer.rstrip(".").lstrip(":").strip()


def _members(text: str) -> str:
    """A tuple or list with its members as numbers at two decimals; any other text unchanged."""
    parts = text[1:-1].split(",")
    if len(parts) < 2 or text[0] + text[-1] not in ("()", "[]"):
        return text
    shown = []
    for part in parts:
        number = None if "infty" in part or part in ("a", "-a") else value(part)
        if number is None and "infty" not in part and part not in ("a", "-a"):
            return text
        shown.append(part if number is None else str(round(number, 2)))
    return text[0] + ",".join(shown) + text[-1]


def equal(gold: str, said: str) -> bool:
    """Equal as text, as tuples, or as numbers rounded to two decimals; nothing equals an empty text."""
    gold, said = gold.lower(), said.lower()
    if not gold.replace(" ", "") or not said.replace(" ", ""):
        return False
    if gold.strip() == said.strip():
        return True
    gold, said = _members(gold), _members(said)
    if gold == said:
        return True
    one = value(gold)
    other = None if one is None else value(said)
    return one is not None and other is not None and round(one, 2) == round(other, 2)


def _score(output: str, sample: Sample, rng: random.Random) -> bool:
    gold = str(sample.metadata["released_answer"])
    said = read_answer(output[-LONGEST:])
    return equal(gold, said) or equal(sample.answer.options.get(gold, ""), said)


def levels(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy over all, by level and by subject."""
    by_level = {f"level {level}": found for level, found in sorted(means(scored, "level").items())}
    return {"acc": mean(scored), **by_level, **means(scored, "subject")}


official = Reference(ORIGIN, _score, levels, missing=None)


def responses(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """[{"id", "response", ...}, ...]."""
    rows = objects(path)
    return named(samples, [(where, field(where, row, "id"), field(where, row, "response")) for where, row in rows])
