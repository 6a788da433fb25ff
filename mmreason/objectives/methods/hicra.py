"""HICRA: planning tokens get more credit and less blame.

A <- A + alpha |A| on planning tokens, which are those of "strategic grams": turns of phrase of three to five words that
organise a solution. The authors mine them from correct solutions (embed n-grams, cluster, rank clusters by document
frequency); that is done once and outside training, so here the list is a setting. The default is a short general list
of ours in English; mine your own for your domain and language.

Phrases are sought in the text of the exact ids, whatever their case and the width of white space between words. A token
belongs to a phrase when it holds any of its characters. Tokens without loss (tool replies) stay as they are.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method, Trait
from mmreason.objectives.tokens import Span, speller

PHRASES = (
    "let us first consider",
    "let us think about",
    "let me think about",
    "the first step is",
    "the next step is",
    "we need to find",
    "we need to determine",
    "the key is to",
    "the idea is to",
    "break this down into",
    "this means that we",
    "it follows that the",
    "we can conclude that",
    "on the other hand",
    "another way to see",
    "let us try another",
    "let me try another",
    "consider the case where",
    "suppose instead that the",
    "let us check whether",
    "let me double check",
    "let me verify this",
    "wait, that is not",
    "go back to the",
    "compare this with the",
    "rule out the other",
    "looking at the picture",
    "looking at the table",
    "according to the table",
)


def matcher(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Finds every place where a phrase begins, the longest there; overlapping phrases are all found.

    Only Latin letters and digits bound a word, so that phrases of scripts without spaces are found too.
    """
    longest_first = sorted(phrases, key=len, reverse=True)
    written = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in longest_first)
    return re.compile(rf"(?<![a-z0-9])(?=((?:{written})(?![a-z0-9])))", re.IGNORECASE)


def touched(spans: list[Span], found: list[Span]) -> list[bool]:
    """For each token's span whether it shares a character with one of the places found."""
    marks = bytearray(spans[-1][1] if spans else 0)
    for left, right in found:
        marks[left:right] = b"\1" * (right - left)
    return [marks.find(b"\1", start, end) >= 0 for start, end in spans]


class Hicra(Method):
    """AdvTransform on text. Counter: share of loss tokens that are planning tokens."""

    source = "HICRA, arXiv 2509.03646"
    provenance: ClassVar[Literal["published", "reconstructed", "mixed"]] = "mixed"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.TOKEN_WEIGHT})

    class Settings(Strict):
        """On top of GRPO."""

        alpha: Coefficient = 0.2
        """Extra credit, as a share of |A| [published]."""
        phrases: tuple[str, ...] = Field(default=PHRASES, min_length=1)
        """Strategic grams [reconstructed: the mined list was not seen]."""

        @field_validator("phrases")
        @classmethod
        def _words(cls, phrases: tuple[str, ...]) -> tuple[str, ...]:
            if not all(phrase.strip() for phrase in phrases):
                raise ValueError("an empty phrase would match everywhere; leave it out")
            return phrases

    def transform(self, advantage: torch.Tensor, batch: Batch, ctx: Context) -> torch.Tensor:
        planning = self.planning(batch, ctx)
        self.log(ctx, "planning_share", float(planning.sum() / batch.mask.sum().clamp_min(1)))
        return torch.where(planning, advantage + self.at(self.settings.alpha, ctx) * advantage.abs(), advantage)

    def planning(self, batch: Batch, ctx: Context) -> torch.Tensor:
        """bool [N, T]: loss tokens that lie in a phrase."""
        assert ctx.codec is not None
        spell, find = speller(ctx.codec), matcher(self.settings.phrases)
        out = torch.zeros_like(batch.mask)
        for row, rollout in enumerate(batch.rollouts):
            text, spans = spell(rollout.ids)
            found = [match.span(1) for match in find.finditer(text)]
            out[row, : len(spans)] = torch.tensor(touched(spans, found), dtype=torch.bool)
        return out & batch.mask
