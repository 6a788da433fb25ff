"""Moments in Charades-STA and ActivityNet Captions: strict figures, two public scorers

`submission`: {"<video>>>><sentence>>>>[start, end]": answer}, as lmms-eval writes it. Both public scorers keep one
answer a key, so that questions which are released twice count once.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmreason.records import Sample
from mmreason.rewards.times import Interval
from mmreason.suites.predictions import collect
from mmreason.suites.reference.forms import pairs, text
from mmreason.suites.reference.spans import clipped, gold_windows, one_window_iou, recalls, said_windows
from mmreason.suites.reference.video_r1 import first_block
from mmreason.suites.references import Reference, Scored

_TASKS = "lmms_eval/tasks/charades_sta"
ORIGIN = f"appletea233/Temporal-R1 third_party/lmms-eval/{_TASKS}/eval_tvg.py@f364f6c (activitynet_tvg: the same file)"
LMMS = f"EvolvingLMMs-Lab/lmms-eval {_TASKS}/utils.py@75571cf"
REWARD = "appletea233/Temporal-R1 verl/utils/reward_score/tvg.py@f364f6c, its tIoU without the format part"

# The patterns are the originals' made possessive: the same matches, in linear time on answers of any length.
_EXAMPLE = "a specific example is : 20.8 - 30.0 seconds"
_KEYWORDS = ("start", "end", "happen")
_LOOSE_PAIR = re.compile(r"(?<!\d)(\d++\.*+\d*+)\s*+-\s*+(\d++\.*+\d*+)")
_LOOSE_NUMBER = re.compile(r"\b(\d+\.\d+\b|\b\d+)\b")
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?"
_CLOCK_PAIR = re.compile(rf"\b({_CLOCK})\s*[\u2013-]\s*({_CLOCK})\b")
_CLOCK_TIME = re.compile(rf"\b({_CLOCK})\b")
_PAIR = re.compile(r"(?<!\d)(\d++(?:\.\d++)?+)\s*+[\u2013-]\s*+(\d++(?:\.\d++)?+)")
_PAIR_S = re.compile(r"(?<!\d)(\d++(?:\.\d++)?+)\s*+s?+\s*+[\u2013-]\s*+(\d++(?:\.\d++)?+)")
_NUMBER = re.compile(r"\b(\d+(?:\.\d+)?)\b")


def _prepared(output: str) -> tuple[str, list[str], list[str]]:
    """The text with every 'to', inside words too, as a dash; its sentences; those that name a time."""
    said = output.lower().replace(_EXAMPLE, "").replace("to", "-")
    sentences = re.split(r"[!?\n]", said)
    return said, sentences, [one for one in sentences if any(word in one for word in _KEYWORDS)]


def _ordered(start: float, end: float) -> Interval:
    return (start, end) if end > start else (end, start)


def temporal_r1_window(output: str) -> Interval | None:
    """The first 'number - number', else the first numbers of the first two sentences that name a time.

    Raises ValueError for numbers such as 1..5, over which the original breaks off.
    """
    said, _, named = _prepared(output)
    found = [(float(start), float(end)) for start, end in _LOOSE_PAIR.findall(said)]
    if found:
        return _ordered(*found[0])
    numbers = [float(hits[0]) for hits in map(_LOOSE_NUMBER.findall, named) if hits]
    return _ordered(numbers[0], numbers[1]) if len(numbers) > 1 else None


def lmms_window(output: str) -> Interval | None:
    """Clock ranges, number ranges, clock times, first numbers, ranges with units: the first form that gives a pair."""
    _, sentences, named = _prepared(output)
    named = named or sentences
    clocks = [_seconds(time) for one in named for time in _CLOCK_TIME.findall(one)]
    firsts = [float(hits[0]) for hits in map(_NUMBER.findall, named) if hits]
    for found in (
        [(_seconds(a), _seconds(b)) for a, b in _first_hits(_CLOCK_PAIR, named)],
        [(float(a), float(b)) for a, b in _first_hits(_PAIR, named)],
        [(clocks[0], clocks[1])] if len(clocks) > 1 else [],
        [(firsts[0], firsts[1])] if len(firsts) > 1 else [],
        [(float(a), float(b)) for a, b in _first_hits(_PAIR_S, named)],
    ):
        if found:
            return _ordered(*found[0])
    return None


def _first_hits(pattern: re.Pattern[str], sentences: Sequence[str]) -> list[tuple[str, str]]:
    """The matches of the first sentence that has any."""
    return next((hits for hits in map(pattern.findall, sentences) if hits), [])


def _seconds(clock: str) -> float:
    parts = [float(part) for part in clock.split(":")]
    return parts[-1] + 60 * parts[-2] + (3600 * parts[-3] if len(parts) == 3 else 0.0)


def span_iou(gold: Interval, said: Interval) -> float:
    """Common length over the length from the first to the last bound; 0 where that is nothing."""
    hull = max(gold[1], said[1]) - min(gold[0], said[0])
    common = max(min(gold[1], said[1]) - max(gold[0], said[0]), 0)
    return common / hull if hull > 0 else 0.0


def _temporal_r1(output: str, sample: Sample, rng: random.Random) -> float:
    try:
        said = temporal_r1_window(output)
    except ValueError:
        return 0.0
    return span_iou(gold_windows(sample)[0], said) if said else 0.0


def _lmms(output: str, sample: Sample, rng: random.Random) -> float:
    said = lmms_window(output)
    return span_iou(gold_windows(sample)[0], said) if said else 0.0


def reward_iou(output: str, gold: Interval, length: float) -> float:
    """IoU of the JSON object with start_time and end_time in the first answer tags; 0 whenever anything fails."""
    try:
        said = json.loads((first_block(output) or "").strip())
        start, end = float(said["start_time"]) / length, float(said["end_time"]) / length
        low, high = gold[0] / length, gold[1] / length
        common = max(min(end, high) - max(start, low), 0)
        return max(0, common / (max(end, high) - min(start, low)))
    except (ValueError, TypeError, KeyError, ZeroDivisionError, OverflowError, RecursionError):
        return 0.0


def _reward(output: str, sample: Sample, rng: random.Random) -> float:
    return reward_iou(output, gold_windows(sample)[0], sample.metadata.get("duration", 1.0))


def _plain(scored: Sequence[Scored]) -> dict[str, float]:
    return recalls([one.value or 0.0 for one in scored])


def _keyed(scored: Sequence[Scored]) -> dict[str, float]:
    """Over the keys of a submission: of questions released twice the last counts."""
    return recalls(list({_key(one.sample): one.value or 0.0 for one in scored}.values()))


def moments(scored: Sequence[Scored]) -> dict[str, float]:
    """Strict figures over all questions, then those of answers cut to the video, and the share without a window."""
    read = [one for one in scored if one.value]
    raw = {one.sample.id: one_window_iou(one.output, one.sample) for one in read}
    cut = {one.sample.id: one_window_iou(one.output, one.sample, cut=True) for one in read}
    whole, inside = (recalls([ious.get(one.sample.id, 0.0) for one in scored]) for ious in (raw, cut))
    unread = sum(said_windows(one.output) is None for one in scored) / len(scored)
    return {
        **whole,
        **{f"{name} clipped": value for name, value in inside.items()},
        "without_window": unread,
        "beyond_end": sum(_beyond(one) for one in scored) / len(scored),
    }


def _beyond(one: Scored) -> bool:
    said = said_windows(one.output) or []
    return clipped(said, one.sample) != [window for window in said if window[0] < window[1]]


temporal_r1 = Reference(ORIGIN, _temporal_r1, _keyed)
lmms_eval = Reference(LMMS, _lmms, _keyed)
temporal_r1_json = Reference(REWARD, _reward, _plain)


_Key = tuple[str, str, Interval]
"""Video, sentence and gold window."""


def _key(sample: Sample) -> _Key:
    return Path(sample.media[0].path).stem, str(sample.metadata["question"]), gold_windows(sample)[0]


def submission(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """lmms-eval's submission; a question that is released twice gets the one answer of its key."""
    ids: dict[_Key, list[str]] = defaultdict(list)
    for sample in samples:
        ids[_key(sample)].append(sample.id)
    rows = [(where, _parsed(key) or (key, "", (0.0, 0.0)), key, text(answer)) for where, key, answer in pairs(path)]
    return collect([(where, name, [said]) for where, parsed, key, said in rows for name in ids.get(parsed, [key])])


def _parsed(key: str) -> _Key | None:
    """A key of the file as `_key` gives it, None for another shape."""
    parts = key.split(">>>")
    numbers = re.findall(r"[\d.]+", parts[-1])
    if len(parts) != 3 or len(numbers) != 2:
        return None
    return Path(parts[0]).stem, parts[1], (float(numbers[0]), float(numbers[1]))
