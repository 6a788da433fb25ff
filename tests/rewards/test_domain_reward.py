"""The reward of a run: the recipe's composition, or the terms that a domain declares."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mmreason.config import Domain, load_domain
from mmreason.config.recipe import RewardSettings
from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, Message, Outcome, Role, Rollout, Sample, Source, Stop
from mmreason.rewards.reward import load_reward

TERMS = """\
from mmreason.records import Verdict


def half(rollout, sample):
    return 0.5


def brief(rollout, sample):
    return 1 if len(rollout.ids) < 3 else 0


def verdict(rollout, sample):
    return Verdict.of("3" in rollout.text, "3", "by hand")


def broken(rollout, sample):
    return float("nan")


def wordy(rollout, sample):
    return "good"
"""
SAMPLE = Sample(
    "q1", Source("own", "train", "MIT", "0"), (Message.of(Role.USER, "1 + 2?"),), Answer(AnswerKind.NUMBER, "3")
)
WELL = "<think>1 + 2</think><answer>\\boxed{3}</answer>"


def answer(text: str, length: int = 2) -> Rollout:
    return Rollout((1,), tuple(range(length)), (0.0,) * length, text, Stop.EOS)


def with_terms(folder: Path, *entries: dict[str, object]) -> Domain:
    (folder / "rewards.py").write_text(TERMS, encoding="utf-8")
    declared = yaml.safe_load((folder / "domain.yaml").read_text(encoding="utf-8"))
    text = yaml.safe_dump({**declared, "rewards": list(entries)})
    (folder / "domain.yaml").write_text(text, encoding="utf-8")
    return load_domain(folder)


def term(name: str, **values: object) -> dict[str, object]:
    return {"term": f"rewards.py:{name}", **values}


@pytest.mark.parametrize(
    ("mode", "text", "expected"),
    [
        ("product", WELL, 1.0),
        ("product", "<answer>\\boxed{3}</answer>", 0.0),  # right, but without reasoning
        ("product", WELL.replace("3}", "4}"), 0.0),
        ("sum", WELL, 1.1),
        ("sum", "<answer>\\boxed{3}</answer>", 1.0),
        ("sum", WELL.replace("3}", "4}"), 0.1),
        ("accuracy", "<answer>\\boxed{3}</answer>", 1.0),
        ("accuracy", WELL.replace("3}", "4}"), 0.0),
    ],
)
def test_without_declared_terms_the_recipe_composes(own_domain: Path, mode: str, text: str, expected: float) -> None:
    reward = load_reward(RewardSettings.model_validate({"mode": mode}), with_terms(own_domain))
    found = reward(answer(text), SAMPLE)
    assert found.reward == pytest.approx(expected)
    assert found.parts == {}


@pytest.mark.parametrize(
    ("entries", "length", "expected"),
    [
        ([term("half")], 2, 0.5),
        ([term("half", weight=3.0), term("brief", weight=0.1)], 2, 1.6),
        ([term("half", weight=3.0), term("brief", combine="mul")], 2, 1.5),
        ([term("half", weight=3.0), term("brief", combine="mul")], 9, 0.0),  # a factor of 0 takes all
        ([term("half", combine="mul"), term("brief", combine="mul")], 2, 0.5),  # factors alone start from 1
    ],
)
def test_declared_terms_replace_it(
    own_domain: Path, entries: list[dict[str, object]], length: int, expected: float
) -> None:
    found = load_reward(RewardSettings(), with_terms(own_domain, *entries))(answer(WELL, length), SAMPLE)
    assert found.reward == pytest.approx(expected)
    assert set(found.parts) == {str(entry["term"]) for entry in entries}
    assert (found.accuracy, found.format, found.verdict.outcome) == (1.0, 1.0, Outcome.RIGHT)  # still told


def test_a_declared_verdict_is_the_verdict(own_domain: Path) -> None:
    reward = load_reward(RewardSettings(), with_terms(own_domain, term("verdict", weight=2.0)))
    found = reward(answer("3, unboxed"), SAMPLE)
    assert (found.reward, found.accuracy, found.verdict.why) == (2.0, 1.0, "by hand")
    assert reward(answer("four"), SAMPLE).verdict.outcome is Outcome.WRONG


@pytest.mark.parametrize(("name", "shown"), [("broken", "nan"), ("wordy", "'good'")])
def test_a_term_that_gives_no_number_is_named(own_domain: Path, name: str, shown: str) -> None:
    reward = load_reward(RewardSettings(), with_terms(own_domain, term(name)))
    with pytest.raises(UserError, match=f"reward rewards.py:{name} gave {shown} for sample q1; expected a finite"):
        reward(answer(WELL), SAMPLE)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("rewards.py:haf", r"did you mean 'half'"), ("reward.py:half", "no file"), ("rewards.py", "has no function")],
)
def test_a_wrong_reference_is_one_line(own_domain: Path, reference: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        load_reward(RewardSettings(), with_terms(own_domain, {"term": reference}))


def test_a_template_that_opens_the_think_block(own_domain: Path) -> None:
    """The chat template wrote the opening tag, so the answer starts inside the block."""
    domain, text = with_terms(own_domain), WELL.removeprefix("<think>")
    assert load_reward(RewardSettings(), domain, opened_think=True)(answer(text), SAMPLE).reward == 1.0
    assert load_reward(RewardSettings(), domain)(answer(text), SAMPLE).reward == 0.0


SCHEDULED = """
from mmreason.records import Verdict
from mmreason.rewards.terms import Terms


def late(rollout, sample, *, progress, options):
    return options["weight"] * (progress > 0.5)


def whole(rollout, sample):
    verdict = Verdict.of(True, "3", "by hand")
    return Terms(0.0, 1.0, 1.6, verdict, "", False, parts={"correct": 1.0, "relevance": 0.6})
"""


def test_a_term_may_ask_for_progress_and_options(own_domain: Path) -> None:
    domain = with_terms(own_domain, term("late"))
    (own_domain / "rewards.py").write_text(SCHEDULED, encoding="utf-8")
    reward = load_reward(RewardSettings(), domain, {"weight": 3.0})
    assert [reward(answer(WELL), SAMPLE, progress).reward for progress in (0.5, 0.51, 1.0)] == [0.0, 3.0, 3.0]
    assert reward(answer(WELL), SAMPLE).reward == 3.0  # evaluation stands at the end of the schedule


def test_a_term_may_give_whole_terms(own_domain: Path) -> None:
    domain = with_terms(own_domain, term("whole"))
    (own_domain / "rewards.py").write_text(SCHEDULED, encoding="utf-8")
    found = load_reward(RewardSettings(), domain)(answer("nothing"), SAMPLE)
    assert (found.reward, found.accuracy, found.verdict.why) == (1.6, 1.0, "by hand")
    assert found.parts == {"correct": 1.0, "relevance": 0.6, "rewards.py:whole": 1.6}
