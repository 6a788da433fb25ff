"""Clusters of final answers by the graders, their shares, and the band of semantic entropy."""

from __future__ import annotations

import math

import pytest
import torch

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.method import Context
from mmreason.objectives.methods.empo import EMPO, clusters, entropy_share, final_answer, same_answer
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop
from mmreason.rewards.grade import GRADERS

SOURCE = Source("own", "train", "MIT", "0")


def ask(kind: AnswerKind, **answer: object) -> Sample:
    return Sample("q7", SOURCE, (Message.of(Role.USER, "?"),), Answer(kind, "", **answer))  # type: ignore[arg-type]


NUMBER = ask(AnswerKind.NUMBER)
CHOICE = ask(AnswerKind.CHOICE, options={"A": "red", "B": "blue"})


def make(texts: list[str], groups: list[int], sample: Sample = NUMBER) -> Batch:
    rows = [Rollout((1,), (5,), (0.0,), f"<answer>\\boxed{{{text}}}</answer>", Stop.EOS) for text in texts]
    return make_batch(rows, [sample] * len(rows), groups, [0.0] * len(rows), [0.0] * len(rows))


def fresh() -> Context:
    return Context(step=1, total=9, seed=0, group_size=4, sampling=Sampling())


@pytest.mark.parametrize(
    ("sample", "one", "other", "same"),
    [
        (NUMBER, "1,000", "1000.0", True),
        (NUMBER, "12.5%", "0.125", True),
        (NUMBER, "3.14", "3.1416", True),  # rounded to its shown digits, in one direction
        (NUMBER, "3", "4", False),
        (CHOICE, "A", "A. red", True),
        (CHOICE, "red", "A", True),
        (CHOICE, "A", "B", False),
        (ask(AnswerKind.MATH), "1/2", "\\frac{1}{2}", True),
        (ask(AnswerKind.JUDGEMENT), "yes", "Yes.", True),
        (ask(AnswerKind.JUDGEMENT), "yes", "no", False),
        (ask(AnswerKind.SET), "a, b", "b; a", True),
        (ask(AnswerKind.FREE), "The cat", "cat", True),
    ],
)
def test_equality_is_the_graders_and_asks_no_gold(sample: Sample, one: str, other: str, same: bool) -> None:
    assert same_answer(one, other, sample) is same
    assert same_answer(other, one, sample) is same


def test_what_cannot_be_read_stands_alone() -> None:
    """Two equal texts that are no numbers do not agree: gibberish earns no votes."""
    assert clusters(["5", None, "dunno", "5.0", "dunno", None], NUMBER) == [0, 1, 2, 0, 3, 4]


def test_several_answers_joined_are_none() -> None:
    assert final_answer("\\boxed{4} or \\boxed{5}", NUMBER, False) is None
    assert final_answer("<think>\\boxed{4}", NUMBER, False) is None
    assert final_answer("so it is \\boxed{4}", NUMBER, False) == "4"


def test_shares_by_hand() -> None:
    """Group 0: 5, 5.0, 5, 6 in clusters of 3 and 1; group 1, interleaved: 1, 2."""
    batch = make(["5", "1", "5.0", "5", "2", "6"], [0, 1, 0, 0, 1, 0])
    assert EMPO().reward(batch, fresh()).tolist() == [0.75, 0.5, 0.75, 0.75, 0.5, 0.25]


def test_entropy_by_hand() -> None:
    """p = 3/4, 1/4 over four rows: H = -(3 ln(3/4) + ln(1/4)) / 4 = 0.5623, over ln 4 = 0.4056."""
    shares = torch.tensor([0.75, 0.75, 0.75, 0.25], dtype=torch.float64)
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(4)
    assert entropy_share(shares) == pytest.approx(expected, rel=1e-12)
    assert entropy_share(torch.ones(4)) == 0.0 == entropy_share(torch.ones(1))
    assert entropy_share(torch.full((4,), 0.25, dtype=torch.float64)) == pytest.approx(1.0, rel=1e-12)


def test_the_band_drops_agreement_and_its_absence() -> None:
    """0: all agree; 1: 3 of 4 agree; 2: nobody agrees; 3: a single row."""
    batch = make(list("1111") + list("2223") + list("4567") + ["8"], [0] * 4 + [1] * 4 + [2] * 4 + [3])
    ctx = fresh()
    assert EMPO().select(batch, ctx) == [1]
    assert ctx.logged["method/empo/kept"] == 1.0 and ctx.logged["method/empo/dropped"] == 3.0
    assert ctx.logged["method/empo/entropy_share"] == pytest.approx((0.40563906 + 1.0) / 4)
    assert EMPO().select(batch.take([0, 1]), fresh()) == []


def test_a_kind_without_grader_names_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(GRADERS, AnswerKind.INTERVAL)
    with pytest.raises(UserError, match=r"sample q7: .* kind 'interval' has none"):
        EMPO().reward(make(["1"], [0], ask(AnswerKind.INTERVAL)), fresh())
