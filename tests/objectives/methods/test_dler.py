"""The limit as the only penalty, the filter on what counts within it, and the whitened advantage."""

from __future__ import annotations

import pytest
import torch

from mmreason.config.recipe import Sampling
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.method import Context
from mmreason.objectives.methods.dler import DLER
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop
from mmreason.records.rollout import Segment, SegmentKind

SAMPLE = Sample("q", Source("own", "train", "MIT", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1"))


def row(length: int, stop: Stop = Stop.EOS, tool: int = 0) -> Rollout:
    pieces = (Segment(0, length), Segment(length, length + tool, SegmentKind.TOOL)) if tool else ()
    return Rollout((1,), (5,) * (length + tool), (0.0,) * (length + tool), "", stop, pieces)


def make(rows: list[Rollout], groups: list[int], correct: list[float], reward: list[float] | None = None) -> Batch:
    return make_batch(rows, [SAMPLE] * len(rows), groups, reward or correct, correct)


def fresh(step: int = 1) -> Context:
    return Context(step=step, total=9, seed=0, group_size=2, sampling=Sampling())


def test_the_factor_by_hand() -> None:
    """Limit 4: right and short; right and too long; right but cut; wrong; right with 9 tokens of a tool."""
    rows = [row(4), row(5), row(3, Stop.LENGTH), row(1), row(4, tool=9)]
    batch = make(rows, [0] * 5, [1, 1, 1, 0, 1])
    assert DLER(DLER.Settings(max_tokens=4)).reward(batch, fresh()).tolist() == [1.0, 0.0, 0.0, 0.0, 1.0]


def test_mostly_solved_prompts_have_a_lower_limit() -> None:
    """Group 0 is solved 2 of 2, group 1 1 of 2; both write 3 tokens under limits of 2 and 4."""
    batch = make([row(3)] * 4, [0, 0, 1, 1], [1, 1, 1, 0])
    method = DLER(DLER.Settings(max_tokens=4, easy_tokens=2))
    assert method.reward(batch, fresh()).tolist() == [0.0, 0.0, 1.0, 0.0]


def test_groups_without_spread_of_what_counts_are_dropped() -> None:
    """0: all right, one too long (kept); 1: all right and short; 2: all wrong; 3: mixed."""
    rows = [row(2), row(9)] + [row(2)] * 6
    batch = make(rows, [0, 0, 1, 1, 2, 2, 3, 3], [1, 1, 1, 1, 0, 0, 0, 1])
    assert DLER(DLER.Settings(max_tokens=4)).select(batch, fresh()) == [0, 3]
    assert DLER(DLER.Settings(max_tokens=4)).select(batch.take([2, 3]), fresh()) == []


def test_the_advantage_by_hand() -> None:
    """Rewards 1, 0: centred 1/2, -1/2, over 3 and 1 tokens: mean 1/4, variance (3/16 + 9/16) / 4 = 3/16.

    (1/2 - 1/4) / sqrt(3/16) = 1 / sqrt 3, (-1/2 - 1/4) / sqrt(3/16) = - sqrt 3.
    """
    ctx = fresh()
    found = DLER(DLER.Settings(max_tokens=2)).estimate(make([row(3), row(1)], [0, 0], [1, 0]), ctx)
    torch.testing.assert_close(found, torch.tensor([3**-0.5, -(3**0.5)], dtype=torch.float64), rtol=1e-5, atol=0.0)
    assert ctx.logged == {"method/dler/right": 0.5, "method/dler/too_long": 0.5}


@pytest.mark.parametrize("rows", [[row(3)], [row(3), row(1), row(2)]])
def test_without_spread_it_is_zero(rows: list[Rollout]) -> None:
    found = DLER().estimate(make(rows, [0] * len(rows), [1.0] * len(rows), [0.1] * len(rows)), fresh())
    assert found.abs().max().item() == 0.0


def test_a_process_without_rows() -> None:
    ctx = fresh()
    assert DLER().estimate(make([row(1)], [0], [1.0]).take([]), ctx).tolist() == []
    assert ctx.logged == {"method/dler/right": 0.0, "method/dler/too_long": 0.0}


def test_a_row_without_loss_tokens_breaks_nothing() -> None:
    empty = Rollout((1,), (5,), (0.0,), "", Stop.ENVIRONMENT, (Segment(0, 1, SegmentKind.TOOL),))
    found = DLER().estimate(make([empty, row(1), row(1)], [0, 0, 0], [0, 1, 0]), fresh())
    assert bool(found.isfinite().all())
