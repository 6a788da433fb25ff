"""A correct answer is worth less, the more uncertain the thinking before it was."""

from __future__ import annotations

from typing import Any

import pytest
from small_batches import codec, context, rollout, rows

from mmreason.errors import UserError
from mmreason.objectives.methods.pear import Pear
from mmreason.records import Rollout, Segment, SegmentKind


@pytest.fixture(scope="module")
def small() -> Any:
    return codec("the sum of two sums")


def answer(small: Any, *pieces: tuple[str, float], **fields: Any) -> Rollout:
    """Texts, each with the entropy of all its tokens."""
    ids = [small.tokenizer.encode(text) for text, _ in pieces]
    entropies = [value for own, (_, value) in zip(ids, pieces, strict=True) for _ in own]
    return rollout([number for own in ids for number in own], entropies=tuple(entropies), **fields)


def earned(
    small: Any, rollouts: list[Rollout], correct: list[float], **settings: Any
) -> tuple[list[float], dict[str, float]]:
    ctx = context(codec=small)
    found = Pear(Pear.Settings(**settings)).reward(rows(rollouts, correct), ctx)
    assert str(found.dtype) == "torch.float64"
    return found.tolist(), {key.rpartition("/")[2]: number for key, number in ctx.logged.items()}


def test_thinking_costs_what_it_is_less_certain_than_the_answer(small: Any) -> None:
    unsure = answer(small, ("the sum", 0.5), ("</think>", 9.0), (" is 4", 0.2))  # P = 0.3
    sure = answer(small, ("the sum", 0.1), ("</think>", 9.0), (" is 4", 0.2))  # P = (-0.1)_+
    wrong = answer(small, ("the sum", 0.0), ("</think>", 9.0), (" is 5", 0.0))
    reward, counters = earned(small, [unsure, sure, wrong], [1.0, 1.0, 0.0])
    assert reward == pytest.approx([0.7, 1.0, 0.0])
    assert counters == {"penalty": pytest.approx(0.15), "no_tag_share": 0.0, "not_above_wrong": 0.0}


def test_constants(small: Any) -> None:
    row = answer(small, ("the sum", 0.5), ("</think>", 9.0), (" is 4", 0.2))
    assert earned(small, [row], [1.0], alpha=0.0)[0] == pytest.approx([0.5])
    assert earned(small, [row], [1.0], alpha=-1.0)[0] == pytest.approx([0.3])
    assert earned(small, [row, row], [1.0, 0.0], score=2.0, wrong=0.1)[0] == pytest.approx([1.0, 0.1])  # min(1, 1.7)


def test_without_the_tag_all_is_thinking(small: Any) -> None:
    reward, counters = earned(small, [answer(small, ("the sum is 4", 0.4))], [1.0])
    assert reward == pytest.approx([0.6])
    assert counters["no_tag_share"] == 1.0


def test_a_tag_of_several_tokens(small: Any) -> None:
    row = answer(small, ("the sum", 0.5), ("[/THOUGHT]", 9.0), (" is 4", 0.2))
    assert len(small.tokenizer.encode("[/THOUGHT]")) > 1
    assert earned(small, [row], [1.0], tag="[/THOUGHT]")[0] == pytest.approx([0.7])


def test_tool_replies_are_in_no_phase(small: Any) -> None:
    row = answer(small, ("the sum", 0.5), (" two", 7.0), ("</think>", 9.0), (" is 4", 0.2))
    sizes = [len(small.tokenizer.encode(text)) for text in ("the sum", " two")]
    edge = sum(sizes)
    parts = (Segment(0, sizes[0]), Segment(sizes[0], edge, SegmentKind.TOOL), Segment(edge, len(row.ids)))
    told = rollout(row.ids, entropies=row.entropies, segments=parts)
    assert earned(small, [told], [1.0])[0] == pytest.approx([0.7])


def test_rows_that_earn_no_more_than_wrong_ones_are_counted(small: Any) -> None:
    reward, counters = earned(small, [answer(small, ("the sum is 4", 1.5))], [1.0])
    assert reward == pytest.approx([-0.5])
    assert counters["not_above_wrong"] == 1.0


def test_empty_phases_and_answers_of_another_model(small: Any) -> None:
    only_tag = answer(small, ("</think>", 9.0))
    teacher = rollout(small.tokenizer.encode("4"), external=True)
    assert earned(small, [only_tag, rollout(()), teacher], [1.0, 1.0, 1.0])[0] == [1.0, 1.0, 1.0]
    assert earned(small, [teacher], [0.0])[1]["penalty"] == 0.0


def test_missing_entropies_name_the_sample(small: Any) -> None:
    with pytest.raises(UserError, match="sample q1: pear reads the entropy of each of 2 tokens and found 0"):
        earned(small, [rollout((1, 2))], [1.0])
