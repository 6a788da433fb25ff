"""GPQA: the letters that simple-evals, EvalScope and lm-eval read, and the orders that they put the options in.

Each toolkit makes the order itself; the reader's option `order` takes one of theirs (`simple_evals`, `evalscope`).
"""

from __future__ import annotations

import hashlib
import random
import re
import string
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache

from mmreason.records import Sample
from mmreason.suites.references import Reference

SIMPLE_EVALS = "openai/simple-evals gpqa_eval.py@ee3b031"
EVALSCOPE = "modelscope/evalscope evalscope/utils/multi_choices.py@fde259d"
LM_EVAL = "EleutherAI/lm-evaluation-harness lm_eval/tasks/gpqa/cot_zeroshot@4e7e0d4"
LETTERS = "ABCD"
INVALID = "[invalid]"

_ANSWER = re.compile(r"(?i)Answer[ \t]*:[ \t]*\$?([A-D])\$?")
_LABEL_BEHIND = re.compile(r"(?i)ANSWER\s*:\s*\**\s*")
_IN_BRACKETS = re.compile(r"[\(\[（【]\s*([A-Za-z\d](?:\s*[,，]\s*[A-Za-z\d])*)\s*[\)\]）】]")
_BARE = re.compile(r"([A-Za-z\d][A-Za-z\d ,]*)")
_TOKEN = re.compile(r"[A-Za-z\d]+")
_STATED = re.compile(r"(?<=The answer is )(.*)(?=.)")
_PARENTHESISED = re.compile(r"(\([A-Z]\))")


def simple_evals_orders(questions: int, repeats: int = 4) -> list[list[int]]:
    """Orders of (correct, incorrect 1-3) for all questions, then all again: one stream of Random(0)."""
    rng = random.Random(0)
    return [rng.sample(range(4), 4) for _ in range(questions * repeats)]


def evalscope_order(question: str) -> list[int]:
    """Order of (incorrect 1-3, correct) in places of that list: Random of the question's SHA-256, first 8 bytes."""
    order = [0, 1, 2, 3]
    digest = hashlib.sha256(question.strip().encode()).digest()
    random.Random(int.from_bytes(digest[:8], "big")).shuffle(order)
    return order


def read_simple_evals(output: str) -> str | None:
    """The first "Answer: X", any case."""
    found = _ANSWER.search(output)
    return found.group(1) if found else None


def read_evalscope(output: str, letters: str = LETTERS) -> str | None:
    """The label of the last "ANSWER:" that one follows, else the last capital if it is an option."""
    for marker in reversed(list(_LABEL_BEHIND.finditer(output))):
        for pattern in (_IN_BRACKETS, _BARE):
            found = pattern.match(output[marker.end() :])
            labels = _labels(found.group(1), letters) if found else ""
            if labels:
                said = labels.strip().rstrip(".")
                return said if len(said) == 1 and said in letters else None
    last = next((char for char in reversed(output) if char.isupper()), "")
    return last if last and last in letters else None


def _labels(captured: str, letters: str) -> str:
    """The beginning of a capture that holds nothing but labels."""
    end = 0
    for token in _TOKEN.finditer(captured):
        if not set(token.group()) <= set(letters):
            break
        end = token.end()
    return captured[:end]


@cache
def _punctuation() -> dict[int, None]:
    return {code: None for code in range(sys.maxunicode) if unicodedata.category(chr(code)).startswith("P")}


def read_strict(output: str) -> str:
    """What lies between the first "The answer is " and the last character of its line."""
    found = _STATED.findall(output)
    return str(found[0]).strip() if found else INVALID


def read_flexible(output: str, options: Sequence[str]) -> str:
    """The last "(X)"; else the last option text that occurs, case and punctuation aside; else the last ": X"."""
    marked = _PARENTHESISED.findall(output)
    if marked:
        return str(marked[-1])
    names = [one.strip().lower().translate(_punctuation()) for one in options]
    said = re.findall("|".join(map(re.escape, names)), output.lower().translate(_punctuation()))
    if said and said[-1].strip():
        text = str(said[-1]).strip()
        return {name: f"({letter})" for letter, name in zip(LETTERS, names, strict=False)}.get(text, text)
    letters = re.findall(rf":[\s]*({'|'.join(LETTERS[: len(options)])})", output)
    return f"({letters[-1]})" if letters else INVALID


def _same(said: str, gold: str) -> bool:
    """lm-eval's exact match, case and ASCII punctuation aside."""
    table = str.maketrans("", "", string.punctuation)
    return said.lower().translate(table) == gold.lower()


def _simple(output: str, sample: Sample, rng: random.Random) -> bool:
    return read_simple_evals(output) == sample.answer.gold  # "answer: b" is read as b, which is not B


def _evalscope(output: str, sample: Sample, rng: random.Random) -> bool:
    return read_evalscope(output, "".join(sample.answer.options)) == sample.answer.gold


def _strict(output: str, sample: Sample, rng: random.Random) -> bool:
    return _same(read_strict(output), sample.answer.gold)


def _flexible(output: str, sample: Sample, rng: random.Random) -> bool:
    return _same(read_flexible(output, list(sample.answer.options.values())), sample.answer.gold)


simple_evals = Reference(SIMPLE_EVALS, _simple)
evalscope = Reference(EVALSCOPE, _evalscope)
lm_eval_strict = Reference(f"{LM_EVAL}, strict-match", _strict)
lm_eval_flexible = Reference(f"{LM_EVAL}, flexible-extract", _flexible)
