"""What an agent looked at over the time of a clip: windows that hold the answer, frames seen, chosen, looked at closer.

The turns are those that environments note (`rollouts/*.parquet`, `runs` of sample files): {said, kind, error, shown:
{frames, seconds}, selected, gold, iou, refined: {frames, seconds, intervals}}; positions in `selected` and `gold` count
from 0 in `shown`. Everything here becomes plain values; `templates/timeline.html.j2` draws them. Turns of environments
without frames are text alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mmreason.records import MediaRef
from mmreason.report.curves import number, ticks
from mmreason.report.shown_media import FrameSheet

if TYPE_CHECKING:
    from mmreason.media.clips import Clip

Row = dict[str, Any]

_PIECES = re.compile(r"(<think>.*?(?:</think>|\Z)|<tool_call>.*?(?:</tool_call>|\Z))", re.DOTALL)
_TAGS = re.compile(r"</?(?:think|tool_call)>")
MAX_SHOWN = 3000
"""Characters of one turn shown."""
_TICKS = 8
_ROUNDED = 1e-3
"""Seconds by which noted times may differ from exact ones."""


def turns_of(run: Mapping[str, Any]) -> list[Row]:
    """Turns of a rollout row or an evaluated run; none for an answer of one plain turn or an older file."""
    found = run.get("turns") or []
    turns: list[Row] = json.loads(found) if isinstance(found, str) else list(found)
    return turns


def windows_of(evidence: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Seconds in which the answer can be seen, as far as the gold evidence says; single times are windows of none."""
    found = evidence.get("windows") or [[second, second] for second in evidence.get("gold_times") or []]
    return [(float(start), float(end)) for start, end in found]


class Timeline:
    """The axis of one clip, with which every answer to a question on it is drawn."""

    def __init__(
        self,
        sheet: FrameSheet,
        ref: MediaRef | None,
        windows: Sequence[tuple[float, float]],
        answers: Sequence[Sequence[Row]],
    ) -> None:
        """`answers` are the turns of all answers; where the clip itself is not at hand the axis ends with their last
        frame."""
        self.sheet, self.ref = sheet, ref
        clip = sheet.clip(ref) if ref is not None else None
        self.duration = clip.info.duration if clip is not None else _last(windows, answers)
        self.gold = windows
        self.windows = [self._span(*window) for window in windows]
        self.ticks = [{"x": self.x(tick), "label": number(tick)} for tick in ticks(0.0, self.duration, _TICKS)]
        begun = next((turns[0] for turns in answers if turns and _shown(turns[0])), {})
        self.start: Row = begun or {"shown": _chosen(clip)}
        self.grid = self._seen(self.start)
        """What the prompt shows, which is the same for all answers."""

    def x(self, second: float) -> float:
        """Place on the axis in percent."""
        return min(max(100 * second / self.duration, 0.0), 100.0)

    def rows(self, turns: Sequence[Row]) -> list[Row]:
        """One row a turn of the model, for the template. A turn of which nothing is noted saw what came back last."""
        rows: list[Row] = []
        above: list[Row] = []
        shown = self.start["shown"]
        for place, turn in enumerate(turns, 1):
            row = self._row(place, {"shown": shown, **turn})
            row["above"] = above
            row["kind"] = row["kind"] or ("answer" if place == len(turns) else "")
            shown, above = turn.get("refined") or _shown(turn) or shown, row["bands"]
            rows.append(row)
        return rows

    def _row(self, place: int, turn: Row) -> Row:
        """`above`: the spans that the turn before looked into, `bands`: those that this one does."""
        seen, back = self._seen(turn), turn.get("refined") or {}
        return {
            "place": place,
            "kind": turn.get("kind", ""),
            "error": turn.get("error", ""),
            "iou": turn.get("iou"),
            "has_gold": turn.get("gold") is not None,
            "seen": seen,
            "picked": [frame for frame in seen if frame["picked"]],
            "named": [named + 1 for named in turn.get("named", ())],
            "num_gold": len(turn.get("gold") or ()),
            "bands": [self._span(*span) for span in back.get("intervals", ())],
            "refined": self._all(back),
            "pieces": pieces(turn.get("said", "")),
        }

    def _seen(self, turn: Row) -> list[Row]:
        """The frames that a turn could choose from."""
        gold, picked = turn.get("gold"), set(turn.get("selected") or ())
        frames = self._all(turn.get("shown") or {})
        for place, frame in enumerate(frames):
            frame["picked"] = place in picked
            frame["gold"] = frame["gold"] if gold is None else place in gold
            if frame["picked"] and gold is not None:
                frame["state"] = "hit" if frame["gold"] else "miss"
        return frames

    def _all(self, shown: Row) -> list[Row]:
        """Frames as the template takes them; those inside a gold window are gold unless a turn notes otherwise."""
        frames = zip(shown.get("frames", ()), shown.get("seconds", ()), strict=True)
        return [
            {
                "number": place,
                "second": second,
                "x": self.x(second),
                "gold": any(start - _ROUNDED <= second <= end + _ROUNDED for start, end in self.gold),
                "picked": False,
                "state": "",
                "picture": self.sheet.frame(self.ref, index) if self.ref is not None else "",
            }
            for place, (index, second) in enumerate(frames, 1)
        ]

    def _span(self, start: float, end: float) -> Row:
        return {"x": self.x(start), "width": max(self.x(end) - self.x(start), 0.25), "start": start, "end": end}


