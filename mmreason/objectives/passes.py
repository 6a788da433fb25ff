"""Forwards without gradient: under the policy before the update, under the reference, of given texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mmreason.config.grpo import GrpoSettings
from mmreason.groups.head import Extra, entropy
from mmreason.models.codec import Encoded
from mmreason.models.distributed import idle, rounds
from mmreason.models.policy import by_tokens
from mmreason.models.rows import make_rows
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Need
from mmreason.objectives.reference import Reference
from mmreason.objectives.update import Grown, forward


def frozen_passes(
    policy: torch.nn.Module,
    reference: Reference | None,
    grown: Sequence[Grown],
    batch: Batch,
    grpo: GrpoSettings,
    needs: frozenset[Need],
) -> dict[str, torch.Tensor]:
    """The entries of `Batch.aux` that somebody needs.

    With one update a step and nobody asking, the policy before the update is the policy of the update, whose own
    log-probabilities, detached, are logp_old: no pass is spent on it.
    """
    aux: dict[str, torch.Tensor] = {}
    if needs & {Need.LOGP_OLD, Need.ENTROPY_OLD}:
        made = frozen(policy, grown, batch, grpo, with_entropy=Need.ENTROPY_OLD in needs)
        aux |= {f"{name}_old": values for name, values in made.items()}
    if reference is not None:
        with reference.active() as other:
            aux["logp_ref"] = frozen(other, grown, batch, grpo)["logp"]
    return aux


@torch.no_grad()
def frozen(
    policy: torch.nn.Module, grown: Sequence[Grown], batch: Batch, grpo: GrpoSettings, *, with_entropy: bool = False
) -> dict[str, torch.Tensor]:
    """`logp` and, if asked, `entropy` of all rows [N, T] in the batch's order, on the CPU."""
    extras: dict[str, Extra] = {"entropy": entropy} if with_entropy else {}
    out: dict[str, torch.Tensor] = {}
    parts = by_tokens([one.tree for one in grown], grpo.micro_tokens)
    count = rounds(policy, len(parts))
    for part in parts:
        chosen = [grown[index] for index in part]
        made = forward(policy, chosen, batch, grpo.sampling.temperature, extras)
        rows = [row for one in chosen for row in one.rows]
        for name, values in made.items():
            whole = out.setdefault(name, torch.zeros(batch.mask.shape, dtype=values.dtype))
            whole[rows] = values.cpu()
    for _ in range(len(parts), count):
        idle(policy)
    return out


@torch.no_grad()
def teacher_forced(
    policy: torch.nn.Module, pairs: Sequence[tuple[Encoded, Sequence[int]]], pad_id: int, grpo: GrpoSettings
) -> list[torch.Tensor]:
    """Log-probabilities [T] of given ids after a prompt, one tensor a pair, on the CPU."""
    out: list[torch.Tensor] = []
    start = 0
    while start < len(pairs):
        held, end = 0, start
        while end < len(pairs) and (end == start or held + _length(pairs[end]) <= grpo.micro_tokens):
            held += _length(pairs[end])
            end += 1
        part = pairs[start:end]
        device = next(policy.parameters()).device
        rows = make_rows([prompt for prompt, _ in part], [ids for _, ids in part], pad_id, device)
        logp = policy(rows, grpo.sampling.temperature)["logp"].cpu()
        out += [logp[index, : len(ids)] for index, (_, ids) in enumerate(part)]
        start = end
    return out


def _length(pair: tuple[Encoded, Sequence[int]]) -> int:
    return len(pair[0].ids) + len(pair[1])
