"""What a recipe may say about EARL under `options: {earl: {...}}`: the environment's limits and the reward's constants.

The paper gives the formulas and few of the constants (arXiv 2510.15440; its full text could not be read, two public
notes agree on what is marked [notes]). What they leave open is [reconstructed], each with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from mmreason.config.strict import Strict, validate

CAPTION = "Frame {number} ({seconds:.1f} s): "
"""Before each frame where neither the settings nor the clip state a caption."""


class Control(StrEnum):
    """What the environment does in place of the model's wish, to tell better evidence from a better policy."""

    NONE = "none"
    NO_TOOL = "no_tool"
    """The first call is answered by the demand for the answer."""
    NO_RESAMPLING = "no_resampling"
    """The selected frames come back unchanged, without any from between them."""
    RANDOM_SELECTION = "random_selection"
    """As many frames as the model named, drawn by sample and turn."""
    ORACLE = "oracle"
    """The gold frames among those shown; the model's own where there are none."""


class Purity(StrEnum):
    """Which IoU of an answer with several rounds counts."""

    MEAN = "mean"
    FIRST = "first"
    LAST = "last"
    UNION = "union"
    """All frames selected against all gold frames that were shown."""


class Edges(StrEnum):
    """How far the interval of the first and of the last frame shown reaches outwards."""

    CLIP = "clip"
    """To the clip's beginning and end."""
    SEEN = "seen"
    """In later rounds no further than the intervals that the frames were sampled from."""


class EarlSettings(Strict):
    """Environment and reward of EARL."""

    grid: int = Field(32, ge=1)
    """Frames shown at first, at the centres of as many equal parts of the clip [notes]."""
    refined: int = Field(16, ge=1)
    """Most frames that a selection brings back [notes: N_max]."""
    max_selected: int = Field(8, ge=1)
    """Most frames of one selection [reconstructed: gold sets have at most 8, relatives allow 8]."""
    max_rounds: int = Field(2, ge=0)
    """Calls that are answered, failed ones included [notes: 2 selections; that errors count is reconstructed, so that
    a model cannot go on failing]. The task's `max_turns` is one more, for the answer."""
    edges: Edges = Edges.CLIP
    """[reconstructed: the clip's ends stand in for missing neighbours in every round]; `seen` keeps a second selection
    at the border of the refined frames as narrow as any other."""

    alpha_early: float = Field(0.5, ge=0)
    """Weight of having selected at all, until `switch` [reconstructed: alpha + beta < 1.5]."""
    beta_early: float = Field(0.2, ge=0)
    """Weight of the IoU until `switch` [reconstructed: less than late, as the schedule demands]."""
    alpha_late: float = Field(0.1, ge=0)
    """Weight of having selected after it [reconstructed: junk selections must not beat an honest direct answer]."""
    beta_late: float = Field(0.5, ge=0)
    """Weight of the IoU after it [reconstructed: equals the jump at `gate`]."""
    switch: float = Field(0.5, ge=0, le=1)
    """Share of the training after which the late weights hold [reconstructed: half; try 0.3 and 0.7]."""
    gate: float = Field(0.5, ge=0, le=1)
    """Least IoU at which a right answer counts fully [notes]; 0: always."""
    correct: float = 1.0
    """Of a right answer with IoU of `gate` or more [notes]."""
    half: float = 0.5
    """Of a right answer with less [notes]."""
    wrong: float = -1.0
    """Of a wrong, unread or cut answer [notes; that unread and cut ones are wrong is reconstructed]."""
    iou: Purity = Purity.MEAN
    """[reconstructed: the mean over rounds; union punishes a legitimate second look, last lets round 1 be junk]"""
    gold_tolerance: float = Field(0.5, ge=0)
    """Later rounds: frames so near to a gold time, in spacings of the grid, are gold [reconstructed: half a spacing;
    gold frames are defined on the grid, times carry them over without new labels]."""
    shuffled_gold: bool = False
    """Check on hacking: the gold frames are moved along the clip by a chance of their own, so that they say nothing
    about it but keep their number and distance."""

    control: Control = Control.NONE
    """For evaluation: whether the gain is the policy's or the evidence's."""
    caption: str = ""
    """Before each refined frame, with the holes {number} and {seconds} [reconstructed: numbers begin with 1 again in
    each round]; empty: that of the clip's own frames, else 'Frame 3 (2.5 s): '."""
    intro: str = "\nFrames 1 to {count} around the selected ones, {width} x {height} pixels each:\n"
    """Before the refined frames, with the holes {count}, {width} and {height}."""
    demand: str = "\nNo more frames can be selected. Give the final answer in \\boxed{} now."
    """Said after the last call that is answered [reconstructed]."""
    error: str = "\nExecution error: {reason}\n"
    """Said to a call that fails, with the hole {reason} [after Pixel Reasoner]."""

    @model_validator(mode="after")
    def _together(self) -> EarlSettings:
        if self.max_selected > self.refined:
            raise ValueError(
                f"max_selected {self.max_selected} exceeds refined {self.refined}: each selected frame brings one back"
            )
        _check_intro(self.intro)
        for name in ("early", "late"):
            bonus = getattr(self, f"alpha_{name}") + getattr(self, f"beta_{name}")
            if bonus >= self.half - self.wrong:
                raise ValueError(
                    f"alpha_{name} + beta_{name} is {bonus:g}: a wrong answer on pure evidence would earn as much as "
                    f"a right one without a selection; keep the sum below half - wrong = {self.half - self.wrong:g}"
                )
        return self

    def weights(self, progress: float) -> tuple[float, float]:
        """alpha and beta at a share of the training: a step, not a ramp [notes]."""
        early = progress <= self.switch
        return (self.alpha_early, self.beta_early) if early else (self.alpha_late, self.beta_late)


def _check_intro(intro: str) -> None:
    try:
        intro.format(count=1, width=1, height=1)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ValueError(f"intro {intro!r} has a hole beside {{count}}, {{width}} and {{height}} ({error!r})") from None


def of(options: Mapping[str, Any]) -> EarlSettings:
    """The settings in a recipe's options. Raises UserError naming every key that is wrong."""
    return validate(EarlSettings, options.get("earl", {}), "options.earl")