@dataclass(frozen=True, slots=True)
class Looks:
    """A question with all its answers as a page draws them."""

    axis: Timeline | None
    """None where no turn looks at frames."""
    rows: list[list[Row]]
    """Turns of each answer, none for an answer of one plain turn."""


def timeline(
    sheet: FrameSheet, media: Sequence[MediaRef], evidence: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]
) -> Looks:
    """How the answers in `runs` (rollout rows, evaluated runs) looked at the clip among `media`."""
    answers = [turns_of(run) for run in runs]
    if not any(answers):
        return Looks(None, answers)
    clips = [ref for ref in media if ref.kind == "video"]
    axis = Timeline(sheet, clips[0] if len(clips) == 1 else None, windows_of(evidence), answers)
    return Looks(axis if axis.grid else None, [axis.rows(turns) for turns in answers])


def pieces(said: str) -> list[Row]:
    """A turn's text as thoughts, calls and the rest, without their tags."""
    left = len(said) - MAX_SHOWN
    said = said if left <= 0 else f"{said[:MAX_SHOWN]}\n... {left} more characters"
    found = [part for part in _PIECES.split(said) if part.strip()]
    return [{"kind": _kind(part), "text": _TAGS.sub("", part).strip()} for part in found]


def _kind(part: str) -> str:
    return "thought" if part.startswith("<think>") else "call" if part.startswith("<tool_call>") else "rest"


def _shown(turn: Row) -> Row:
    found: Row = turn.get("shown") or {}
    return found if found.get("frames") else {}


def _chosen(clip: Clip | None) -> Row:
    """The frames of the prompt as the reference's own rule gives them; a clip of one frame gives it twice."""
    if clip is None:
        return {}
    indices = list(dict.fromkeys(clip.chosen.indices))
    return {"frames": indices, "seconds": clip.info.seconds(indices)}


def _last(windows: Sequence[tuple[float, float]], answers: Sequence[Sequence[Row]]) -> float:
    """The last second that anything is known of, and half a frame distance behind it."""
    shown = [list(_shown(turn).get("seconds", ())) for turns in answers for turn in turns]
    longest: list[float] = max(shown, key=len, default=[])
    step = max((later - earlier for earlier, later in pairwise(longest)), default=0.0)
    return (
        max([end for _, end in windows] + [second for seconds in shown for second in seconds] + [0.0]) + step / 2 or 1.0
    )
