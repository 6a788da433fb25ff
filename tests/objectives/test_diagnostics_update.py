"""An update's numbers against values worked out by hand; cutting the batch or sharing it out changes none of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from mmreason.objectives.batch import make_batch
from mmreason.objectives.diagnostics_tokens import Tokens, tokens_of
from mmreason.objectives.diagnostics_update import UpdateSums
from mmreason.objectives.method import Forward, Ratio
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def made(**changes: Any) -> Tokens:
    """One own row of two tokens under a mask of three places; ratios e^0.5 and e^-0.5 against [0.8, 1.2]."""
    given: dict[str, Any] = {
        "ids": ["a"],
        "mask": torch.tensor([[True, True, False]]),
        "own": torch.tensor([True]),
        "engine": torch.tensor([True]),
        "logp": row(-0.5, -1.5, math.nan),
        "old": row(-1.0, -1.0, math.inf),
        "roll": row(-1.0, -1.25, math.nan),
        "advantage": row(1.0, -1.0, math.nan),
        "entropy": row(0.25, 0.75, math.nan),
        "ratio": Ratio(row(math.exp(0.5), math.exp(-0.5), math.nan), 0.8, 1.2),
    }
    return Tokens(**(given | changes))


def result(*parts: Tokens, **settings: Any) -> dict[str, float]:
    sums = UpdateSums(**settings)
    for part in parts:
        sums.add(part, first=True)
    return sums.result()


def test_an_update_by_hand() -> None:
    got = result(made(reference=row(-1.0, -1.5, math.nan), weight=row(0.5, 0.0, math.nan)))
    up, down, gap = math.exp(0.5), math.exp(-0.5), math.exp(0.25)
    expected = {
        "entropy": 0.5,
        "entropy/top": 0.75,
        "tokens/external": 0.0,
        "tokens/effective": 0.5,
        "kl/old": ((up - 0.5 - 1) + (down + 0.5 - 1)) / 2,
        "cov/mean": 0.5,  # A = 1, -1 and l = -0.5, -1.5 about their means: 0.5 each
        "cov/top": 0.5,
        "ratio/mean": (up + down) / 2,
        "ratio/max": up,
        "ratio/min": down,
        "ratio/first_gap": up - 1,
        "clip_frac": 1.0,
        "clip/high": 0.5,
        "clip/low": 0.5,
        "clip/dual": 0.0,
        "kl_ref": (down + 0.5 - 1) / 2,  # d = -0.5 and 0
        "kl/ref_k1": 0.25,
        "kl/ref_max": 0.5,
        "mismatch/gap_mean": 0.125,  # l_old - l_roll = 0 and 0.25
        "logprob_gap_max": 0.25,
        "mismatch/kl_k1": -0.125,
        "mismatch/kl_k3": (gap - 0.25 - 1) / 2,
        "mismatch/weight_mean": (1 + gap) / 2,
        "mismatch/weight_max": gap,
        "mismatch/over_cap": 0.0,
        "mismatch/ess": (1 + gap) ** 2 / (2 * (1 + gap * gap)),
        "mismatch/chi2": (1 + gap * gap) / 2 - 1,
        "mismatch/row_ess": 1.0,
        "mismatch/ppl_ratio": math.exp(-0.125),
        "mismatch/ppl_ratio_max": math.exp(-0.125),
    }
    assert got == pytest.approx(expected)


def test_caps_and_corrections_are_counted() -> None:
    got = result(made(mismatch=row(1.0, 0.0, 1.0)), cap=1.2)
    assert (got["mismatch/over_cap"], got["mismatch/dropped"]) == (0.5, 0.5)
    worse = made(advantage=row(-1.0, -1.0, 0.0), ratio=Ratio(row(4.0, 0.9, 0.0), 0.8, 1.2))
    got = result(worse, dual_clip=3.0)
    assert (got["clip/dual"], got["clip/low"], got["clip/high"], got["clip_frac"]) == (0.5, 0.0, 0.0, 0.5)


def test_clip_bounds_of_single_tokens() -> None:
    low, high = row(0.5, 0.7, 0.0), row(2.0, 1.2, 0.0)
    got = result(made(ratio=Ratio(made().ratio.ratio, low, high)))  # type: ignore[union-attr]
    assert (got["clip/high"], got["clip/low"]) == (0.0, 0.5)


def test_external_rows_know_no_ratio() -> None:
    """They count as tokens with an entropy; NaN where they have no probabilities does no harm."""
    nothing = row(math.nan, math.nan, math.nan)
    other = made(
        own=torch.tensor([False]),
        engine=torch.tensor([False]),
        old=nothing,
        roll=nothing,
        ratio=Ratio(nothing, 0.8, 1.2),
    )
    got = result(other, made())
    alone = result(made())
    assert got["tokens/external"] == 0.5
    assert {key: got[key] for key in alone if key != "tokens/external"} == pytest.approx(
        {key: value for key, value in alone.items() if key != "tokens/external"}
    )
    assert result(other).keys() == {"entropy", "entropy/top", "tokens/external"}


def joined(parts: Sequence[Tokens]) -> Tokens:
    fields = ("mask", "own", "engine", "logp", "old", "roll", "advantage", "entropy", "reference", "weight")
    whole = {name: torch.cat([getattr(part, name) for part in parts]) for name in fields}
    ratio = torch.cat([part.ratio.ratio for part in parts if part.ratio is not None])
    return Tokens(ids=[part.ids[0] for part in parts], ratio=Ratio(ratio, 0.8, 1.2), **whole)


def drawn(count: int) -> list[Tokens]:
    """Rows of unequal length; the last is external."""
    maker = torch.Generator().manual_seed(3)
    parts = []
    for index in range(count):
        logp, old, roll, advantage, ref = (torch.randn(1, 9, generator=maker, dtype=torch.float64) for _ in range(5))
        mask = torch.arange(9).unsqueeze(0) < 3 + index
        own = torch.tensor([index + 1 < count])
        ratio = Ratio((logp - old).exp(), 0.8, 1.2)
        entropy, weight = advantage.abs(), torch.relu(ref)
        parts.append(Tokens([f"s{index}"], mask, own, own, logp, old, roll, advantage, entropy, ratio, ref, weight))
    return parts


WITHIN_MICRO = {"entropy/top", "cov/top"}


def test_micro_batches_and_processes_change_no_number() -> None:
    """All but the two that rank tokens within a micro-batch."""
    parts = drawn(6)
    whole = result(joined(parts))
    processes = [UpdateSums(), UpdateSums(), UpdateSums()]  # the third one has no rows at all
    for index, part in enumerate(parts):
        processes[index % 2].add(part, first=True)
    calls = [[dict(p.sums), dict(p.peaks)] for p in processes]
    summed = iter([sum(call[0][name] for call in calls) for name in calls[0][0]])
    highest = iter([max(call[1][name] for call in calls) for name in calls[0][1]])
    shared = processes[2].result(lambda _: next(summed), lambda _: next(highest))
    for cut in (shared, result(*parts)):
        assert cut.keys() == whole.keys()
        assert {key: cut[key] for key in cut.keys() - WITHIN_MICRO} == pytest.approx(
            {key: whole[key] for key in whole.keys() - WITHIN_MICRO}
        )


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("logp", "log-probability of sample a is nan at answer token 1"),
        ("old", "old log-probability of sample a is nan"),
        ("roll", "engine log-probability of sample a is nan"),
        ("advantage", "advantage of sample a is nan"),
        ("entropy", "entropy of sample a is nan"),
        ("reference", "reference log-probability of sample a is nan"),
        ("weight", "loss weight of sample a is nan"),
    ],
)
def test_a_number_that_is_none_names_its_sample(field: str, named: str) -> None:
    with pytest.raises(FloatingPointError, match=named):
        result(made(**{field: row(0.0, math.nan, 0.0)}))
    with pytest.raises(FloatingPointError, match="ratio of sample a is inf"):
        result(made(ratio=Ratio(row(1.0, math.inf, 1.0), 0.8, 1.2)))


def test_nothing_at_all_gives_no_numbers() -> None:
    assert UpdateSums().result() == {}
    assert result(made(mask=torch.zeros(1, 3, dtype=torch.bool))) == {}


def test_the_first_update_is_marked_by_the_caller() -> None:
    sums = UpdateSums()
    sums.add(made())
    assert "ratio/first_gap" not in sums.result()


def test_from_the_loop_s_own_objects() -> None:
    """A narrow micro-batch of a wide batch, one row of which was sampled from another context."""
    source = Source("own", "train", "Apache-2.0", "0")
    prompt = (Message.of(Role.USER, "How many?"),)
    samples = [Sample(name, source, prompt, Answer(AnswerKind.NUMBER, "3")) for name in "abc"]
    rollouts = [
        Rollout((1,), tuple(range(length)), (-0.5,) * length, "", Stop.EOS, same_context=length != 3)
        for length in (2, 3, 5)
    ]
    batch = make_batch(rollouts, samples, [0, 0, 1], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0])
    logp = torch.full((2, 5), -0.25, requires_grad=True)
    forward = Forward(logp, logp.detach(), torch.ones(2, 5), ratio=Ratio(torch.ones(2, 5), 0.8, 1.2))
    tokens = tokens_of(batch.take([0, 1]), forward, torch.ones(2))
    assert tokens.engine.tolist() == [True, False]
    got = result(tokens)
    assert got["mismatch/gap_mean"] == pytest.approx(0.25)  # |-0.25 - -0.5| over the two tokens of row a
    assert (got["entropy"], got["ratio/max"], got["clip_frac"]) == (1.0, 1.0, 0.0)
