"""Time intervals and frame lists in answers, and how much of each other they cover."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from mmreason.records import Answer, Outcome, Unread, Verdict

Interval = tuple[float, float]
"""Start and end in seconds."""

INTERVAL_THRESHOLD = 0.5
"""Least IoU that counts as right; R@1 at IoU 0.5 is the commonest figure of temporal grounding."""
LONGEST = 500

_NUMBER = r"\d+(?:\.\d+)?(?![\d.]*\d|e[-+]?\d)"
_TIME = re.compile(
    rf"(?<![a-z0-9_.:])(?:(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d{{1,2}}(?:\.\d+)?)(?![\d:])"
    rf"|(?P<minutes>{_NUMBER})\s*(?:minutes?|mins?|m(?![a-z])|\u5206\u949f?)"
    rf"\s*(?:and\s*)?(?:(?P<rest>{_NUMBER})\s*(?:seconds?|secs?|s(?![a-z])|\u79d2))?"
    rf"|(?P<plain>{_NUMBER})(?:\s*(?:seconds?|secs?|s(?![a-z])|\u79d2)\s*\u949f?)?)"
)
_OTHER_UNITS = re.compile(r"\b(?:hours?|hrs?|h|ms|milliseconds?|frames?|or|not|nan|inf(?:inity)?)\b|\u6216|\u4e0d")
_DASHES = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2014": "-", "~": "-", "\u223c": "-", "\u301c": "-"})
_FRAME = re.compile(r"\d+(?:\.\d+)?")
_FRAME_GLUE = re.compile(r"(?:[\s,;\[\](){}\"'.#:\u3001]|frames?|numbers?|and|no|\u5e27|\u7b2c|\u548c)*")


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_DASHES).casefold().strip()


def _seconds(match: re.Match[str]) -> float:
    if match["plain"]:
        return float(match["plain"])
    if match["minutes"]:
        return 60 * float(match["minutes"]) + float(match["rest"] or 0)
    return 3600 * float(match["h"] or 0) + 60 * float(match["m"]) + float(match["s"])


def parse_intervals(text: str) -> list[Interval] | None:
    """The intervals that a text states, None if it does not state whole ones.

    Read: `[3.2, 7.5]`, `[[1, 2], [4, 6]]`, `3.2s to 7.5s`, `from 3 to 7 seconds`, `00:03 - 00:07`, `1:02:03.5`,
    `1 min 5 s`, `<3.2> and <7.5>`, JSON objects with start before end. Not read: a start after its end, an odd
    number of times, signs, other units, alternatives ("or").
    """
    if len(text) > LONGEST:
        return None
    text = _fold(text)
    found = list(_TIME.finditer(text))
    glue = _TIME.sub("\0", text).split("\0")
    if not found or len(found) % 2 or _OTHER_UNITS.search(text) or any(re.search(r"\d", part) for part in glue):
        return None
    joints, gaps = glue[1::2], glue[0::2]
    if any("-" in gap for gap in gaps) or any(joint.count("-") > 1 for joint in joints):
        return None  # a minus sign, or a range of three
    times = [_seconds(match) for match in found]
    pairs = list(zip(times[::2], times[1::2], strict=True))
    return pairs if all(start <= end for start, end in pairs) else None


def merge(intervals: Sequence[Interval]) -> list[Interval]:
    """The same stretch of time as disjoint intervals in order."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def temporal_iou(read: Sequence[Interval], gold: Sequence[Interval]) -> float:
    """Length of the common time over length of the time covered by either, both as unions; 0 if nothing is covered."""
    said, wanted = merge(read), merge(gold)
    common = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in said for b in wanted)
    either = sum(end - start for start, end in said) + sum(end - start for start, end in wanted) - common
    return common / either if either > 0 else 0.0


def grade_interval(read: str, answer: Answer) -> Verdict:
    """Right from `Answer.threshold` (0.5) of temporal IoU on; the IoU is the credit.

    Several intervals where the gold is one are a hedge: the credit stays, the verdict is wrong.
    """
    gold = parse_intervals(answer.gold)
    if gold is None or temporal_iou(gold, gold) == 0.0:
        return Verdict.no_read(Unread.GOLD, f"the gold {answer.gold[:80]!r} is no interval with a length", read)
    said = parse_intervals(read)
    if said is None:
        return Verdict.no_read(Unread.PREDICTION, f"expected intervals in seconds, found {read[:80]!r}", read)
    value = temporal_iou(said, gold)
    if len(merge(gold)) == 1 and len(merge(said)) > 1:
        return Verdict(Outcome.WRONG, read, f"{len(merge(said))} intervals where one was asked for", value=value)
    threshold = INTERVAL_THRESHOLD if answer.threshold is None else answer.threshold
    return Verdict.graded(value, threshold, read, f"temporal IoU {value:.3f}")


def parse_frames(text: str) -> frozenset[float] | None:
    """The set of frame numbers (or times in seconds) of a list, None if the text is no such list.

    Read: a JSON list, numbers parted by commas, spaces or "and", "frame 3, frame 7". Not read: ranges, signs.
    """
    text = _fold(text)
    if len(text) > LONGEST:
        return None
    glue = _FRAME.split(text)
    if len(glue) < 2 or not all(_FRAME_GLUE.fullmatch(part) for part in glue):
        return None
    if any(part in ("", ".") for part in glue[1:-1]):
        return None  # "1.2.3"
    return frozenset(float(number) for number in _FRAME.findall(text))


def grade_frames(read: str, answer: Answer) -> Verdict:
    """Right if both sets of frames are equal (`Answer.threshold` lowers that); the credit is their IoU."""
    gold, said = parse_frames(answer.gold), parse_frames(read)
    if gold is None:
        return Verdict.no_read(Unread.GOLD, f"the gold {answer.gold[:80]!r} is no list of frames", read)
    if said is None:
        return Verdict.no_read(Unread.PREDICTION, f"expected frame numbers, found {read[:80]!r}", read)
    value = len(said & gold) / len(said | gold)
    threshold = 1.0 if answer.threshold is None else answer.threshold
    return Verdict.graded(value, threshold, read, f"{len(said & gold)} of {len(gold)} frames, {len(said)} given")
