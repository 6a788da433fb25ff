"""Step-GRPO: one group a step, whole trajectories in a batch, the bonus, and routing as it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.models.codec import Encoded
from mmreason.models.encode import Example
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.compose import load_methods
from mmreason.objectives.method import Context
from mmreason.project import load_module
from mmreason.records import Rollout, Segment, SegmentKind, Stop

rows = load_module(Path(__file__).parent / "router_rows.py")
step_grpo = load_module(rows.ROUTER / "step_grpo.py")
measures = load_module(rows.ROUTER / "measures.py")


def context(step: int = 1) -> Context:
    return Context(step, 10, 7_000 + step, 3, Sampling())


def episode(kinds: Sequence[str]) -> Rollout:
    """Two tokens a turn, with a reply of one token between two turns."""
    pieces, start = [], 0
    for turn in range(len(kinds)):
        if turn:
            pieces.append(Segment(start, start + 1, SegmentKind.TOOL, turn - 1))
            start += 1
        pieces.append(Segment(start, start + 2, SegmentKind.MODEL, turn))
        start += 2
    told = [{"kind": kind, "next": after} for kind, after in zip(kinds, [*kinds[1:], ""], strict=True)]
    extras = {"said": ["x"] * len(kinds), "turns": told}
    return Rollout((1,), (2,) * start, (0.0,) * start, "x", Stop.ENVIRONMENT, tuple(pieces), extras=extras)


def batch(kinds: Sequence[Sequence[str]], earned: Sequence[Sequence[float]]) -> Batch:
    """One group of episodes whose turns earned this."""
    width = max(map(len, earned))
    parts = {f"turn{turn}": [own[turn] if turn < len(own) else 0.0 for own in earned] for turn in range(width)}
    sample, count = rows.question(trajectory=[]), len(kinds)
    rollouts = [episode(one) for one in kinds]
    return make_batch(rollouts, [sample] * count, [0] * count, [0.0] * count, [0.0] * count, parts)


def test_turns_of_one_place_are_compared_with_one_another_alone() -> None:
    short, long = ["plan", "final"], ["plan", "answer", "plan", "final"]
    made = batch([short, long, long], [[0.5, 1.0], [1.0, 0.0, 0.5, 0.0], [1.0, 1.0, 0.5, 0.0]])
    method = step_grpo.StepGRPO(step_grpo.StepGRPO.Settings(unbiased=False))
    advantage = method.estimate(made, context())
    first = [-(2**0.5), 2**-0.5, 2**-0.5]  # plans: mean 5/6, deviation sqrt(2)/6
    assert advantage[:, 0].tolist() == pytest.approx(first, abs=1e-4)
    assert advantage[:, 1].tolist() == pytest.approx(first, abs=1e-4)
    final = [2**0.5, -(2**-0.5), -(2**-0.5)]
    assert advantage[0, 3].item() == pytest.approx(final[0], abs=1e-4)  # its second turn
    assert advantage[1, 9].item() == pytest.approx(final[1], abs=1e-4)  # its fourth
    assert advantage[1:, 3].tolist() == pytest.approx([-1.0, 1.0], abs=1e-4)  # answers
    assert advantage[1:, 6].tolist() == [0.0, 0.0]  # second plans are equal: exactly nothing
    assert advantage[:, 2].tolist() == [0.0, 0.0, 0.0] or not made.mask[:, 2].any()


def test_a_step_of_a_teacher_is_one_group_with_the_deviation_of_the_release() -> None:
    sample = rows.question(step={"kind": "plan", "query": "q", "base": "b"})
    rollouts = [Rollout((1,), (2, 3), (0.0, 0.0), "x", Stop.EOS)] * 3
    made = make_batch(rollouts, [sample] * 3, [0] * 3, [0.0, 0.5, 1.0], [0.0] * 3)
    method = step_grpo.StepGRPO(step_grpo.StepGRPO.Settings())
    ctx = context()
    assert method.estimate(made, ctx)[:, 0].tolist() == pytest.approx([-1.0, 0.0, 1.0], abs=1e-5)
    logged = {key.rpartition("/")[2]: value for key, value in ctx.logged.items()}
    assert logged == pytest.approx({"plan_reward": 0.5, "plan_spread": 0.5, "plan_flat": 0.0})


def test_equal_rewards_and_single_rows_move_nothing() -> None:
    assert step_grpo.normalised([0.3, 0.3, 0.3]) == ([0.0, 0.0, 0.0], 0.0)
    assert step_grpo.normalised([0.9]) == ([0.0], 0.0)


def test_an_episode_without_a_trajectory_is_told() -> None:
    made = batch([["plan", "final"]], [[0.5, 1.0]])
    made.terms = {}
    with pytest.raises(UserError, match="q-1 has no trajectory"):
        step_grpo.StepGRPO(step_grpo.StepGRPO.Settings()).estimate(made, context())


def pool(sizes: Sequence[int]) -> list[Example]:
    found = []
    for name, size in enumerate(sizes):
        for step in range(size):
            sample = rows.question().with_meta(trajectory=f"t{name}", step=step)
            found.append(Example(sample, Encoded([1]), []))
    return found


def test_prompts_are_drawn_trajectory_by_trajectory_and_each_once_a_pass() -> None:
    method, examples = step_grpo.StepGRPO(step_grpo.StepGRPO.Settings()), pool([3, 2, 4, 3])
    drawn = [index for step in (1, 2, 3) for index in method.choose(examples, 4, context(step))]
    assert sorted(drawn) == list(range(12))
    names = [examples[index].sample.metadata["trajectory"] for index in drawn]
    assert len([place for place in range(1, 12) if names[place] != names[place - 1]]) == 3
    again = [index for step in (4, 5, 6) for index in method.choose(examples, 4, context(step))]
    assert sorted(again) == list(range(12)) and again != drawn
    assert method.choose(examples, 5, context(3)) == method.choose(examples, 5, context(3))


def test_a_recipe_names_it_by_its_file() -> None:
    [active] = load_methods([{"r1_router/step_grpo.py:StepGRPO": {"entropy": 0.001}}], rows.MEDICAL)
    assert active.name == "step_grpo" and active.method.settings.unbiased


def record(named: Sequence[str], wanted: Sequence[str], right: bool, fault: str = "") -> dict[str, Any]:
    turns = [{"kind": "plan", "base": base, "fault": "", "next": "answer"} for base in named]
    turns += [{"kind": "plan", "base": "", "fault": fault, "next": "final"}, {}]
    run = {"outcome": "right" if right else "wrong", "turns": turns, "tokens": 30, "stop": "environment"}
    return {"id": "a", "doc": {"metadata": {"bases": list(wanted)}}, "runs": [run]}


def test_routing_counts_right_bases_in_their_place() -> None:
    records = [
        record(["T", "I"], ["T", "I"], True),
        record(["I", "T", "T"], ["T", "T"], False, "no <ret> tag"),
        record([], ["T"], False),
    ]
    made = measures.summarise(measures.answers(records))
    assert made["routing"] == pytest.approx((1.0 + 0.5 + 0.0) / 3) and made["routed"] == pytest.approx(1 / 3)
    assert made["calls"] == pytest.approx(5 / 3) and made["spare"] == 0.0
    assert made["failed"] == pytest.approx(1 / 3) and made["ended"] == 1.0
    places = {(place, base): shares for place, base, _, shares in measures.by_place(measures.answers(records))}
    assert places[1, "T"] == pytest.approx({"I": 1 / 3, "T": 1 / 3, "none": 1 / 3})
    titles = [table["title"] for table in measures.tables({"sft": records})]
    assert titles == ["Routing", "Routing by length of the solution", "What was asked, sft"]


def test_the_bonus_raises_entropy() -> None:
    method = step_grpo.StepGRPO(step_grpo.StepGRPO.Settings(entropy=0.5))
    name, value = next(iter(method.head().items()))
    logp = torch.log_softmax(torch.zeros(2, 4), -1)
    forward = type("F", (), {"extras": {name: value(logp)}})()
    loss, scalar = method.regularise(None, forward, context())
    assert scalar is None and loss.tolist() == pytest.approx([-0.5 * torch.tensor(4.0).log().item()] * 2)
