"""From a model's output to the few characters that are graded: cut the reasoning, find the block, find the box."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BOX_TOKENS = re.compile(r"(\\(?:boxed|fbox)\s*\{)|\\.|[{}]", re.DOTALL)
_BOX_OPEN = re.compile(r"\\(?:boxed|fbox)\s*\{")
_FLAT_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{([^{}\\]*(?:\\[^{}][^{}\\]*)*)\}")
_PERCENT = re.compile(r"\s{0,2}(?:\\?%|\uff05)")
_MARKS = r"[\s$,;|/\uff0c\uff1b\u3001]*"
_JOINED = re.compile(rf"{_MARKS}(?:or|and|\u6216\u8005?|\u548c|\u53ca)?{_MARKS}", re.IGNORECASE)
_ANCHOR = re.compile(
    r"(?:final\s+answer|answer|\u7b54\u6848)[\s*_]{0,4}(?:is|\u662f|\u4e3a|:|\uff1a)[\s*_:\uff1a]*([^\n]+)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w")
_SPACE = re.compile(r"\s*")
_LONE_LETTER = re.compile(r"[*_$(\[\s]*[A-Za-z][*_$)\].\s]*")
_OPENING = re.compile(r"[*_$(\[\s]*(?:([A-Z])[*_$]*[).:\]]|((?i:yes|no))\b[*_]*[,.:;!])")
"""A letter with a mark, or yes or no as a sentence of its own, at the very beginning."""
LONGEST_JOINT = 40
"""Characters between two boxes that may still join them."""
LONGEST_SCAN = 200_000
"""Last characters of the text after the reasoning that are searched for boxes and answer lines."""
LONGEST_LINE = 400
"""Characters of an untagged output that is taken as an answer as it stands."""


@dataclass(frozen=True, slots=True)
class Box:
    r"""One complete ``\boxed{...}``: its content, and where the command stands in the text."""

    start: int
    end: int
    content: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What an output offers for grading. `text` is None when there is nothing; `why` says how it was found."""

    text: str | None
    why: str
    hedged: bool = False
    """Several boxes joined by 'or', 'and', '/' or a comma where one answer was asked for."""


def after_thinking(text: str, opened_think: bool = False) -> str | None:
    """The text after the last closing think tag; None if a think block was opened and never closed.

    A truncated trace therefore never scores through a value it merely passed by.
    """
    _, closed, rest = text.rpartition("</think>")
    if closed:
        return None if "<think>" in rest else rest
    return None if opened_think or "<think>" in text else text


def has_thinking(text: str, opened_think: bool = False) -> bool:
    """Whether the reasoning holds at least one letter or digit; an absent think block counts as empty."""
    if opened_think:
        text = "<think>" + text
    _, opened, rest = text.partition("<think>")
    think, _, _ = rest.rpartition("</think>") if "</think>" in rest else (rest, "", "")
    return bool(opened) and _WORD.search(think) is not None


def find_boxes(text: str) -> list[Box]:
    r"""All complete outermost boxes in order; escaped braces do not count, an unclosed box is no box.

    A percent sign right after the closing brace belongs to the content: models write ``\boxed{93.5}\%``.
    """
    first = _BOX_OPEN.search(text)
    if first is None:
        return []
    only = _FLAT_BOX.match(text, first.start())
    if only and not _BOX_OPEN.search(text, only.end()):
        return [_with_sign(text, only.start(), only.end(), only.group(1).strip())]  # nearly all outputs
    spans = _box_spans(text, first.start())
    boxes: list[Box] = []
    for start, (inner, close) in sorted(spans.items()):
        if not boxes or start >= boxes[-1].end:
            boxes.append(_box(text, start, inner, close, spans))
    return boxes


def _box_spans(text: str, at: int) -> dict[int, tuple[int, int]]:
    """Start of each complete box, nested ones too -> (start of its content, place of its closing brace)."""
    spans: dict[int, tuple[int, int]] = {}
    pending: list[tuple[int, int] | None] = []  # None for a plain brace
    for token in _BOX_TOKENS.finditer(text, at):
        if token.group(1):
            pending.append((token.start(), token.end()))
        elif token.group() == "{":
            pending.append(None)
        elif token.group() == "}" and pending and (where := pending.pop()):
            spans[where[0]] = (where[1], token.start())
    return spans


