"""The environment of EARL: a call that names frames is answered by frames from around them (arXiv 2510.15440).

The clip's grid stands in the prompt. A selection brings up to 16 frames of the intervals around the selected ones,
numbered from 1 again, each behind its number and time; from then on those can be selected and the grid no more. A call
that fails is told why and counts. With the last call that is answered the final answer is demanded; a call after that
ends the game. Nothing is kept between turns but what the rollout's `extras["turns"]` hold.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.media.captions import captions
from mmreason.media.clip import ClipInfo
from mmreason.models.medium import Medium
from mmreason.project import load_module
from mmreason.records import MediaRef, Rollout, Sample
from mmreason.rollout.environment import Reply, Setting

_HERE = Path(__file__).parent
calls = load_module(_HERE / "calls.py")
gold = load_module(_HERE / "gold.py")
purity = load_module(_HERE / "purity.py")
resample = load_module(_HERE / "resample.py")
settings = load_module(_HERE / "settings.py")

NO_TOOL = "the tool is disabled"
NO_MORE = "no call is left"


def frames(setting: Setting) -> FrameTool:
    """The environment of a recipe: `environment: earl/environment.py:frames`."""
    return FrameTool(setting)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a sample asks about."""

    ref: MediaRef
    info: ClipInfo
    grid: Any
    """The `View` that the prompt shows."""

    def now(self, told: Sequence[dict[str, Any]]) -> Any:
        """The `View` that can be selected from: what came back last, else the grid."""
        refined = [turn["refined"] for turn in told if turn.get("refined")]
        if not refined:
            return self.grid
        shown = tuple(refined[-1]["frames"])
        spans = tuple((low, high) for low, high in refined[-1]["intervals"])
        return resample.View(shown, tuple(self.info.seconds(shown)), self.grid.ends, spans)


class FrameTool:
    """Answers selections of frames."""

    def __init__(self, setting: Setting) -> None:
        self.settings = settings.of(setting.options)
        self.codec = setting.codec
        self.seed = setting.seed

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
        """What the tool says to the last turn. The info of a reply is described in `note`.

        Raises UserError naming a sample without a clip on the grid of the settings.
        """
        said, told = rollout.extras["said"][-1], rollout.extras["turns"]
        if not calls.is_call(said):
            return None  # whatever frames are shown
        scene = self.scene(sample)
        view = scene.now(told)
        heard = calls.read_turn(said, len(view.frames), self.settings.max_selected)
        rounds = 0 if tool_is_off(sample) else self._rounds
        if len(told) >= max(rounds, 1):
            return self._fail(view, NO_MORE, over=True)
        last = len(told) + 1 >= rounds
        if rounds == 0:
            return self._fail(view, NO_TOOL, last=True)
        if heard.kind is calls.Kind.ERROR:
            return self._fail(view, heard.error, last=last)
        return self._show(sample, scene, view, heard.selected, turn, last)

    @property
    def _rounds(self) -> int:
        """Calls that the tool answers."""
        return 0 if self.settings.control is settings.Control.NO_TOOL else int(self.settings.max_rounds)

    def scene(self, sample: Sample) -> Scene:
        """The clip that a sample asks about, with the grid that its prompt shows."""
        ref = clip_ref(sample, self.settings.grid)
        clip = self.codec.clip(ref)
        shown = tuple(dict.fromkeys(clip.chosen.indices))  # a clip of one frame gives it twice
        ends = (ref.start or 0.0, clip.info.duration if ref.end is None else min(ref.end, clip.info.duration))
        return Scene(ref, clip.info, resample.View(shown, tuple(clip.info.seconds(shown)), ends))

    def _show(self, sample: Sample, scene: Scene, view: Any, named: Sequence[int], turn: int, last: bool) -> Reply:
        pure = self._gold(sample, scene.grid, view)
        selected = self._controlled(sample, view, named, pure, turn)
        after = self._after(scene.info, view, selected)
        shown = self.codec.frames(scene.ref, after.frames)
        info = note("call", view, selected=selected, gold=pure, refined=after)
        info["refined"]["tokens"] = sum(medium.num_tokens(self.codec.merge) for medium in shown)
        if list(selected) != list(named):
            info["named"] = list(named)
        parts = [self._intro(shown), *self._captioned(scene.ref, after, shown), self.settings.demand if last else ""]
        return Reply(tuple(part for part in parts if not isinstance(part, str) or part), info=info)

    def _after(self, info: ClipInfo, view: Any, selected: Sequence[int]) -> Any:
        if self.settings.control is settings.Control.NO_RESAMPLING:
            kept = tuple(view.frames[place] for place in selected)
            return resample.View(kept, tuple(view.seconds[place] for place in selected), view.ends)
        seen = self.settings.edges is settings.Edges.SEEN
        return resample.zoom(info, view, selected, self.settings.refined, seen)

    def _gold(self, sample: Sample, grid: Any, view: Any) -> list[int] | None:
        """Places of the gold frames in the view; None without labels, or where no frame of a later view is gold."""
        spacing = (grid.ends[1] - grid.ends[0]) / len(grid.frames)
        labelled = gold.labelled_on(sample, gold.Grid(grid.seconds, spacing))
        times = purity.gold_times(labelled, grid.seconds, self.settings.shuffled_gold)
        if times is None:
            return None
        tolerance = self.settings.gold_tolerance * spacing
        places: list[int] = purity.gold_places(view.seconds, times, tolerance, view.frames == grid.frames)
        return places or None

    def _controlled(
        self, sample: Sample, view: Any, named: Sequence[int], pure: Sequence[int] | None, turn: int
    ) -> list[int]:
        """The places that are executed in place of those named."""
        if self.settings.control is settings.Control.RANDOM_SELECTION:
            chance = random.Random(f"{self.seed} {sample.id} {turn}")
            return sorted(chance.sample(range(len(view.frames)), len(named)))
        if self.settings.control is settings.Control.ORACLE and pure:
            return thinned(pure, self.settings.max_selected)
        return list(named)

    def _fail(self, view: Any, reason: str, last: bool = False, over: bool = False) -> Reply:
        """A call without frames; the tool that is switched off says only that the answer is due."""
        info = note("error", view, error=reason)
        if over:
            return Reply(done=True, info=info)
        told = () if reason == NO_TOOL else (self.settings.error.replace("{reason}", reason),)
        return Reply((*told, self.settings.demand) if last else told, info=info)

    def _intro(self, shown: Sequence[Medium]) -> str:
        _, rows, columns = shown[0].grid
        side = int(self.codec.images.patch_size)
        return str(self.settings.intro.format(count=len(shown), width=columns * side, height=rows * side))

    def _captioned(self, ref: MediaRef, view: Any, shown: Sequence[Medium]) -> list[str | Medium]:
        template = self.settings.caption or ref.caption or settings.CAPTION
        pairs = zip(captions(template, view.seconds), shown, strict=True)
        return [part for pair in pairs for part in pair]


