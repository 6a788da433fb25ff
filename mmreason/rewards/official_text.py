"""Rules of the published scorers, for parity numbers beside ours; never for filtering or reward.

Reconstructed from descriptions of their behaviour and checked against listed fixed points, not copied.
"""

from __future__ import annotations

import re

from mmreason.rewards.extract import find_boxes
from mmreason.rewards.math_normal import normalise, to_rational

_NEAR_BOX = re.compile(r"\\boxed\{(.*?)\}", re.DOTALL)
_ANSWER_BLOCK = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_CFLUE_ANSWER = re.compile(r"答案[是：:]([A-F]+)")
_CFLUE_LEADING = re.compile(r"[A-F]+")
_LETTERS = re.compile(r"[A-G]")


def dianjin_cflue_letters(output: str) -> str | None:
    """Letters A-G anywhere in the last box of the whole output, sorted and without repeats; None without a box."""
    boxes = _NEAR_BOX.findall(output)
    return "".join(sorted(set(_LETTERS.findall(boxes[-1])))) if boxes else None


def dianjin_cflue_equal(output: str, gold: str) -> bool:
    """CFLUE as DianJin-R1 evaluates it: the same letters as the gold; no box is wrong."""
    return dianjin_cflue_letters(output) == "".join(sorted(set(_LETTERS.findall(gold))))


def released_dianjin_reward(output: str, gold: str) -> float:
    """DianJin-R1's released reward with its faults: pairs are only counted, empty letter sets are equal."""
    for tag in ("think", "answer"):
        if len(re.findall(f"<{tag}>", output)) != 1 or len(re.findall(f"</{tag}>", output)) != 1:
            return 0.0
    block = _ANSWER_BLOCK.search(output)
    boxes = _NEAR_BOX.findall(block.group(1)) if block else []
    if not boxes:
        return 0.0
    return float(set(_LETTERS.findall(boxes[-1])) == set(_LETTERS.findall(gold)))


def cflue_extract(reply: str) -> str:
    """CFLUE's own reading: the first of exactly two lines, else all; the first "答案" with letters, else leading ones.

    Order and repeats are kept; "X" where nothing is found, as for every boxed reply.
    """
    lines = reply.split("\n")
    text = re.sub(r"[、,， ]", "", lines[0] if len(lines) == 2 else reply)
    found = _CFLUE_ANSWER.search(text)
    if found:
        return found.group(1)
    leading = _CFLUE_LEADING.match(text)
    return leading.group() if leading else "X"


def cflue_equal(reply: str, gold: str) -> bool:
    """CFLUE's accuracy: the extracted string equals the gold string, order included."""
    return cflue_extract(reply) == gold


def hendrycks_clean(answer: str) -> str:
    """The MATH string clean-up: one spelling of fractions and roots, no layout, units, percent or degree signs."""
    text = answer.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    for old in ("tfrac", "dfrac"):
        text = text.replace(old, "frac")
    for old in ("\\left", "\\right", "^{\\circ}", "^\\circ", "\\$"):
        text = text.replace(old, "")
    text = text.split("\\text{ ")[0].replace("\\%", "").replace("%", "")
    text = re.sub(r"(^|[ {])\.", r"\g<1>0.", text)
    left, equals, right = text.partition("=")
    if equals and "=" not in right and len(left) <= 2:
        text = right
    text = re.sub(r"\\sqrt(\w)", r"\\sqrt{\1}", text).replace(" ", "")
    text = re.sub(r"\\frac(?!\{)(\w)(\w)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac(?!\{)(\w)\{", r"\\frac{\1}{", text)
    text = re.sub(r"(\\frac\{[^{}]*\})(\w)", r"\1{\2}", text)
    if text == "0.5":
        return "\\frac{1}{2}"
    slash = re.fullmatch(r"(-?\d+)/(-?\d+)", text)
    return f"\\frac{{{int(slash[1])}}}{{{int(slash[2])}}}" if slash else text


def last_box(output: str) -> str | None:
    """Content of the last complete box anywhere in the output, reasoning included."""
    boxes = find_boxes(output)
    return boxes[-1].content if boxes else None


def math500_hendrycks_equal(output: str, gold: str) -> bool:
    """MATH-500 by the string rule: last box and gold equal after the clean-up; an output without a box is wrong."""
    content = last_box(output)
    return content is not None and hendrycks_clean(content) == hendrycks_clean(gold)


def math500_evalscope_equal(output: str, gold: str) -> bool:
    """The percent-lenient number rule behind EvalScope's MATH scores: g/100, g and 100 g at 1e-4 relative.

    Numbers and equal strings only (brackets of intervals ignored); its symbolic stage is left out, so this is a
    lower bound of that scorer.
    """
    content = last_box(output)
    if content is None:
        return False
    read, wanted = normalise(content), normalise(gold)
    left, right = to_rational(read.replace("\\%", "")), to_rational(wanted.replace("\\%", ""))
    if left is None or right is None:
        return re.sub(r"[\[\]()\s]", "", read) == re.sub(r"[\[\]()\s]", "", wanted)
    value, target = float(left[0]), float(right[0])
    return any(abs(value - each) <= 1e-4 * abs(each) for each in (target / 100, target, target * 100))