def _box(text: str, start: int, inner: int, close: int, spans: dict[int, tuple[int, int]]) -> Box:
    end = close + 1
    while nested := spans.get(_SPACE.match(text, inner).end()):  # type: ignore[union-attr]  # \s* matches anywhere
        if text[nested[1] + 1 : close].strip():
            break
        inner, close = nested  # a box in a box, nothing else beside it
    return _with_sign(text, start, end, text[inner:close].strip())


def _with_sign(text: str, start: int, end: int, content: str) -> Box:
    sign = _PERCENT.match(text, end)
    if sign and content and content[-1] not in "%\uff05":
        return Box(start, sign.end(), content + "%")
    return Box(start, end, content)


def trailing_run(text: str, boxes: list[Box]) -> list[Box]:
    """The last box and those before it that are joined to it by nothing but separators."""
    run = boxes[-1:]
    for box in reversed(boxes[:-1]):
        if run[0].start - box.end > LONGEST_JOINT or not _JOINED.fullmatch(text, box.end, run[0].start):
            break
        run.insert(0, box)
    return run


def read_answer(text: str, *, multi: bool = False, opened_think: bool = False, lenient: bool = False) -> Reading:
    """The answer of an output: last box of the only answer block, else the block, else the last box.

    `multi` unites the boxes (one per line): all of the answer block, or the trailing run where there is no block.
    `lenient` is the ladder for models that were never asked for tags: of several answer blocks the last; without
    block and box the last "the answer is ..." line, else a last line that is one letter, else an output of one line.
    Survey of verifiers, hard cases M4-M6, M28-M30, C11, C13, C16; medical text sheet, section 2; video sheet,
    section 6.1.
    """
    rest = after_thinking(text, opened_think)
    if rest is None:
        return Reading(None, "the think block is never closed")
    opened, closed = rest.count("<answer>"), rest.count("</answer>")
    if opened != closed or (opened > 1 and not lenient):
        return Reading(None, f"expected one answer block, found {opened} opened and {closed} closed")
    block = _inside(rest) if opened else None
    if opened and block is None:
        return Reading(None, "the answer block closes before it opens")
    where = (rest if block is None else block)[-LONGEST_SCAN:]
    boxes = find_boxes(where)
    if boxes:
        return _read_boxes(where, boxes, multi, whole=block is not None)
    if block is not None:
        return _read_block(block)
    return _read_line(rest[-LONGEST_SCAN:]) if lenient else Reading(None, "no answer block and no box")


def _inside(rest: str) -> str | None:
    """The last complete answer block."""
    head, closed, _ = rest.rpartition("</answer>")
    _, opened, block = head.rpartition("<answer>")
    return block if closed and opened else None


def _read_boxes(where: str, boxes: list[Box], multi: bool, whole: bool) -> Reading:
    run = trailing_run(where, boxes) if len(boxes) > 1 else boxes
    if multi:
        united = boxes if whole else run
        return Reading("\n".join(box.content for box in united) or None, f"{len(united)} boxes united")
    if len({box.content for box in run}) > 1:
        return Reading(" | ".join(box.content for box in run), "several answers joined together", hedged=True)
    content = boxes[-1].content
    return Reading(content, "last box") if content else Reading(None, "the box is empty")


def _read_block(block: str) -> Reading:
    block = block.strip()
    if _BOX_OPEN.search(block):
        return Reading(None, "the box is never closed")
    return Reading(block, "answer block without a box") if block else Reading(None, "the answer block is empty")


def _read_line(rest: str) -> Reading:
    if _BOX_OPEN.search(rest):
        return Reading(None, "the box is never closed")
    said = _ANCHOR.findall(rest)[-1:]
    while said and (later := _ANCHOR.findall(said[0])):  # "the answer is A. No: the answer is B." on one line
        said = later[-1:]
    content = said[-1].strip().strip("*_").rstrip(" .\u3002*_").strip() if said else ""
    if content:
        return Reading(content, "last answer line")
    lines = [line.strip() for line in rest.strip()[-LONGEST_LINE:].splitlines()]
    lone = [line for line in lines if _LONE_LETTER.fullmatch(line)]
    if lines and lone == lines[-1:]:
        return Reading(lines[-1], "last line is one letter")
    if len(lines) == 1 and lines[0] and len(rest.strip()) <= LONGEST_LINE:
        return Reading(lines[0], "the whole output")
    if opening := _OPENING.match(rest):
        return Reading(opening.group(1) or opening.group(2), "the first word")
    return Reading(None, "no block, no box, no answer line")