def tool_is_off(sample: Sample) -> bool:
    """Whether the tool is switched off for this sample alone, as `data_refused.py` marks it."""
    return bool(sample.metadata.get("tool_off"))


def clip_ref(sample: Sample, grid: int) -> MediaRef:
    """The clip that a sample asks about. Raises UserError where it has none, or shows another grid."""
    if not sample.media or sample.media[0].kind != "video":
        raise UserError(f"sample {sample.id} has no clip as its first medium; EARL selects frames of one")
    ref = sample.media[0]
    if ref.frame_rule != f"centres:{grid}":
        raise UserError(
            f"sample {sample.id} shows its clip by {ref.frame_rule!r}, options.earl.grid expects 'centres:{grid}'; "
            "set task.media.frame_rule and grid to the same number"
        )
    return ref


def thinned(places: Sequence[int], most: int) -> list[int]:
    """At most `most` of them, evenly."""
    if len(places) <= most:
        return list(places)
    return [places[(2 * number + 1) * len(places) // (2 * most)] for number in range(most)]


def note(
    kind: str,
    view: Any,
    *,
    error: str = "",
    selected: Sequence[int] = (),
    gold: Sequence[int] | None = None,
    refined: Any = None,
) -> dict[str, Any]:
    """What is kept of a turn, JSON-ready: `shown` frames of the clip with their seconds, places `selected` and `gold`
    among them from 0 (gold None: not labelled, or none among them), their `iou`, and what came back with the
    `intervals` in seconds that it was sampled from (and, from the environment, its visual `tokens`)."""
    back = {} if refined is None else {**_shown(refined), "intervals": [list(span) for span in refined.spans]}
    return {
        "kind": kind,
        "error": error,
        "shown": _shown(view),
        "selected": list(selected),
        "gold": None if gold is None else list(gold),
        "iou": None if gold is None else purity.iou(selected, gold),
        "refined": back or None,
    }


def _shown(view: Any) -> dict[str, Any]:
    return {"frames": list(view.frames), "seconds": [round(second, 3) for second in view.seconds]}
