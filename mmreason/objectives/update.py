"""Step 8: from a batch with advantages to one optimiser update, micro-batch by micro-batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from mmreason.config.grpo import GrpoSettings
from mmreason.config.schedule import value
from mmreason.groups.head import Extra, entropy
from mmreason.groups.tree import Branch, Tree
from mmreason.models.distributed import idle, rounds
from mmreason.models.learner import Learner
from mmreason.models.policy import Policy, by_tokens
from mmreason.objectives.batch import Batch
from mmreason.objectives.compose import Composition
from mmreason.objectives.diagnostics_tokens import tokens_of
from mmreason.objectives.diagnostics_update import UpdateSums
from mmreason.objectives.kl import divergence
from mmreason.objectives.method import Context, Forward, Ratio
from mmreason.objectives.mismatch import mismatch_weights
from mmreason.objectives.ratio import make_ratio
from mmreason.objectives.surrogate import token_loss
from mmreason.run import processes


@dataclass(frozen=True, slots=True)
class Grown:
    """A group's tree and the rows of the batch that its branches are."""

    tree: Tree
    rows: list[int]


def grow(policy: Policy, batch: Batch) -> list[Grown]:
    """One tree for each context of each group (one a group, unless a method samples from several)."""
    contexts: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for row, (number, rollout) in enumerate(zip(batch.group.tolist(), batch.rollouts, strict=True)):
        contexts.setdefault((number, rollout.prompt_ids), []).append(row)
    grown = []
    for rows in contexts.values():
        branches = [_branch(batch, row) for row in rows]
        grown.append(Grown(policy.tree(branches, batch.samples[rows[0]].id), rows))
    return grown


def _branch(batch: Batch, row: int) -> Branch:
    rollout = batch.rollouts[row]
    media = batch.media[row] if batch.media else ()
    return Branch(rollout.prompt_ids, rollout.ids, media, rollout.trained)


def forward(
    policy: torch.nn.Module, grown: Sequence[Grown], batch: Batch, temperature: float, extras: Mapping[str, Extra]
) -> dict[str, torch.Tensor]:
    """`logp` and `extras` [n, T] of the rows of `grown` in their order, on the CPU's or the model's device."""
    heat = batch.take([row for one in grown for row in one.rows]).temperatures(temperature)
    made = policy([one.tree for one in grown], heat, extras)
    width = batch.mask.shape[1]
    return {name: torch.nn.functional.pad(v, (0, width - v.shape[1])) for name, v in made.items()}


