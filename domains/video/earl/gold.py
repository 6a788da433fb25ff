"""Gold frames: which frames of the first grid show what a question asks for, from labelled moments.

The other two ways to them stand beside: `data_leave_in.py` asks a frozen model, `data_keyframes.py` a teacher. All
leave the same evidence: `gold_times` and `grid_times` in seconds, so that the labels survive another grid,
`gold_frames` as 0-based positions on that grid, and `label_source`. The paper labels with GPT-4o and people; moments
in their place are a substitute [reconstructed]. A sample without gold leaves as a Drop.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from mmreason.data.sources import data_root
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.media.clips import open_clip
from mmreason.project import load_module
from mmreason.records import AnswerKind, MediaRef, Sample

settings = load_module(Path(__file__).parent / "settings.py")

MOST = 8
"""Gold frames of a sample at most: 1 <= |F_key| <= 8 [EARL]."""

Window = tuple[float, float]
"""Start and end in seconds, both included."""


class Label(StrEnum):
    """Where gold frames come from, as `evidence["label_source"]` says it."""

    MOMENTS = "moments"
    """Labelled seconds."""
    LEAVE_IN = "leave_in"
    """The frames on which a frozen model answers right."""
    TEACHER = "teacher"
    """A teacher that was shown the answer."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The frames that a question shows at first."""

    times: tuple[float, ...]
    """Seconds of the clip, ascending."""
    spacing: float
    """Seconds from one to the next: the length of what is shown over the frames wanted."""
    frames: tuple[int, ...] = ()
    """Their indices in the clip; empty where only an annotation of the length is at hand."""

    def at_hand(self, sample: Sample) -> tuple[int, ...]:
        """`frames`. Raises UserError naming the sample where its clip is not at hand."""
        if not self.frames:
            raise UserError(f"sample {sample.id}: its clip is not at hand; frames can be shown of a clip alone")
        return self.frames


def grid_of(ref: MediaRef, root: Path, size: int, duration: float | None = None) -> Grid:
    """The grid of `size` segment centres, as the environment shows it.

    A clip that was hashed is opened and gives the times of its own frames; of one that is only named the annotated
    `duration` in seconds gives the ideal times. Raises UserError for a clip that cannot be read.
    """
    start = ref.start or 0.0
    if not ref.sha256:
        if duration is None:
            raise UserError(f"clip {ref.path!r} is not at hand and its length is not annotated; gold frames need one")
        span = (duration if ref.end is None else min(ref.end, duration)) - start
        return Grid(tuple(start + (place + 0.5) * span / size for place in range(size)), span / size)
    clip = open_clip(root, replace(ref, frame_rule=f"centres:{size}"))
    frames = tuple(dict.fromkeys(clip.chosen.indices))
    span = (clip.info.duration if ref.end is None else min(ref.end, clip.info.duration)) - start
    return Grid(tuple(clip.info.seconds(frames)), span / len(frames), frames)


def moments_of(sample: Sample, min_saliency: float = 0.0) -> list[Window]:
    """The labelled seconds: `evidence["windows"]`, else the gold intervals of a question for moments.

    `min_saliency` above 0 takes of QVHighlights' moments the two-second clips whose mean saliency (0-4, three people)
    is at least that; touching ones are one moment. Empty without a label.
    """
    if min_saliency and "saliency_scores" in sample.evidence:
        return _salient(sample.evidence["relevant_clip_ids"], sample.evidence["saliency_scores"], min_saliency)
    windows = sample.evidence.get("windows")
    if windows is None and sample.answer.kind is AnswerKind.INTERVAL:
        windows = json.loads(sample.answer.gold)
    return [(float(start), float(end)) for start, end in windows or ()]


def _salient(clips: Sequence[int], scores: Sequence[Sequence[int]], least: float, length: float = 2.0) -> list[Window]:
    moments: list[Window] = []
    for clip, marks in sorted(zip(clips, scores, strict=True)):
        if sum(marks) / len(marks) < least:
            continue
        start, end = clip * length, (clip + 1) * length
        if moments and moments[-1][1] == start:
            start = moments.pop()[0]
        moments.append((start, end))
    return moments


def frames_in(moments: Iterable[Window], grid: Grid, most: int = MOST) -> list[int]:
    """Grid positions inside the moments, ascending, thinned to `most` at even distance.

    A moment between two grid frames takes the nearer one if that lies within half a spacing, so that no labelled
    moment of the clip goes unlabelled; one beyond the clip takes none.
    """
    found: set[int] = set()
    for start, end in moments:
        inside = [place for place, time in enumerate(grid.times) if start <= time <= end]
        found.update(inside or _nearest(start, end, grid))
    return thinned(sorted(found), most)


