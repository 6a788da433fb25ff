"""Teacher answers in groups that nobody solved: which, in whose place, with which loss and weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmreason.config.recipe import RewardSettings, Sampling
from mmreason.errors import UserError
from mmreason.models.codec import Encoded
from mmreason.objectives.batch import make_batch
from mmreason.objectives.method import Context, Forward
from mmreason.objectives.methods.ampo import Ampo, up_to_answer
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop
from mmreason.records.rollout import Segment, SegmentKind
from mmreason.rewards.terms import Terms, score

SAMPLE = Sample("q", Source("own", "train", "", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "4"))
F64 = torch.float64
CTX = Context(1, 10, 0, 4, Sampling(max_new_tokens=10))


def told(thought: str, answer: str) -> str:
    return f"<think>{thought}</think><answer>\\boxed{{{answer}}}</answer>"


TEACHERS = [told("a", "4"), told("b", "5"), told("c", "4"), told("d" * 200, "4"), told("e", "4")]


@pytest.mark.parametrize(
    ("text", "head"),
    [
        (told("so", "4"), "<think>so</think><answer>\\boxed{"),
        ("\\boxed{3} or \\boxed{4}", "\\boxed{3} or \\boxed{"),
        ("<think>so</think>4", "<think>so</think>"),
        ("four", "four"),
    ],
)
def test_where_the_answer_stands(text: str, head: str) -> None:
    assert up_to_answer(text) == head


def graded(bench: Any, seen: list[str], understood: dict[str, float]) -> Context:
    """The real reward; the policy understands a teacher as told, by the first letter of the thought."""
    codec = bench.engine.codec

    def judge(rollout: Rollout, sample: Sample) -> Terms:
        return score(rollout.text, sample.answer, RewardSettings())

    def logps(pairs: Sequence[tuple[Encoded, Sequence[int]]]) -> list[torch.Tensor]:
        texts = [codec.decode(prompt.ids) for prompt, _ in pairs]
        seen.extend(texts)
        assert all(codec.decode(list(ids)) == "4" for _, ids in pairs)
        return [torch.tensor([understood[text.partition("<think>")[2][0]]]).log() for text in texts]

    return replace(bench.context(4, lambda r, s: False), judge=judge, score=logps, sampling=Sampling(max_new_tokens=80))


def test_teachers_of_the_real_engine_and_reward(bench: Any) -> None:
    seen: list[str] = []
    ctx = graded(bench, seen, {"a": 0.2, "c": 0.9, "e": 0.5})
    group = bench.groups(bench.questions(1, teachers=TEACHERS), 4)[0]
    own = list(group.rollouts)
    Ampo().roll([group], ctx)
    assert [row.text for row in group.rollouts] == [own[0].text, own[1].text, TEACHERS[2], TEACHERS[4]]
    assert len(seen) == 3 and all("the rent" in text and text.endswith("\\boxed{") for text in seen)
    for row in group.rollouts[2:]:
        assert row.external and row.prompt_ids == tuple(group.prompt.ids) and row.stop is Stop.EOS
        assert row.ids[-1] == bench.engine.codec.eos_id and set(row.logprobs) == {0.0}
        assert row.pieces == (Segment(0, len(row.ids), SegmentKind.TEACHER),) and all(row.trained)
        assert bench.engine.codec.decode(list(row.ids)) == row.text
    assert {key.rpartition("/")[2]: number for key, number in ctx.logged.items()} == {
        "failed": 1.0,
        "too_long": 1.0,
        "teacher_rows": 2.0,
    }


def test_groups_with_a_success_stay(bench: Any) -> None:
    group = bench.groups(bench.questions(1), 4)[0]  # no teachers, and none are asked for
    lucky = group.rollouts[0].ids
    ctx = bench.context(4, lambda row, sample: row.ids == lucky)
    before = list(group.rollouts)
    assert Ampo().roll([group], ctx)[0].rollouts == before
    assert ctx.logged == {"method/ampo/failed": 0.0}


def test_no_right_teacher_and_a_group_of_one(bench: Any) -> None:
    wrong = bench.groups(bench.questions(1, teachers=[TEACHERS[1]]), 2)[0]
    before = list(wrong.rollouts)
    assert Ampo().roll([wrong], graded(bench, [], {}))[0].rollouts == before
    alone = bench.groups(bench.questions(1, teachers=TEACHERS[:1]), 1)[0]
    before = list(alone.rollouts)
    assert Ampo().roll([alone], graded(bench, [], {"a": 0.5}))[0].rollouts == before


@pytest.mark.parametrize("metadata", [{}, {"teachers": []}, {"teachers": "text"}, {"teachers": [1]}])
def test_missing_teachers_name_the_sample(bench: Any, metadata: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="sample q0: ampo needs answers of teachers"):
        Ampo().roll(bench.groups(bench.questions(1, **metadata), 2), graded(bench, [], {}))


def test_loss_of_teacher_rows_by_hand() -> None:
    """f(0.9) = 0.9, f(0.1) = 0.5."""
    logp = torch.tensor([[0.9, 0.1]], dtype=F64).log()
    loss = Ampo().external(torch.tensor([[0.5, 0.5]], dtype=F64), make_mixed(), Forward(logp, logp, logp), CTX)
    torch.testing.assert_close(loss, torch.tensor([[-0.45, -0.25]], dtype=F64))


def make_mixed() -> Any:
    own = Rollout((1,), (2, 3, 4), (-1.0,) * 3, "", Stop.EOS)
    teacher = Rollout((1,), (2, 3), (0.0,) * 2, "", Stop.EOS, (Segment(0, 2, SegmentKind.TEACHER),), external=True)
    return make_batch([own, own, teacher], [SAMPLE] * 3, [0] * 3, [0.0, 0.0, 1.0], [0.0, 0.0, 1.0])


def test_weights_by_hand() -> None:
    """Own tokens 1 / (3 rows x limit 10), the teacher's 1 / (3 rows x its 2 tokens)."""
    own, other = 1 / 30, 1 / 6
    expected = torch.tensor([[own] * 3, [own] * 3, [other, other, 0.0]], dtype=F64)
    torch.testing.assert_close(Ampo().weigh(make_mixed(), CTX), expected)


def test_advantage_is_over_the_mixed_group_without_deviation() -> None:
    expected = torch.tensor([-1 / 3, -1 / 3, 2 / 3], dtype=F64)
    torch.testing.assert_close(Ampo().estimate(make_mixed(), CTX), expected)


def test_entropy_bonus() -> None:
    logp = torch.tensor([[0.25] * 4], dtype=F64).log()
    entropy = Ampo().head()["ampo_entropy"](logp)
    assert entropy.item() == pytest.approx(math.log(4.0))
    tokens, _ = Ampo().regularise(make_mixed(), Forward(logp, logp, logp, {"ampo_entropy": entropy}), CTX)
    assert tokens is not None and tokens.item() == pytest.approx(-0.001 * math.log(4.0))


@pytest.mark.parametrize("rows", [0, 8])
def test_settings_that_cannot_be(rows: int) -> None:
    with pytest.raises(UserError, match=f"ampo puts {rows} teacher rows into groups of grpo.group_size=8"):
        Ampo(Ampo.Settings(rows=rows)).check(SimpleNamespace(group_size=8))
    Ampo().check(SimpleNamespace(group_size=8))
