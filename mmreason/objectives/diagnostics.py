"""What a step's rollouts and advantages look like, as plain numbers (zoo, section 5).

Several processes give the numbers of one: rows are gathered before a median is taken, sums are added before a mean is.
A metric without rows or tokens to speak of is left out, never 0; `training/README.md` explains
each. Axes: N rows, T widest answer, K columns.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import torch

from mmreason.objectives.batch import Batch
from mmreason.records import Outcome, Rollout, SegmentKind, Stop
from mmreason.rewards.terms import Terms

Gather = Callable[[torch.Tensor], torch.Tensor]
"""From this process's float64 [N, K] to the rows of all processes; every process calls it and gets the same."""
Columns = dict[str, torch.Tensor]
"""Name -> float64 [N]."""

NGRAM = 20
"""Ids of a run whose return counts as repetition (zoo, section 5)."""
BINS = 5


def alone(rows: torch.Tensor) -> torch.Tensor:
    """The `Gather` of a single process."""
    return rows


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
    columns = {**_reward_columns(batch), **_length_columns(batch)}
    if terms is not None:
        columns |= _term_columns(batch, terms)
    rows, values = _own_rows(columns, gather)
    if len(rows["reward"]):
        values |= _rewards(rows, weights or {}) | _groups(rows) | _lengths(rows, limit) | _shapes(rows)
    return values


def kept_metrics(before: Batch, after: Batch, gather: Gather = alone) -> dict[str, float]:
    """What filtering left: share of the groups, and the first numbers again over the rows kept."""
    first, _ = _own_rows(_reward_columns(before), gather)
    kept, _ = _own_rows(_reward_columns(after), gather)
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


def check_finite(name: str, values: torch.Tensor, mask: torch.Tensor, ids: Sequence[str], remedy: str) -> None:
    """Raise FloatingPointError for the first value under `mask` that is NaN or infinite; [N] or [N, T] each.

    What lies outside the mask may be anything.
    """
    broken = ~torch.isfinite(values) & mask
    if not broken.any():
        return
    row, *token = broken.nonzero()[0].tolist()
    where = f" at answer token {token[0]}" if token else ""
    found = float(values[(row, *token)])
    raise FloatingPointError(f"{name} of sample {ids[row]} is {found}{where}, expected a finite number: {remedy}")


def repetition(ids: Sequence[int]) -> float:
    """Share of the runs of 20 ids that occurred before in the same answer; 0 for shorter answers."""
    count = len(ids) - NGRAM + 1
    if count < 1:
        return 0.0
    packed = array("i", ids)
    size, raw = packed.itemsize, packed.tobytes()
    return 1.0 - len({raw[at * size : (at + NGRAM) * size] for at in range(count)}) / count


# Columns: one number a row, made where the group is whole, so that gathered rows need no group numbers.


def _reward_columns(batch: Batch) -> Columns:
    everyone = torch.ones(len(batch), dtype=torch.bool)
    values = {"reward": batch.reward, "correct": batch.correct}
    values |= {f"term/{name}": term for name, term in batch.terms.items()}
    names = [sample.id for sample in batch.samples]
    for name, column in values.items():
        check_finite(name, column, everyone, names, "mend the reward function or drop the sample")
    external = batch.external.bool()  # no rows give a float tensor
    replayed = torch.tensor(["advantage" in rollout.extras for rollout in batch.rollouts], dtype=torch.bool) & ~external
    own = (~external & ~replayed).double()
    size = batch.by_group(own, "sum").clamp_min(1.0)
    flat = batch.by_group(batch.reward, "amax") == batch.by_group(batch.reward, "amin")
    rate = batch.by_group(own * batch.correct, "sum") / size
    values |= {"own": own, "share": own / size, "flat": flat.double(), "rate": rate}
    return values | {"external": external, "replayed": replayed}


def _length_columns(batch: Batch) -> Columns:
    written = [_written(rollout) for rollout in batch.rollouts]
    columns: dict[str, list[float]] = {
        "length": [len(ids) for ids in written],
        "repetition": [repetition(ids) for ids in written],
        "new": [sum(rollout.trained[rollout.fork :]) for rollout in batch.rollouts],
        "ids": [len(rollout.ids) for rollout in batch.rollouts],
        "fork": [rollout.fork for rollout in batch.rollouts],
        "truncated": [rollout.stop is Stop.LENGTH for rollout in batch.rollouts],
        "eos": [rollout.stop is Stop.EOS for rollout in batch.rollouts],
        "turns": [len({p.turn for p in rollout.pieces if p.kind.trained}) for rollout in batch.rollouts],
        "tool": [
            sum(p.end - p.start for p in rollout.pieces if p.kind is SegmentKind.TOOL) for rollout in batch.rollouts
        ],
    }
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in columns.items()}


def _term_columns(batch: Batch, terms: Sequence[Terms]) -> Columns:
    if len(terms) != len(batch):
        raise ValueError(f"{len(terms)} terms for {len(batch)} rows")
    plain = [(term.format, term.verdict.outcome is Outcome.UNREAD, term.think_empty) for term in terms]
    columns = torch.tensor(plain, dtype=torch.float64).reshape(-1, 3).unbind(1)
    distinct, entropy = torch.zeros(len(batch), dtype=torch.float64), torch.zeros(len(batch), dtype=torch.float64)
    for number in batch.numbers():
        mine = batch.rows_of(number)
        own = [terms[row] for row in mine.tolist() if not batch.rollouts[row].external]
        counts = Counter(term.verdict.read for term in own if term.verdict.read is not None)
        shares = [count / counts.total() for count in counts.values()]
        distinct[mine] = len(counts)
        entropy[mine] = -sum(share * math.log(share) for share in shares)
    return {**dict(zip(("format", "unread", "empty_think"), columns, strict=True)), "read": distinct, "mixed": entropy}


def _written(rollout: Rollout) -> list[int]:
    return [token for token, own in zip(rollout.ids, rollout.trained, strict=True) if own]


def _own_rows(columns: Columns, gather: Gather) -> tuple[Columns, dict[str, float]]:
    """Sampled rows of all processes, and the shares of the others."""
    table = gather(torch.stack([column.double() for column in columns.values()], 1))
    column = dict(zip(columns, table.unbind(1), strict=True))
    own = column["own"] > 0
    others = {f"rows/{key}": float(column[key].mean()) for key in ("external", "replayed") if len(own)}
    return {name: values[own] for name, values in column.items()}, others


# Numbers from columns


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
