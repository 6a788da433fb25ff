"""What a cold start learns: the chain as it is, or the bare gold answer."""

from __future__ import annotations

import pytest

from mmreason.config.recipe import Optim, SftSettings
from mmreason.models.targets import with_target
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

CHAIN = "<think>1 + 2 = 3</think><answer>\\boxed{3}</answer>"


def sample(kind: AnswerKind, gold: str) -> Sample:
    source = Source("own", "train", "Apache-2.0", "0")
    return Sample("q", source, (Message.of(Role.USER, "?"),), Answer(kind, gold)).with_response(CHAIN)


def test_a_chain_is_left_alone() -> None:
    given = sample(AnswerKind.NUMBER, "3")
    assert with_target(given, SftSettings(optim=Optim(lr=0.1))) is given


@pytest.mark.parametrize(
    ("kind", "gold", "expected"),
    [
        (AnswerKind.NUMBER, "3", "<answer>\\boxed{3}</answer>"),
        (AnswerKind.CHOICE, "AC", "<answer>\\boxed{AC}</answer>"),
        (AnswerKind.FREE, "higher rents", "<answer>higher rents</answer>"),  # free text is not boxed
    ],
)
def test_a_bare_answer(kind: AnswerKind, gold: str, expected: str) -> None:
    made = with_target(sample(kind, gold), SftSettings(optim=Optim(lr=0.1), target="answer"))
    assert made.response == expected
    assert made.prompt == sample(kind, gold).prompt
