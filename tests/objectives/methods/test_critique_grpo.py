"""Refinements made with a critique in context, trained as answers to the bare question."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.objectives.batch import make_batch
from mmreason.objectives.method import Context, Forward
from mmreason.objectives.methods.critique_grpo import CritiqueGrpo, critique_of
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop, Verdict
from mmreason.rewards.terms import Terms

SAMPLE = Sample("q", Source("own", "train", "", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "4"))
F64 = torch.float64
CTX = Context(1, 10, 0, 4, Sampling())
ROW = make_batch([Rollout((1,), (2,), (0.0,), "", Stop.EOS)], [SAMPLE], [0], [0.0], [0.0])


@pytest.mark.parametrize(
    ("kind", "accuracy", "text"),
    [
        ("verdict", 0.0, "The final answer is wrong."),
        ("verdict", 1.0, "The final answer is right."),
        ("truth", 0.0, "The final answer is wrong. The right answer is 4."),
        ("judge", 0.0, "a sign is missing"),
    ],
)
def test_critiques(kind: Any, accuracy: float, text: str) -> None:
    verdict = Verdict.of(accuracy > 0, "4", "a sign is missing")
    assert critique_of(Terms(1.0, accuracy, accuracy, verdict, "", False), SAMPLE, kind) == text


def test_refinements_of_the_real_engine(bench: Any) -> None:
    method = CritiqueGrpo(CritiqueGrpo.Settings(kept=2))
    groups = bench.groups(bench.questions(2), method.first(bench.context(8, lambda r, s: False)))
    own = [list(group.rollouts) for group in groups]
    ctx = bench.context(8, lambda r, s: False)
    for group, before in zip(method.roll(groups, ctx), own, strict=True):
        assert len(before) == 6 and len(group.rollouts) == 8 and group.rollouts[:6] == before
        for row in group.rollouts[6:]:
            assert row.prompt_ids == tuple(group.prompt.ids)
            assert row.external and not row.same_context and row.parent == -1
            assert set(row.logprobs) == {0.0} and len(row.logprobs) == len(row.ids) and row.entropies == ()
            assert all(row.trained)
    assert {key.rpartition("/")[2]: number for key, number in ctx.logged.items()} == {
        "refinements": 12.0,
        "kept": 4.0,
        "kept_right": 0.0,
        "rescued": 0.0,
    }


def test_the_context_holds_question_attempt_and_critique(bench: Any) -> None:
    group = bench.groups(bench.questions(1), 1)[0]
    request = CritiqueGrpo()._request(group, group.rollouts[0], bench.context(2, lambda r, s: False))
    text = bench.engine.codec.decode(request.prompt.ids)
    parts = ["the rent", group.rollouts[0].text, "The final answer is wrong. The right answer is 4."]
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)
    assert request.prompt.ids != group.prompt.ids and request.sample is group.sample


def test_right_refinements_come_first(bench: Any) -> None:
    """Whatever is kept is right, as long as there are right ones: the verifier likes an even first id."""
    groups = bench.groups(bench.questions(3), 6)
    known = {row.ids for group in groups for row in group.rollouts}
    ctx = bench.context(8, lambda row, sample: row.ids not in known and row.ids[0] % 2 == 0)
    for group in CritiqueGrpo(CritiqueGrpo.Settings(kept=2)).roll(groups, ctx):
        found = [row.ids[0] % 2 == 0 for row in group.rollouts[6:]]
        assert found == sorted(found, reverse=True)
    assert ctx.logged["method/critique_grpo/kept_right"] >= 4.0
    assert ctx.logged["method/critique_grpo/rescued"] >= 2.0


def test_a_resumed_step_draws_the_same(bench: Any) -> None:
    made = []
    for seed in (7, 7, 8):
        ctx = bench.context(4, lambda r, s: False, seed=seed)
        made.append([row.ids for row in CritiqueGrpo().roll(bench.groups(bench.questions(1), 3), ctx)[0].rollouts])
    assert made[0] == made[1] != made[2]


def test_loss_of_refinements_by_hand() -> None:
    """f(0.5) = 0.5 / 0.6, f(0.1) = 1/2; slope in the log-probability A f (1 - f): 2 x 5/36 and -1/4."""
    logp = torch.tensor([[0.5, 0.1]], dtype=F64).log().requires_grad_()
    forward = Forward(logp, logp.detach(), torch.zeros_like(logp))
    loss = CritiqueGrpo().external(torch.tensor([[2.0, -1.0]], dtype=F64), ROW, forward, CTX)
    torch.testing.assert_close(loss, torch.tensor([[-2.0 * 5 / 6, 0.5]], dtype=F64))
    loss.sum().backward()
    torch.testing.assert_close(logp.grad, torch.tensor([[-2.0 * 5 / 36, 0.25]], dtype=F64))


def test_own_rows_are_not_clipped() -> None:
    ratios, old = torch.tensor([[3.0, 0.1, 1.0]], dtype=F64), torch.zeros(1, 3, dtype=F64)
    made = CritiqueGrpo().ratio(ROW, Forward(ratios.log(), old, old), CTX)
    assert (made.low, made.high) == (0.0, math.inf)
    torch.testing.assert_close(made.ratio, ratios)
    assert torch.equal(made.ratio.clamp(made.low, made.high), made.ratio)


def test_advantage_is_over_the_union_without_deviation() -> None:
    row = Rollout((1,), (2,), (0.0,), "", Stop.EOS)
    batch = make_batch([row] * 4, [SAMPLE] * 4, [0] * 4, [1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0])
    assert CritiqueGrpo().estimate(batch, CTX).tolist() == [0.75, -0.25, -0.25, -0.25]


def test_entropy_bonus_by_hand_and_banned_tokens() -> None:
    """Halves: ln 2. A banned token adds nothing, neither to the number nor to the gradient."""
    logp = torch.tensor([[math.log(0.5), math.log(0.5), -math.inf]], dtype=F64, requires_grad=True)
    entropy = CritiqueGrpo().head()["critique_grpo_entropy"](logp)
    assert entropy.item() == pytest.approx(math.log(2.0))
    entropy.sum().backward()
    assert logp.grad is not None and torch.isfinite(logp.grad).all() and logp.grad[0, 2].item() == 0.0
    forward = Forward(logp, logp, logp, {"critique_grpo_entropy": torch.tensor([[2.0]])})
    tokens, scalar = CritiqueGrpo().regularise(ROW, forward, CTX)
    assert scalar is None and tokens is not None and tokens.item() == pytest.approx(-0.002)


@pytest.mark.parametrize(
    ("settings", "group_size", "message"),
    [
        ({"kept": 5}, 8, "keeps 5 refinements in groups of grpo.group_size=8"),
        ({"kept": 0}, 8, "at least one"),
        ({"template": "{attempt} again"}, 8, r"no place \{critique\}"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], group_size: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CritiqueGrpo(CritiqueGrpo.Settings(**settings)).check(SimpleNamespace(group_size=group_size))
    CritiqueGrpo().check(SimpleNamespace(group_size=8))
