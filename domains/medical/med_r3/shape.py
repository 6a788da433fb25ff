"""The parts of an answer, and the penalties on its shape [8023looker/Med-R3, format_reward and language_reward]."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_WHOLE = re.compile(r"\s*(?:<think>)?(?P<think>.*?)</think>(?P<rest>.*)", re.DOTALL)
_ANSWER = re.compile(r"\s*<answer>(?P<answer>.*?)</answer>\s*", re.DOTALL)
_CALL = re.compile(r"<search>.*?</search>", re.DOTALL)
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
CHUNK = 200
"""Characters of one look at the language [code]."""
LONGEST = 2.0
"""Thought over answer, in characters, from which on nothing is charged [code]."""


@dataclass(frozen=True, slots=True)
class Parts:
    """An answer taken apart."""

    think: str
    """Without its searches."""
    answer: str
    form: float
    """1 for a thought and then an answer block, 0.5 where a search stands inside the answer, 0 otherwise."""


def parts_of(text: str) -> Parts:
    """The thought and the answer of what a model wrote; results are not part of it.

    The opening of the thought may stand in the prompt. An answer block is asked for, as every prompt here names one.
    """
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        return Parts("", "", 0.0)
    think, found = whole["think"], _ANSWER.fullmatch(whole["rest"])
    bare = _CALL.sub("", think)
    if found is None:
        return Parts(bare, "", 0.0)
    answer = found["answer"].strip()
    matched = "<search>" not in bare and "</search>" not in bare
    single = text.count("<think>") <= 1 and text.count("</think>") == 1
    if not (answer and matched and single):
        return Parts(bare, answer, 0.0)
    return Parts(bare, answer, 0.5 if "<search>" in answer or "</search>" in answer else 1.0)


def length_share(think: str, answer: str) -> float:
    """(1 - exp(-min(|think| / |answer|, 2))) / (1 - exp(-2)); 0 without an answer."""
    if not answer:
        return 0.0
    return (1.0 - math.exp(-min(len(think) / len(answer), LONGEST))) / (1.0 - math.exp(-LONGEST))


def same_language(text: str, question: str) -> float:
    """Share of chunks that hold Chinese exactly if the question does; 0 for an empty text."""
    chunks = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    wanted = bool(_CHINESE.search(question))
    return sum(bool(_CHINESE.search(chunk)) == wanted for chunk in chunks) / len(chunks) if chunks else 0.0


def overlong(tokens: int, start: int, over: int) -> float:
    """0 up to `start` tokens, then -1 for every `over` more."""
    return min(-(tokens - start) / over, 0.0)