def in_updates(kept: Sequence[int], grown: Sequence[Grown], batch: Batch, size: int) -> list[list[Grown]]:
    """The step's trees cut into updates of `size` groups; every process gets as many updates as any has."""
    count = -(-int(processes.largest(len(kept))) // size)
    parts = [set(kept[size * index : size * (index + 1)]) for index in range(count)]
    return [[one for one in grown if int(batch.group[one.rows[0]]) in part] for part in parts]


def update(
    learner: Learner,
    batch: Batch,
    grown: Sequence[Grown],
    advantage: torch.Tensor,
    weights: torch.Tensor,
    grpo: GrpoSettings,
    composition: Composition,
    ctx: Context,
    number: int,
    sums: UpdateSums | None = None,
    *,
    first: bool = False,
) -> dict[str, float]:
    """One optimiser update on the rows of `grown`; `advantage` and `weights` are float64 [N, T] of the whole batch.

    `first` marks the first update of a step, whose ratios must be 1.
    """
    parts = by_tokens([one.tree for one in grown], grpo.micro_tokens)
    loss_sum, count = 0.0, rounds(learner.model, len(parts))
    for index, part in enumerate(parts):
        chosen = [grown[place] for place in part]
        rows = [row for one in chosen for row in one.rows]
        tokens, scalar = micro_loss(
            learner.model, batch, chosen, advantage[rows], weights[rows], grpo, composition, ctx, sums, first=first
        )
        loss = tokens + scalar / len(parts)
        learner.backward(loss, last=index + 1 == count)
        loss_sum += float(loss.detach())
    for index in range(len(parts), count):
        learner.backward(idle(learner.model), last=index + 1 == count)
    return {"loss": processes.total(loss_sum), **learner.step(number)}


def micro_loss(
    policy: torch.nn.Module,
    batch: Batch,
    chosen: Sequence[Grown],
    advantage: torch.Tensor,
    weights: torch.Tensor,
    grpo: GrpoSettings,
    composition: Composition,
    ctx: Context,
    sums: UpdateSums | None = None,
    *,
    first: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(weighted sum of token losses, scalars of regularisers) of one micro-batch, both with gradient."""
    extras = {name: run for each in composition.on(ctx.step) for name, run in each.method.head().items()}
    made = forward(policy, chosen, batch, grpo.sampling.temperature, {"entropy": entropy, **extras})
    logp = made.pop("logp")
    micro = batch.take([row for one in chosen for row in one.rows]).to(logp.device)
    advantage, weights, old = advantage.to(logp), weights.to(logp), micro.aux.get("logp_old")
    fw = Forward(logp, logp.detach() if old is None else old.to(logp), made.pop("entropy").detach(), made)
    fw.ratio = ratio_of(micro, fw, grpo, composition, ctx)

    weight, keep = torch.ones_like(logp), micro.mask
    for method in composition.all("shape", ctx.step):
        shaped = method.shape(advantage, micro, fw, ctx)
        advantage = shaped.advantage
        weight = weight if shaped.weight is None else weight * shaped.weight.to(weight)
        keep = keep if shaped.keep is None else keep & shaped.keep
    behaved = torch.tensor([not r.external and r.same_context for r in micro.rollouts], device=logp.device)
    gap = mismatch_weights(fw.old, micro.logp_roll.to(logp), micro.mask, behaved, grpo)
    loss = surrogate_of(advantage, weight * gap, micro, fw, grpo, composition, ctx)
    loss = torch.where(keep, loss, 0.0)

    reference, beta = micro.aux.get("logp_ref"), value(grpo.kl_beta, ctx.step, ctx.total)
    if beta > 0.0 and grpo.kl_place == "loss":
        assert reference is not None
        loss = loss + beta * torch.where(micro.mask, divergence(grpo.kl_estimator, logp, reference.to(logp)), 0.0)
    scalar = logp.new_zeros(())
    for method in composition.all("regularise", ctx.step):
        tokens, number = method.regularise(micro, fw, ctx)
        loss = loss if tokens is None else loss + torch.where(micro.mask, tokens, 0.0)
        scalar = scalar if number is None else scalar + number
    if sums is not None:
        final = torch.where(keep, weight * gap, 0.0) * weights
        sums.add(tokens_of(micro, fw, advantage, reference, final, gap), first)
    return (loss * weights).sum(), scalar


def ratio_of(micro: Batch, fw: Forward, grpo: GrpoSettings, composition: Composition, ctx: Context) -> Ratio:
    """A method's ratios and bounds, or the recipe's."""
    method = composition.one("ratio", ctx.step)
    if method is not None:
        return method.ratio(micro, fw, ctx)
    low, high = (value(c, ctx.step, ctx.total) for c in (grpo.clip_low, grpo.clip_high))
    return Ratio(make_ratio(grpo.ratio, fw.logp, fw.old, micro.mask), 1.0 - low, 1.0 + high)


def surrogate_of(
    advantage: torch.Tensor,
    weight: torch.Tensor,
    micro: Batch,
    fw: Forward,
    grpo: GrpoSettings,
    composition: Composition,
    ctx: Context,
) -> torch.Tensor:
    """Weighted loss of each token [n, T]; external rows have a rule of their own, which no weight changes."""
    method, other = (composition.one(hook, ctx.step) for hook in ("surrogate", "external"))
    if method is not None:
        loss = method.surrogate(advantage, micro, fw, ctx)
    else:
        r = fw.ratio
        assert r is not None
        loss = token_loss(grpo.surrogate, r.ratio, advantage, r.low, r.high, fw.logp, grpo.dual_clip)
    loss = loss * weight
    if other is None:
        return loss
    external = micro.external.to(loss.device).unsqueeze(1)
    return torch.where(external, other.external(advantage, micro, fw, ctx), loss)


def row_means(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[N]: mean of [N, T] over the tokens of `mask`, 0 for a row without any."""
    return torch.where(mask, values, 0.0).sum(1) / mask.sum(1).clamp_min(1)
