"""The protocol of a sampling engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from mmreason.config.recipe import Sampling
from mmreason.records import Rollout, Sample

if TYPE_CHECKING:
    from mmreason.models.codec import Codec, Encoded
    from mmreason.models.medium import Medium


@dataclass(frozen=True, slots=True)
class Request:
    """What to go on from: a prompt, and the part of an answer that is already there."""

    sample: Sample
    prompt: Encoded
    """The context to sample from; it need not be the sample's own prompt (hints, rubrics)."""
    begun: tuple[int, ...] = ()
    """Ids after the prompt, whoever wrote them."""
    media: tuple[Medium, ...] = ()
    """Pictures and clips inside `begun`, in order."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller wants beyond plain answers. An engine that cannot do it raises UserError naming the wish."""

    entropies: bool = False
    """Fill `Rollout.entropies`."""
    stop_ids: tuple[int, ...] = ()
    """Ids that end a piece besides the end of turn (a closed tool call); `Stop.CUT` then."""
    heat: Callable[[torch.Tensor], torch.Tensor] | None = None
    """Log-probabilities [N, V] at the sampling temperature -> factor on the temperature [N]."""
    max_new_tokens: int | None = None
    """In place of the sampling's own limit."""


PLAIN = Asked()
"""No wishes."""


class Engine(Protocol):
    """Samples answers. `n` answers a prompt; the same seed and inputs give the same ids."""

    codec: Codec

    def generate(
        self,
        samples: Sequence[Sample],
        sampling: Sampling,
        n: int = 1,
        seed: int = 0,
        on_done: Callable[[int], None] | None = None,
    ) -> list[list[Rollout]]:
        """A list of `n` answers for each sample, in order; `on_done(k)` as k more finish."""
        ...

    def extend(
        self, requests: Sequence[Request], sampling: Sampling, n: int = 1, seed: int = 0, asked: Asked = PLAIN
    ) -> list[list[Rollout]]:
        """`n` continuations of each request, in order. Their `ids`, `logprobs`, `text` are of the new part alone."""
        ...


def session_of(engine: Engine) -> AbstractContextManager[object]:
    """The engine's own `session`, in which each call goes on from what the calls before have forwarded; where it has
    none (vLLM keeps prefixes itself), a block that changes nothing."""
    opened: Callable[[], AbstractContextManager[object]] = getattr(engine, "session", nullcontext)
    return opened()


class TrainingEngine(Engine, Protocol):
    """An engine that samples from the model being trained.

    `prefills` counts contexts forwarded since it was made, `syncs` weight hand-overs.
    """

    prefills: int
    syncs: int

    def sync(self, weights: Callable[[], Iterable[tuple[str, torch.Tensor]]]) -> None:
        """Sample from these weights from now on. An engine that shares the trained tensors does not call it."""
        ...
