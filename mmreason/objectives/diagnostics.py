"""What a step's rollouts and advantages look like, as plain numbers (zoo, section 5).

Several processes give the numbers of one: rows are gathered before a median is taken, sums are added before a mean is.
A metric without rows or tokens to speak of is left out, never 0. `training/README.md` explains each.
Axes: N rows, T widest answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from mmreason.objectives.batch import Batch
from mmreason.objectives.diagnostics_rows import (
    Columns,
    Gather,
    alone,
    check_finite,
    length_columns,
    own_rows,
    reward_columns,
    term_columns,
)
from mmreason.rewards.terms import Terms

BINS = 5
"""Equal parts of 0..1 that pass rates are counted in."""


def rollout_metrics(
    batch: Batch,
    limit: int,
    terms: Sequence[Terms] | None = None,
    weights: Mapping[str, float] | None = None,
    gather: Gather = alone,
) -> dict[str, float]:
    """Rewards, groups, lengths and turns of the rows that the policy sampled, before filtering.

    `limit` is the most tokens of an answer in this step; `terms`, one a row, bring format, unread, empty_think and
    answers/*; `weights` are those of the added reward terms (1 where none is given). External and replayed rows count
    in rows/* and in their group's variance alone. Raises FloatingPointError on a reward or term that is no number.
    """
    columns = {**reward_columns(batch), **length_columns(batch)}
    if terms is not None:
        columns |= term_columns(batch, terms)
    rows, values = own_rows(columns, gather)
    if len(rows["reward"]):
        values |= _rewards(rows, weights or {}) | _groups(rows) | _lengths(rows, limit) | _shapes(rows)
    return values


def kept_metrics(before: Batch, after: Batch, gather: Gather = alone) -> dict[str, float]:
    """What filtering left: share of the groups, and the first numbers again over the rows kept."""
    first, _ = own_rows(reward_columns(before), gather)
    kept, _ = own_rows(reward_columns(after), gather)
    values = {"kept/groups": float(kept["share"].sum() / first["share"].sum())} if len(first["share"]) else {}
    if len(kept["share"]):
        values |= {
            "kept/reward": float(kept["reward"].mean()),
            "kept/accuracy": float(kept["correct"].mean()),
            "kept/zero_advantage_groups": _over_groups(kept, "flat"),
        }
    return values


def advantage_metrics(
    batch: Batch,
    advantage: torch.Tensor,
    mask: torch.Tensor | None = None,
    total: Callable[[float], float] = float,
    largest: Callable[[float], float] = float,
) -> dict[str, float]:
    """Spread and signs of the advantage, [N] or [N, T], over the loss tokens `mask` (the batch's own by default)."""
    mask = batch.mask if mask is None else mask
    spread = (advantage if advantage.dim() == 2 else advantage.unsqueeze(1)).expand(mask.shape)
    check_finite("advantage", spread, mask, [sample.id for sample in batch.samples], "look at its reward terms")
    own = spread[mask].double()
    count = total(float(len(own)))
    gain, loss = total(float(own.clamp_min(0.0).sum())), total(float(own.clamp_max(0.0).sum()))
    square, peak = total(float(own.square().sum())), largest(float(own.abs().max()) if len(own) else 0.0)
    above, zero = total(float((own > 0).sum())), total(float((own == 0).sum()))
    if not count:
        return {}
    mean = (gain + loss) / count
    return {
        "adv/mean": mean,
        "adv/std": math.sqrt(max(square / count - mean * mean, 0.0)),
        "adv/max_abs": peak,
        "adv/pos_frac": above / count,
        "adv/zero_frac": zero / count,
        "adv/sum_pos": gain,
        "adv/sum_neg": loss,
    }


def _over_groups(rows: Columns, name: str) -> float:
    """Mean over groups of something that all rows of a group share."""
    return float((rows[name] * rows["share"]).sum() / rows["share"].sum())


def _rewards(rows: Columns, weights: Mapping[str, float]) -> dict[str, float]:
    spread = float(rows["reward"].std(correction=0))
    values = {"reward": float(rows["reward"].mean()), "reward/std": spread, "accuracy": float(rows["correct"].mean())}
    values |= {key: float(rows[key].mean()) for key in ("format", "unread", "empty_think") if key in rows}
    for key in (name for name in rows if name.startswith("term/")):
        weighted = abs(weights.get(key.removeprefix("term/"), 1.0)) * float(rows[key].std(correction=0))
        values |= {f"{key}/mean": float(rows[key].mean()), f"{key}/weight": weighted / spread if spread else 0.0}
    return values


def _groups(rows: Columns) -> dict[str, float]:
    rate, share = rows["rate"], rows["share"]
    groups = float(share.sum())
    values = {
        "zero_advantage_groups": _over_groups(rows, "flat"),
        "groups/all_right": float(share[rate == 1.0].sum()) / groups,
        "groups/all_wrong": float(share[rate == 0.0].sum()) / groups,
        "groups/size": len(rate) / groups,
    }
    place = (rate * BINS).floor().clamp_max(BINS - 1)
    values |= {f"pass_rate/{index}": float(share[place == index].sum()) / groups for index in range(BINS)}
    if "read" in rows:
        values |= {"answers/distinct": _over_groups(rows, "read"), "answers/entropy": _over_groups(rows, "mixed")}
    return values


def _lengths(rows: Columns, limit: int) -> dict[str, float]:
    length, right = rows["length"], rows["correct"] > 0
    median, high = torch.quantile(length, torch.tensor([0.5, 0.95], dtype=length.dtype)).tolist()
    values = {"length": float(length.mean()), "len/p50": median, "len/p95": high, "len/max": float(length.max())}
    values |= {"len/limit": float(limit), "tokens/generated": float(rows["new"].sum())}
    values |= {"len/tail": values["len/max"] / median} if median else {}
    means = {key: float(length[own].mean()) for key, own in (("correct", right), ("wrong", ~right)) if own.any()}
    values |= {f"len/{key}": mean for key, mean in means.items()}
    if means.get("correct") and "wrong" in means:
        values["len/ratio"] = means["wrong"] / means["correct"]
    values |= {"truncated": float(rows["truncated"].mean()), "stop/eos": float(rows["eos"].mean())}
    return {**values, "repetition": float(rows["repetition"].mean())}


def _shapes(rows: Columns) -> dict[str, float]:
    """Turns and trees, where there are any."""
    values: dict[str, float] = {}
    if rows["turns"].max() > 1 or rows["tool"].any():
        values |= {"agent/turns": float(rows["turns"].mean()), "agent/tool_tokens": float(rows["tool"].mean())}
    if rows["fork"].any():
        roots = float((rows["fork"] == 0).sum() / rows["share"].sum())
        values |= {"tree/roots": roots, "tree/shared": float(rows["fork"].sum() / rows["ids"].sum())}
    return values
