"""Boxes in pictures: read from the forms that models write, compared by intersection over union."""

from __future__ import annotations

import re
import unicodedata

from mmreason.records import Answer, Unread, Verdict

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

THRESHOLD = 0.5
"""Least IoU that counts as right, as in detection's AP50."""
LONGEST = 500

_JSON_BOX = re.compile(r"[\"']?\b(?:bbox_2d|box_2d|bbox|box)\b[\"']?\s*:\s*(\[[^\[\]]*\])")
_NAMES = re.compile(r"\b(?:[xy]_?(?:[12]|min|max)|left|top|right|bottom)\b[\"']?\s*[:=]")
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?![\w.]*\d)")
_GLUE = re.compile(r"(?:[\s,;\[\](){}<>|\"'/.=:`]|px|box_start|box_end|bbox|box|json|and|to)*")


def parse_box(text: str) -> Box | None:
    """The one box that a text states, None for none, several, or one without area.

    Read: `[10, 20, 30, 40]`, `(10,20),(30,40)`, `<box>...</box>`, `x1=10, y1=20, x2=30, y2=40`, JSON with a
    `bbox_2d` or `box` key, in a code fence or not. Not read: right <= left, bottom <= top, nan.
    """
    if len(text) > LONGEST:
        return None
    text = unicodedata.normalize("NFKC", text).replace("\u2212", "-").casefold()
    keyed = _JSON_BOX.findall(text)
    if len(keyed) > 1:
        return None
    text = _NAMES.sub(" ", keyed[0] if keyed else text)
    if not _GLUE.fullmatch(_NUMBER.sub(" ", text)):
        return None
    numbers = [float(number) for number in _NUMBER.findall(text)]
    if len(numbers) != 4:
        return None
    left, top, right, bottom = numbers
    return (left, top, right, bottom) if left < right and top < bottom else None


def box_iou(read: Box, gold: Box) -> float:
    """Intersection over union of two boxes with an area, in [0, 1]."""
    width = min(read[2], gold[2]) - max(read[0], gold[0])
    height = min(read[3], gold[3]) - max(read[1], gold[1])
    common = max(0.0, width) * max(0.0, height)
    return common / (_area(read) + _area(gold) - common)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def grade_box(read: str, answer: Answer) -> Verdict:
    """Right from `Answer.threshold` (0.5) of IoU on; the IoU is the credit."""
    gold, said = parse_box(answer.gold), parse_box(read)
    if gold is None:
        return Verdict.no_read(Unread.GOLD, f"the gold {answer.gold[:80]!r} is no box with an area", read)
    if said is None:
        return Verdict.no_read(Unread.PREDICTION, f"expected [left, top, right, bottom], found {read[:80]!r}", read)
    value = box_iou(said, gold)
    return Verdict.graded(value, THRESHOLD if answer.threshold is None else answer.threshold, read, f"IoU {value:.3f}")
