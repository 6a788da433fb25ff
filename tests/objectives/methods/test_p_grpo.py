"""Reasoning scored behind the outcome, and what becomes of a scorer that misbehaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.method import Context
from mmreason.objectives.methods.p_grpo import PGRPO
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

SAMPLE = Sample("q7", Source("own", "train", "MIT", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1"))
SCORER = """
asked = []
def by_length(rollout, sample):
    asked.append(rollout.ids)
    return {"good": 0.75, "fair": 1, "none": None, "nan": float("nan"), "big": 1.5, "word": "0.5"}[rollout.text]
"""


def make(texts: list[str], correct: list[float]) -> Batch:
    rows = [Rollout((1,), (n,), (0.0,), text, Stop.EOS) for n, text in enumerate(texts)]
    return make_batch(rows, [SAMPLE] * len(rows), [0] * len(rows), correct, correct)


def fresh(step: int = 1) -> Context:
    return Context(step=step, total=9, seed=0, group_size=2, sampling=Sampling())


@pytest.fixture
def method(tmp_path: Path) -> PGRPO:
    (tmp_path / "scorer.py").write_text(SCORER)
    return PGRPO(PGRPO.Settings(scorer="scorer.py:by_length", folder=str(tmp_path), scale=0.5))


def test_only_right_answers_are_scored_each_once_a_step(method: PGRPO) -> None:
    """The wrong answer's text would make the scorer fail; a refill asks for the same rows again."""
    batch, ctx = make(["good", "nan", "fair"], [1, 0, 1]), fresh()
    assert [method.reward(batch, ctx).tolist() for _ in range(2)] == [[0.75, 0.0, 1.0]] * 2
    assert ctx.logged == {"method/p_grpo/scored": 2.0, "method/p_grpo/score_sum": 1.75}
    assert method.gate == "if_ok" and method.combine == "add" and method.weight(ctx) == 0.5
    asked = method.scorer.__globals__["asked"]
    method.reward(batch, fresh(2))
    assert asked == [(0,), (2,), (0,), (2,)]


def test_all_wrong(method: PGRPO) -> None:
    """The counters are there all the same: processes add them up key by key."""
    ctx = fresh()
    assert method.reward(make(["nan"], [0]), ctx).tolist() == [0.0]
    assert ctx.logged == {"method/p_grpo/scored": 0.0, "method/p_grpo/score_sum": 0.0}


@pytest.mark.parametrize("text", ["none", "nan", "big", "word"])
def test_a_bad_score_names_scorer_and_sample(method: PGRPO, text: str) -> None:
    with pytest.raises(UserError, match=r"scorer.py:by_length gave .* for sample q7; expected a number in \[0, 1\]"):
        method.reward(make([text], [1]), fresh())


def test_without_a_scorer_the_recipe_is_refused() -> None:
    with pytest.raises(UserError, match="p_grpo has no scorer"):
        PGRPO().check(None)


def test_a_scorer_that_does_not_exist_is_refused(method: PGRPO) -> None:
    wrong = PGRPO(method.settings.model_copy(update={"scorer": "scorer.py:by_lenght"}))
    with pytest.raises(UserError, match="did you mean 'by_length'"):
        wrong.check(None)
    method.check(None)
