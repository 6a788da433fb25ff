"""The environment without pictures: what each call of a trace brings back, as frames of the clip.

Traces are written and checked by the very environment that plays in RL; only its codec is replaced by one that knows
a clip's length and shows nothing. So a teacher and a verifier need no model, and the rules are stated once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from mmreason.errors import UserError
from mmreason.media.choosing import Chosen, choose
from mmreason.media.clip import ClipInfo
from mmreason.media.frame_rules import FrameRule
from mmreason.models.codec import Codec
from mmreason.models.medium import Medium
from mmreason.project import load_module
from mmreason.records import MediaRef, Rollout, Sample, Stop
from mmreason.rollout.environment import Setting

calls = load_module(Path(__file__).parent / "calls.py")
environment = load_module(Path(__file__).parent / "environment.py")
settings = load_module(Path(__file__).parent / "settings.py")


@dataclass(frozen=True, slots=True)
class _Named:
    """A clip as the environment asks for it."""

    info: ClipInfo
    chosen: Chosen


_UNSEEN = Medium(torch.zeros(1, 1), (1, 1, 1), key="unseen")
"""A frame of which nothing is known but that it came."""


@dataclass(frozen=True, slots=True)
class _Processor:
    patch_size: int = 1


@dataclass(frozen=True, slots=True)
class _Lengths:
    """A codec's part towards the environment: one clip, whose frames are not looked at."""

    named: _Named
    images: _Processor = _Processor()
    merge: int = 1

    @classmethod
    def of(cls, info: ClipInfo, ref: MediaRef) -> _Lengths:
        return cls(_Named(info, choose(FrameRule.parse(ref.frame_rule), info, ref.start, ref.end, once=True)))

    def clip(self, ref: MediaRef) -> _Named:
        return self.named

    def frames(self, ref: MediaRef, indices: Sequence[int]) -> list[Medium]:
        return [_UNSEEN] * len(indices)


class Table:
    """One sample's game in indices. Its clip's length is in the metadata (`frames`, `fps`), as in made-up scenes;
    EARL's settings are those under which it was labelled, without a control."""

    def __init__(self, sample: Sample) -> None:
        options = {key: value for key, value in sample.metadata.get("earl", {}).items() if key != "control"}
        self.settings = settings.of({"earl": options})
        clip = replace(sample.media[0], frame_rule=f"centres:{self.settings.grid}")
        self._sample = replace(sample, media=(clip, *sample.media[1:]))
        codec = _Lengths.of(clip_info(sample), clip)
        self.grid: tuple[int, ...] = codec.named.chosen.indices
        """Clip frames that the first call can name."""
        self._environment = environment.frames(Setting({"earl": options}, cast(Codec, codec)))

    def play(self, turns: Sequence[str]) -> list[dict[str, Any]]:
        """The environment's notes on each turn; shorter than `turns` where it ends the answer before the last."""
        return self._play(self._sample, turns)

    def _play(self, sample: Sample, turns: Sequence[str]) -> list[dict[str, Any]]:
        notes: list[dict[str, Any]] = []
        for turn in range(len(turns)):
            said = list(turns[: turn + 1])
            rollout = Rollout((), (), (), "".join(said), Stop.EOS, extras={"said": said, "turns": list(notes)})
            reply = self._environment.reply(sample, rollout, turn)
            notes.append(reply.info if reply is not None else {})
            if reply is None or reply.done:
                break
        return notes

    def gold(self) -> list[int]:
        """Places of the gold frames on the grid. Raises UserError for a sample without labels."""
        asked = self._sample.with_meta(tool_off=False)  # what is off tells nothing
        places = self._play(asked, [calls.write_call([0])])[0]["gold"]
        if not places:
            raise UserError(
                f"sample {self._sample.id} has no gold frames; label it with earl/gold.py:from_moments first"
            )
        return list(places)

    def brought(self, *selections: Sequence[int]) -> list[int]:
        """Clip frames that the last of these selections brings back; empty where one of them is not answered."""
        notes = self.play([calls.write_call(list(selection)) for selection in selections])
        refined = notes[-1].get("refined") if len(notes) == len(selections) else None
        return list(refined["frames"]) if refined else []


def clip_info(sample: Sample) -> ClipInfo:
    """Frame times of a clip of constant rate from the metadata. Raises UserError where that lacks them."""
    frames, fps = sample.metadata.get("frames"), sample.metadata.get("fps")
    if not frames or not fps:
        raise UserError(f"sample {sample.id}: no 'frames' and 'fps' in its metadata; traces are written for scenes")
    return ClipInfo(int(frames), float(fps), frames / fps, np.arange(frames) / fps, 1, 1)
