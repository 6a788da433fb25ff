"""What the composition makes of rewards, groups and shared beginnings, before any statistics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch

from mmreason.config.grpo import GrpoSettings
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch
from mmreason.objectives.compose import Active, Composition
from mmreason.objectives.method import Context
from mmreason.records import Stop

OVERLONG = "overlong"
"""Name of DAPO's penalty among `Batch.terms`."""


def shape_rewards(batch: Batch, composition: Composition, grpo: GrpoSettings, ctx: Context) -> Batch:
    """The batch with `reward` shaped, and each term by its method's name in `terms`, before its weight.

    In this order: terms that replace the reward, factors, weighted sums, DAPO's overlong penalty; each only for rows
    that its gate lets through. Gates ask `correct`, which nothing shapes. Terms see the rewards before all of them.
    Replayed rows keep the reward that they were stored with.
    Raises UserError naming method and sample where a reward is missing, not finite, or of another length or type.
    """
    reward = _checked(batch.reward, "the recipe's reward", batch)
    on = composition.having("reward", ctx.step)
    terms = {each.name: _checked(each.method.reward(batch, ctx), f"method {each.name}", batch) for each in on}
    for each in _in_order(on):
        term = terms[each.name]
        if each.method.combine == "mul":
            term = reward * term
        elif each.method.combine == "add":
            term = reward + each.method.weight(ctx) * term
        reward = torch.where(_gate(each, batch), term, reward)
    if grpo.overlong_buffer > 0:
        terms[OVERLONG] = overlong_penalty(batch, ctx.sampling.max_new_tokens, grpo.overlong_buffer)
        reward = reward + grpo.overlong_factor * terms[OVERLONG]
    stored = [rollout.extras.get("reward") for rollout in batch.rollouts]
    own = torch.tensor([math.nan if value is None else float(value) for value in stored], dtype=torch.float64)
    reward = torch.where(own.isnan(), reward, own)
    return replace(batch, reward=reward, terms=batch.terms | terms)


def _in_order(on: list[Active]) -> Iterator[Active]:
    for how in ("replace", "mul", "add"):
        yield from (each for each in on if each.method.combine == how)


def _gate(each: Active, batch: Batch) -> torch.Tensor:
    """bool [N]: rows that the term reaches."""
    right = batch.correct > 0.0
    if each.method.gate == "always":
        return torch.ones_like(right)
    return right if each.method.gate == "if_ok" else ~right


def _checked(values: object, who: str, batch: Batch) -> torch.Tensor:
    """`values` if they are one finite float64 a row."""
    if not isinstance(values, torch.Tensor):
        first = batch.samples[0].id if batch.samples else "(none)"
        raise UserError(
            f"{who} gave {type(values).__name__} for the rewards of {len(batch)} answers, the first to sample {first}: "
            "return a float64 tensor with one number an answer"
        )
    if values.shape != (len(batch),) or values.dtype != torch.float64:
        beyond = batch.samples[min(values.shape[0], len(batch) - 1) if values.dim() else 0].id
        raise UserError(
            f"{who} gave {values.dtype} {list(values.shape)} for the rewards of {len(batch)} answers (sample {beyond} "
            f"is the first in doubt): return torch.float64 [{len(batch)}]"
        )
    wrong = (~values.isfinite()).nonzero().squeeze(-1).tolist()
    if wrong:
        row = wrong[0]
        raise UserError(
            f"{who} gave {values[row].item()} for an answer to sample {batch.samples[row].id} (row {row}, "
            f"{len(wrong)} of {len(batch)} rows): give every answer a finite number, 0 where nothing can be said"
        )
    return values


