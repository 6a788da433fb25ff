"""The protocol of a sampling engine, and the record it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import torch

from mmreason.config.recipe import Sampling
from mmreason.records import Sample


class Stop(StrEnum):
    """Why generation ended."""

    EOS = "eos"
    """The model closed its turn."""
    LENGTH = "length"
    """Cut by max_new_tokens."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One sampled answer, with the exact ids of the engine; never decoded and tokenised again."""

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    """Generated ids, the end-of-turn token included when `stop` is EOS."""
    logprobs: tuple[float, ...]
    """Log-probability of each id under the model at the sampling temperature, before top-p cuts."""
    text: str
    """Decoded without special tokens."""
    stop: Stop


class Engine(Protocol):
    """Samples answers. `n` answers a prompt; the same seed and inputs give the same ids."""

    def generate(
        self,
        samples: Sequence[Sample],
        sampling: Sampling,
        n: int = 1,
        seed: int = 0,
        on_done: Callable[[int], None] | None = None,
    ) -> list[list[Generation]]:
        """A list of `n` generations for each sample, in order; `on_done(k)` as k more answers finish."""
        ...


class TrainingEngine(Engine, Protocol):
    """An engine that samples from the model being trained.

    `prefills` counts prompts forwarded since it was made, `syncs` weight hand-overs.
    """

    prefills: int
    syncs: int

    def sync(self, weights: Callable[[], Iterable[tuple[str, torch.Tensor]]]) -> None:
        """Sample from these weights from now on. An engine that shares the trained tensors does not call it."""
        ...
