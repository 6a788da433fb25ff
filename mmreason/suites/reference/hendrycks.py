"""The MATH string rule: the last box, cleaned up, is the gold, cleaned up. verl's form and lm-eval's form."""

from __future__ import annotations

import random
import re

from mmreason.records import Sample
from mmreason.suites.references import Reference

LM_EVAL = "EleutherAI/lm-evaluation-harness lm_eval/tasks"
COMMIT = "4e7e0d4"

_REMOVED = ("\\left", "\\right", "^{\\circ}", "^\\circ", "\\$")


class UncleanError(ValueError):
    """The clean-up stops at this text; the text itself is then compared."""


def last_box(output: str) -> str | None:
    r"""The last \boxed{...} or \fbox{...}, or "\boxed x" up to the next dollar sign; None without a whole one."""
    if "\\boxed " in output:
        return "\\boxed " + output.split("\\boxed ")[-1].split("$")[0]
    start = output.rfind("\\boxed")
    start = output.rfind("\\fbox") if start < 0 else start
    depth = 0
    for place in range(max(start, 0), len(output) if start >= 0 else 0):
        depth += (output[place] == "{") - (output[place] == "}")
        if depth == 0 and output[place] == "}":
            return output[start : place + 1]
    return None


def unwrapped(box: str) -> str:
    """What a box holds. Raises UncleanError for \\fbox, which the originals do not open."""
    if "\\boxed " in box and box.startswith("\\boxed "):
        return box.removeprefix("\\boxed ")
    if "\\boxed " in box or not (box.startswith("\\boxed{") and box.endswith("}")):
        raise UncleanError(box)
    return box[len("\\boxed{") : -1]


def _fractions(text: str) -> str:
    r"""\frac12 and \frac1{72} with braces; a text with a fraction cut short stays as it is."""
    head, *pieces = text.split("\\frac")
    for piece in pieces:
        if not piece:
            raise UncleanError(text)
        if piece[0] != "{" and len(piece) < 2:
            return text
        if piece[0] != "{":
            below = piece[1:] if piece[1] == "{" else f"{{{piece[1]}}}{piece[2:]}"
            piece = f"{{{piece[0]}}}{below}"
        head += "\\frac" + piece
    return head


def _roots(text: str) -> str:
    head, *pieces = text.split("\\sqrt")
    for piece in pieces:
        if not piece:
            raise UncleanError(text)
        head += "\\sqrt" + (piece if piece[0] == "{" else f"{{{piece[0]}}}{piece[1:]}")
    return head


def _slash(text: str, whole: bool) -> str:
    if whole and text.count("/") == 1 and not all(map(_is_int, text.split("/"))):
        raise UncleanError(text)
    found = re.fullmatch(r"(-?\d+)/(-?\d+)", text)
    if found is None or any(str(int(part)) != part for part in found.groups()):
        return text
    return f"\\frac{{{found[1]}}}{{{found[2]}}}"


def _is_int(text: str) -> bool:
    try:
        return int(text) is not None
    except ValueError:
        return False


def strip(answer: str, whole: bool = True) -> str:
    """One spelling of fractions and roots; no layout, units, percent or degree signs. Raises UncleanError.

    `whole`: lm-eval's form stops at a single slash between anything but whole numbers.
    """
    text = answer.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac")
    for old in _REMOVED:
        text = text.replace(old, "")
    if text.count("\\text{ ") > 1:
        raise UncleanError(answer)
    text = text.split("\\text{ ")[0].replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.")
    if not text:
        return text
    text = "0" + text if text[0] == "." else text
    sides = text.split("=")
    text = sides[1] if len(sides) == 2 and len(sides[0]) <= 2 else text
    text = _fractions(_roots(text).replace(" ", ""))
    return _slash("\\frac{1}{2}" if text == "0.5" else text, whole)


def clean(answer: str) -> str:
    """`strip` in PRM800K's form, or the answer where that stops."""
    try:
        return strip(answer, whole=False)
    except UncleanError:
        return answer


def equal(given: str, gold: str, whole: bool = True) -> bool:
    """Whether both are the same text after the clean-up; where it stops at one, as they are."""
    try:
        return strip(given, whole) == strip(gold, whole)
    except UncleanError:
        return given == gold


def between_dollars(output: str) -> str:
    """Everything between the first and the last dollar sign, else the whole output."""
    first, last = output.find("$"), output.rfind("$")
    return output[first + 1 : last] if first != last else output


def _verl(output: str, sample: Sample, rng: random.Random) -> bool:
    box = last_box(output)
    try:
        return box is not None and equal(unwrapped(box), sample.answer.gold, whole=False)
    except UncleanError:
        return False


def _lm_eval(output: str, sample: Sample, rng: random.Random) -> bool:
    return equal(between_dollars(output), sample.answer.gold)


def _lm_eval_aime(output: str, sample: Sample, rng: random.Random) -> bool:
    box, answer = last_box(output), between_dollars(output)
    try:
        answer = answer if box is None else unwrapped(box)
    except UncleanError:
        pass
    return equal(answer, sample.answer.gold)


verl = Reference("volcengine/verl verl/utils/reward_score/math_reward.py@b178a3c", _verl)
lm_eval = Reference(f"{LM_EVAL}/hendrycks_math/utils.py@{COMMIT}, text between the outer dollar signs", _lm_eval)
lm_eval_aime = Reference(f"{LM_EVAL}/aime/utils.py@{COMMIT}", _lm_eval_aime)