def overlong_penalty(batch: Batch, limit: int, buffer: int) -> torch.Tensor:
    """float64 [N]: 0 up to limit - buffer tokens, then falling in a line to -1 at the limit (DAPO, arXiv 2503.14476).

    The policy's own tokens count, not those of tools; answers of others are not judged by our limit. Raises UserError
    where the buffer does not lie below the limit: then every answer would be too long.
    """
    if buffer >= limit:
        raise UserError(
            f"grpo.overlong_buffer={buffer} does not lie below the limit of {limit} tokens: DAPO takes a fifth of the "
            f"limit, set grpo.overlong_buffer={max(limit // 5, 1)}"
        )
    over = (batch.length.double() - (limit - buffer)) / buffer
    return torch.where(batch.external, 0.0, -over.clamp(0.0, 1.0))


def keep_groups(batch: Batch, composition: Composition, grpo: GrpoSettings, ctx: Context) -> list[int]:
    """Numbers of the groups to train on, in order of appearance.

    Dynamic sampling (DAPO) keeps those with a right and a wrong answer. It comes after the rollout stages, so that
    rescued groups are seen as they are now, and goes by `correct`, so that small reward terms cannot make a group
    look mixed. Rows that leave the statistics are not asked: replayed ones with an advantage of their own, and those
    cut by the limit where `overlong` is mask. Methods see all groups; what each of them and dynamic sampling keep is
    kept. Raises UserError where a method keeps a group that does not exist.
    """
    numbers = batch.numbers()
    kept = {number for number in numbers if grpo.dynamic_sampling == 0 or _mixed(batch, number, grpo)}
    for each in composition.having("select", ctx.step):
        chosen = set(each.method.select(batch, ctx))
        if not chosen <= set(numbers):
            raise UserError(
                f"method {each.name} keeps the groups {sorted(chosen - set(numbers))}, which this step does not have: "
                f"`select` gives numbers out of {numbers}"
            )
        kept &= chosen
    return [number for number in numbers if number in kept]


def _mixed(batch: Batch, number: int, grpo: GrpoSettings) -> bool:
    rows = [row for row in batch.rows_of(number).tolist() if "advantage" not in batch.rollouts[row].extras]
    if not rows:
        return True
    if grpo.overlong == "mask":
        rows = [row for row in rows if batch.rollouts[row].stop is not Stop.LENGTH]
    return 0 < int((batch.correct[rows] > 0.0).sum()) < len(rows)


def shared_prefix_weights(batch: Batch, how: Literal["divide", "once"]) -> torch.Tensor:
    """float64 [N, T], 0 outside `mask`: a token that k answers of a tree train weighs 1/k in each ("divide"), or 1 in
    the first of them and 0 in the others ("once").

    Shared means descended from one rollout through `parent` and `fork`, and in the loss of each of the k: a branch
    whose beginning is masked does not train it, so it does not count.
    """
    if not any(rollout.parent >= 0 for rollout in batch.rollouts):
        return batch.mask.double()
    rows, columns = batch.mask.nonzero(as_tuple=True)
    width = batch.mask.shape[1]
    keys = _owners(batch)[rows, columns] * width + columns
    _, place, count = keys.unique(return_inverse=True, return_counts=True)
    if how == "divide":
        values = 1.0 / count[place].double()
    else:
        first = torch.full_like(count, len(batch)).scatter_reduce(0, place, rows, "amin")
        values = (rows == first[place]).double()
    weights = torch.zeros(batch.mask.shape, dtype=torch.float64)
    weights[rows, columns] = values
    return weights


def _owners(batch: Batch) -> torch.Tensor:
    """int64 [N, T]: the row that a token was first written in."""
    owners = torch.arange(len(batch)).unsqueeze(1).repeat(1, batch.mask.shape[1])
    for number in batch.numbers():
        rows = batch.rows_of(number).tolist()
        for place, row in enumerate(rows):
            rollout = batch.rollouts[row]
            if rollout.parent < 0:
                continue
            if rollout.parent >= place:
                raise UserError(
                    f"sample {batch.samples[row].id}: answer {place} forks from answer {rollout.parent}, which does "
                    "not stand before it in its group; put parents first"
                )
            owners[row, : rollout.fork] = owners[rows[rollout.parent], : rollout.fork]
    return owners
