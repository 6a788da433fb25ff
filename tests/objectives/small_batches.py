"""Batches of a few tokens, built directly, for tests of methods."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from mmreason.config.recipe import Sampling
from mmreason.models.tokenizer import train_tokenizer
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.method import Context, Forward
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop


def context(**fields: Any) -> Context:
    """Step 1 of 10."""
    return Context(**({"step": 1, "total": 10, "seed": 0, "group_size": 2, "sampling": Sampling()} | fields))


def rollout(ids: Sequence[int], **fields: Any) -> Rollout:
    """One answer with these ids."""
    return Rollout((1,), tuple(ids), (0.0,) * len(ids), "", Stop.EOS, **fields)


def sample(name: str = "q1") -> Sample:
    """A question by name."""
    return Sample(
        name, Source("toy", "train", "cc0", name), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1")
    )


def rows(
    rollouts: Sequence[Rollout],
    reward: Sequence[float] | None = None,
    group: Sequence[int] | None = None,
    **aux: torch.Tensor,
) -> Batch:
    """All rows of one group, unless said; `reward` is the verifier's verdict too."""
    given = list(reward or [0.0] * len(rollouts))
    made = make_batch(rollouts, [sample()] * len(rollouts), group or [0] * len(rollouts), given, given)
    made.aux |= aux
    return made


def tokens(*lengths: int, **fields: Any) -> Batch:
    """Rows of so many tokens each."""
    return rows([rollout(range(length)) for length in lengths], **fields)


def forward(logp: Any, old: Any = None, entropy: Any = None, **extras: torch.Tensor) -> Forward:
    """Float64 quantities of the new policy from nested lists; `old` is `logp` and `entropy` 0 unless given."""
    new = torch.as_tensor(logp, dtype=torch.float64)
    before = new.detach() if old is None else torch.as_tensor(old, dtype=torch.float64)
    heat = torch.zeros_like(before) if entropy is None else torch.as_tensor(entropy, dtype=torch.float64)
    return Forward(new, before, heat, extras)


def codec(*texts: str) -> Any:
    """What a method reads of a codec: a real tokenizer, trained on the texts."""
    return SimpleNamespace(tokenizer=train_tokenizer(texts, 400))