def _nearest(start: float, end: float, grid: Grid) -> list[int]:
    distances = [max(start - time, time - end) for time in grid.times]
    place = min(range(len(distances)), key=distances.__getitem__)
    return [place] if distances[place] <= grid.spacing / 2 else []


def thinned(places: Sequence[int], most: int) -> list[int]:
    """At most `most` of the places: the middle one of each of so many equal parts."""
    if len(places) <= most:
        return list(places)
    return [places[(2 * part + 1) * len(places) // (2 * most)] for part in range(most)]


def labelled(
    sample: Sample, grid: Grid, places: Sequence[int], source: Label, context: StepContext, **more: Any
) -> Sample:
    """The sample with its gold frames in the evidence, `more` beside them, and in the metadata the settings of EARL
    that hold for it, which traces are written and checked under."""
    evidence = {
        **sample.evidence,
        "gold_times": [grid.times[place] for place in places],
        "gold_frames": list(places),
        "grid_times": list(grid.times),
        "label_source": source.value,
        **more,
    }
    return replace(sample, evidence=evidence).with_meta(earl=dict(context.recipe.options.get("earl", {})))


def grid_size(context: StepContext, grid: int | None) -> int:
    """Frames of the grid: the step's own option, else the recipe's `options.earl.grid`."""
    return int(settings.of(context.recipe.options).grid) if grid is None else grid


def times_of(sample: Sample, grid: Grid) -> list[float]:
    """Gold times in seconds: the stored ones, else those of the labelled moments on `grid`; empty without a label.

    Evaluation sets come without data steps, so that their gold is worked out where it is asked for.
    """
    stored = sample.evidence.get("gold_times")
    if stored is not None:
        return [float(time) for time in stored]
    return [grid.times[place] for place in frames_in(moments_of(sample), grid)]


def labelled_on(sample: Sample, grid: Grid) -> Sample:
    """The sample with its gold times, for one that no data step labelled; as it is where nothing is known."""
    times = [] if sample.evidence.get("gold_times") else times_of(sample, grid)
    return replace(sample, evidence={**sample.evidence, "gold_times": times}) if times else sample


def count_of(sample: Sample, size: int) -> int:
    """Gold frames on a grid of `size`, as far as evidence and the known length tell."""
    length = float(sample.metadata.get("duration") or 0.0)
    grid = Grid(tuple((place + 0.5) * length / size for place in range(size)), length / size)
    return len(sample.evidence.get("gold_times") or (times_of(sample, grid) if length else ()))


class Grids:
    """Grids of a data step, each clip opened once. A sample without exactly one clip raises UserError."""

    def __init__(self, context: StepContext, size: int | None) -> None:
        self._context, self._size = context, grid_size(context, size)
        self._held: dict[tuple[MediaRef, float | None], Grid] = {}

    def root(self, sample: Sample) -> Path:
        """Folder that the sample's media lie in; generated sets draw theirs into the run's folder."""
        made = None if self._context.domain.source(sample.source.dataset).files else self._context.work_dir / "made"
        return data_root(self._context.domain, self._context.data_dir, made)

    def of(self, sample: Sample) -> Grid:
        if len(sample.media) != 1 or sample.media[0].kind != "video":
            raise UserError(f"sample {sample.id}: {len(sample.media)} media; gold frames are of exactly one clip")
        duration = sample.metadata.get("duration")
        if not isinstance(duration, int | float):
            duration = None  # some sets say "short" or "long" here
        key = (sample.media[0], duration)
        if key not in self._held:
            self._held[key] = grid_of(sample.media[0], self.root(sample), self._size, duration)
        return self._held[key]


def from_moments(
    stream: Iterable[Sample | Drop], context: StepContext, grid: int | None = None, min_saliency: float = 0.0
) -> Iterator[Sample | Drop]:
    """Data step: gold frames from labelled moments. Drops: `no_moment` (no label), `no_gold_frame` (beyond the clip).

    `grid`: frames of the first grid, the recipe's where None. `min_saliency`: see `moments_of`.
    """
    grids = Grids(context, grid)
    for item in stream:
        yield item if isinstance(item, Drop) else _from_moments(item, context, grids, min_saliency)


def _from_moments(sample: Sample, context: StepContext, grids: Grids, min_saliency: float) -> Sample | Drop:
    moments = moments_of(sample, min_saliency)
    if not moments:
        return Drop(sample.id, "from_moments", "no_moment", "no labelled seconds", sample.to_dict())
    grid = grids.of(sample)
    places = frames_in(moments, grid)
    if not places:
        detail = f"moments {moments} lie beyond the grid of {grid.times[0]:.1f}-{grid.times[-1]:.1f} s"
        return Drop(sample.id, "from_moments", "no_gold_frame", detail, sample.to_dict())
    return labelled(sample, grid, places, Label.MOMENTS, context, windows=[list(moment) for moment in moments])
