"""One token a row from logits [N, V]: tempered, perhaps heated row by row, cut by top-p, and what is reported of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from mmreason.config.recipe import Sampling

Heat = Callable[[torch.Tensor], torch.Tensor]
"""Log-probabilities [N, V] at the sampling temperature -> factor on the temperature [N], above 0."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One token for each of N rows."""

    token: torch.Tensor  # int64 [N]
    logp: torch.Tensor  # [N], at the temperature used, before the top-p cut
    temperature: torch.Tensor  # [N], 1 for a greedy draw
    distribution: torch.Tensor  # [N, V], the log-probabilities that `logp` was taken from

    @property
    def entropy(self) -> torch.Tensor:
        """Nats [N], at the temperature used."""
        terms: torch.Tensor = torch.special.entr(self.distribution.exp())
        return terms.sum(-1)


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator, heat: Heat | None = None) -> Drawn:
    """Draw from logits [N, V].

    Temperature 0 is greedy and reports log-probabilities at temperature 1. Top-p keeps the smallest set of tokens
    whose mass reaches `top_p`; the log-probability reported is that before the cut. `heat` multiplies the temperature
    of each row by a factor of its own; impossible tokens reach it with the smallest finite number, so that p log p
    is 0 there. Raises FloatingPointError where the model gives no numbers.
    """
    used = logits.new_full(logits.shape[:1], sampling.temperature or 1.0)
    logp = torch.log_softmax(logits / (sampling.temperature or 1.0), dim=-1)
    if heat is not None:
        used = used * heat(logp.clamp_min(torch.finfo(logp.dtype).min)).to(used)
        logp = torch.log_softmax(logits / used.unsqueeze(-1), dim=-1)
    if logp.isnan().any():  # argmax would take it for the largest, multinomial would end a GPU's process
        raise FloatingPointError(
            "the model's log-probabilities are NaN: look for NaN in its weights, or lower optim.lr"
        )
    if sampling.temperature == 0.0:
        token = logp.argmax(-1)
    else:
        token = torch.multinomial(_nucleus(logp.exp(), sampling.top_p), 1, generator=generator).squeeze(-1)
    return Drawn(token, logp.gather(-1, token.unsqueeze(-1)).squeeze(-1), used, logp)


def _nucleus(probs: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero the tail beyond `top_p`; the most likely token always stays."""
    if top_p >= 1.0:
        return probs
    ordered, index = probs.sort(dim=-1, descending=True)
    tail = ordered.cumsum(-1) - ordered >= top_p
    return probs.masked_fill(tail.scatter(-1, index, tail), 0.0)
