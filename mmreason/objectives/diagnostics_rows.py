"""One number a row, made where its group is whole, so that rows of several processes can be thrown together.

Axes: N rows, T widest answer, K columns.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Sequence

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


def alone(rows: torch.Tensor) -> torch.Tensor:
    """The `Gather` of a single process."""
    return rows


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


def reward_columns(batch: Batch) -> Columns:
    """Rewards and what a row knows of its group; `share` is 1 / sampled rows of the group: shares add up to groups.

    Raises FloatingPointError on a reward or term that is no number.
    """
    everyone = torch.ones(len(batch), dtype=torch.bool)
    values = {"reward": batch.reward, "correct": batch.correct}
    values |= {f"term/{name}": term for name, term in batch.terms.items()}
    names = [sample.id for sample in batch.samples]
    for name, column in values.items():
        check_finite(name, column, everyone, names, "mend the reward function or drop the sample")
    external = batch.external.double()
    own = torch.tensor([_sampled(rollout) for rollout in batch.rollouts], dtype=torch.float64)
    size = batch.by_group(own, "sum").clamp_min(1.0)
    flat = batch.by_group(batch.reward, "amax") == batch.by_group(batch.reward, "amin")
    rate = batch.by_group(own * batch.correct, "sum") / size
    values |= {"own": own, "share": own / size, "flat": flat.double(), "rate": rate}
    return values | {"external": external, "replayed": 1.0 - own - external}


def length_columns(batch: Batch) -> Columns:
    """Lengths, ends, turns and forks. `new` are the tokens that were sampled for this row alone."""
    written = [_written(rollout) for rollout in batch.rollouts]
    columns: dict[str, list[float]] = {
        "length": [len(ids) for ids in written],
        "repetition": [repetition(ids) for ids in written],
        "new": [_new_tokens(rollout) for rollout in batch.rollouts],
        "ids": [len(rollout.ids) for rollout in batch.rollouts],
        "fork": [rollout.fork for rollout in batch.rollouts],
        "truncated": [rollout.stop is Stop.LENGTH for rollout in batch.rollouts],
        "eos": [rollout.stop is Stop.EOS for rollout in batch.rollouts],
        "turns": [len({p.turn for p in rollout.pieces if p.kind.trained}) for rollout in batch.rollouts],
        "tool": [sum(p.end - p.start for p in r.pieces if p.kind is SegmentKind.TOOL) for r in batch.rollouts],
    }
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in columns.items()}


def term_columns(batch: Batch, terms: Sequence[Terms]) -> Columns:
    """Form and readings: `read` counts the distinct answers of the group, `mixed` is their entropy in nats."""
    if len(terms) != len(batch):
        raise ValueError(f"{len(terms)} terms for {len(batch)} rows")
    plain = [(term.format, term.verdict.outcome is Outcome.UNREAD, term.think_empty) for term in terms]
    columns = torch.tensor(plain, dtype=torch.float64).reshape(-1, 3).unbind(1)
    distinct, entropy = torch.zeros(len(batch), dtype=torch.float64), torch.zeros(len(batch), dtype=torch.float64)
    for number in batch.numbers():
        mine = batch.rows_of(number)
        own = [terms[row] for row in mine.tolist() if _sampled(batch.rollouts[row])]
        counts = Counter(term.verdict.read for term in own if term.verdict.read is not None)
        shares = [count / counts.total() for count in counts.values()]
        distinct[mine] = len(counts)
        entropy[mine] = sum(-share * math.log(share) for share in shares)
    return {**dict(zip(("format", "unread", "empty_think"), columns, strict=True)), "read": distinct, "mixed": entropy}


def _sampled(rollout: Rollout) -> bool:
    """Neither another's answer nor one of an earlier step, which brings its advantage along."""
    return not rollout.external and "advantage" not in rollout.extras


def _written(rollout: Rollout) -> list[int]:
    return [token for piece in rollout.pieces if piece.kind.trained for token in rollout.ids[piece.start : piece.end]]


def _new_tokens(rollout: Rollout) -> int:
    return sum(max(p.end - max(p.start, rollout.fork), 0) for p in rollout.pieces if p.kind.trained)


def own_rows(columns: Columns, gather: Gather) -> tuple[Columns, dict[str, float]]:
    """Sampled rows of all processes, and the shares of the others."""
    table = gather(torch.stack(list(columns.values()), 1))
    column = dict(zip(columns, table.unbind(1), strict=True))
    own = column["own"] > 0
    others = {f"rows/{key}": float(column[key].mean()) for key in ("external", "replayed") if len(own)}
    return {name: values[own] for name, values in column.items()}, others
