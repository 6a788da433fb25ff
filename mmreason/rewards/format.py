"""The format reward: one non-empty think block, one answer block after it, nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmreason.rewards.extract import find_boxes

_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class FormatCheck:
    """Whether the shape is right, and if not what is wrong first."""

    ok: bool
    why: str


def check_format(text: str, needs_box: bool = True, opened_think: bool = False) -> FormatCheck:
    """Check the strict shape (DianJin-R1 rewards; table F1-F15 of the survey of verifiers).

    `opened_think`: the chat template already wrote the opening think tag, so the output starts inside it.
    The think block must hold a letter or digit, so that neither an empty block nor one of dots is paid.
    Answer tags are counted after the closing think tag: a tag quoted in the reasoning does no harm, and a block
    that stands only in the reasoning is no answer.
    """
    text = ("<think>" + text if opened_think else text).strip()
    opened, closed = text.count("<think>"), text.count("</think>")
    if (opened, closed) != (1, 1):
        return FormatCheck(False, f"expected one think block, found {opened} opened and {closed} closed")
    if not text.startswith("<think>"):
        return FormatCheck(False, "text before the think block")
    think, _, rest = text[len("<think>") :].partition("</think>")
    if not _WORD.search(think):
        return FormatCheck(False, "the think block is empty")
    return _check_answer(rest.strip(), needs_box)


def _check_answer(rest: str, needs_box: bool) -> FormatCheck:
    opened, closed = rest.count("<answer>"), rest.count("</answer>")
    if (opened, closed) != (1, 1):
        return FormatCheck(False, f"expected one answer block, found {opened} opened and {closed} closed")
    if not rest.startswith("<answer>"):
        return FormatCheck(False, "text between the think block and the answer block")
    if not rest.endswith("</answer>"):
        return FormatCheck(False, "text after the answer block")
    block = rest[len("<answer>") : -len("</answer>")].strip()
    if not block:
        return FormatCheck(False, "the answer block is empty")
    if needs_box and not any(box.content for box in find_boxes(block)):
        return FormatCheck(False, "no complete box in the answer block")
    return FormatCheck(True, "one think block, one answer block")
