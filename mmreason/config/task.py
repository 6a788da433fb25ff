"""What a task is to a model: how it is put, what answers between turns, what is rewarded."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mmreason.config.strict import Strict


class RewardEntry(Strict):
    """One reward term by reference."""

    term: str
    """'file.py:function' with def term(rollout, sample) -> float | Verdict."""
    weight: float = 1.0
    combine: Literal["mul", "add"] = "add"


class MediaRule(Strict):
    """How pictures and clips are looked at; part of the protocol. 0 and empty: the processor's own."""

    frame_rule: str = ""
    """Which frames of a clip, see `media.frame_rules`: 'uniform:32', 'fps:2', 'segments:16', ..."""
    min_pixels: int = 0
    """Bounds of one picture or frame."""
    max_pixels: int = 0
    total_pixels: int = 0
    """Bound over all frames of a clip."""
    caption: str = ""
    """Frames of clips stand one by one as pictures behind this text: 'Frame {number} ({seconds:.1f} s): '."""


class Task(Strict):
    """What a system declares in place of its domain.yaml; a field that is left out is the domain's.

    Paths are relative to the domain's folder.
    """

    prompts: dict[str, str] | None = None
    """All templates; none of the domain's stays beside them."""
    system_prompt: str | None = None
    media: MediaRule | None = None
    rewards: list[RewardEntry] | None = None
    environment: str | None = None
    max_turns: int | None = Field(default=None, gt=0)
    measures: str | None = None

    def declared(self) -> dict[str, Any]:
        """Field -> value of those that are set."""
        return {name: getattr(self, name) for name in self.model_fields_set if getattr(self, name) is not None}
