"""EARL's reward: a table of values by hand, which IoU counts, how answers are read, settings that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmreason.config import load_domain
from mmreason.config.domain import RewardEntry
from mmreason.config.recipe import RewardSettings
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop, Unread
from mmreason.rewards.reward import load_reward

games = load_module(Path(__file__).parent / "earl_games.py")
rewards, settings = games.rewards, games.settings

CHOICE = Answer(AnswerKind.CHOICE, "B", options=games.LETTERS)
EARLY, LATE = 0.5, 0.51


def sample(answer: Answer = CHOICE, gold: list[float] | None = [1.0]) -> Sample:  # noqa: B006
    found = {} if gold is None else {"gold_times": gold}
    messages = (Message.of(Role.USER, "what is it ?"),)
    return Sample("q7", Source("own", "test", "", "0"), messages, answer, evidence=found)


def call(iou: float | None, selected: list[int] | None = None, gold: list[int] | None = None) -> dict[str, Any]:
    shown = {"frames": list(range(0, 160, 10)), "seconds": []}
    chosen = selected or [3]
    return {"kind": "call", "shown": shown, "selected": chosen, "gold": gold, "iou": iou, "refined": {"frames": [1, 2]}}


def rollout(text: str, *told: dict[str, Any], stop: Stop = Stop.EOS) -> Rollout:
    return Rollout((), (), (), text, stop, extras={"said": [*["x"] * len(told), text], "turns": [*told, {}]})


def reward(text: str, *told: dict[str, Any], progress: float = 1.0, stop: Stop = Stop.EOS, **options: Any) -> float:
    game = rollout(text, *told, stop=stop)
    return rewards.purity(game, sample(), progress=progress, options={"earl": options}).reward


RIGHT, WRONG = "\\boxed{B}", "\\boxed{A}"
# section 6 of the sheet: answer, IoU of the selection (None: no selection), early, late
VALUES = [
    (RIGHT, None, 0.50, 0.50),
    (RIGHT, 0.0, 1.00, 0.60),
    (RIGHT, 0.49, 1.098, 0.845),
    (RIGHT, 0.5, 1.60, 1.35),
    (RIGHT, 1.0, 1.70, 1.60),
    (WRONG, None, -1.00, -1.00),
    (WRONG, 0.0, -0.50, -0.90),
    (WRONG, 1.0, -0.30, -0.40),
]


@pytest.mark.parametrize(("text", "iou", "early", "late"), VALUES)
def test_the_value_table(text: str, iou: float | None, early: float, late: float) -> None:
    told = [] if iou is None else [call(iou)]
    assert reward(text, *told, progress=EARLY) == pytest.approx(early)
    assert reward(text, *told, progress=LATE) == pytest.approx(late)


def test_the_switch_is_a_step_at_its_own_share() -> None:
    assert reward(RIGHT, call(1.0), progress=0.3, switch=0.3) == pytest.approx(1.7)
    assert reward(RIGHT, call(1.0), progress=0.31, switch=0.3) == pytest.approx(1.6)


PLAIN = {
    **dict.fromkeys(("alpha_early", "beta_early", "alpha_late", "beta_late", "gate", "wrong"), 0.0),
    **dict.fromkeys(("correct", "half"), 1.0),
}


@pytest.mark.parametrize("told", [[], [call(0.0)], [call(1.0)], [call(None)]])
def test_plain_grpo_is_a_choice_of_constants(told: list[dict[str, Any]]) -> None:
    assert reward(RIGHT, *told, progress=0.1, **PLAIN) == 1.0
    assert reward(WRONG, *told, progress=0.1, **PLAIN) == 0.0


ROUNDS = [call(0.5, [0, 1], [1]), call(None, [5]), call(0.25, [2, 3], [3, 4, 6])]
# union: {0, 10, 50, 20, 30} with {10, 30, 40, 60}: 2 of 7
KINDS = {"mean": 0.375, "first": 0.5, "last": 0.25, "union": 2 / 7}


@pytest.mark.parametrize("kind", KINDS)
def test_which_iou_counts(kind: str) -> None:
    """A round without gold among its frames is skipped by all but union."""
    terms = rewards.purity(rollout(RIGHT, *ROUNDS), sample(), progress=1.0, options={"earl": {"iou": kind}})
    assert terms.parts["relevance"] == pytest.approx(0.5 * KINDS[kind])
    assert terms.parts["correct"] == (1.0 if kind == "first" else 0.5)
    assert [terms.parts[name] for name in ("iou", "iou_first", "iou_last", "iou_union")] == pytest.approx(
        [*KINDS.values()]
    )


def test_the_parts_add_up_and_say_what_was_looked_at() -> None:
    error = {"kind": "error", "shown": {"frames": list(range(16)), "seconds": []}, "refined": None}
    terms = rewards.purity(rollout(RIGHT, error, *ROUNDS), sample(), progress=1.0, options={})
    parts = terms.parts
    assert parts["correct"] + parts["action"] + parts["relevance"] == pytest.approx(terms.reward)
    assert (parts["selected"], parts["rounds"], parts["errors"]) == (pytest.approx(5 / 3), 3.0, 1.0)
    assert (parts["frames"], parts["gold"]) == (16 + 3 * 2, 1.0)
    assert (terms.accuracy, terms.verdict.read) == (1.0, "B")
    alone = rewards.purity(rollout(RIGHT), sample(), progress=1.0, options={"earl": {"grid": 24}})
    assert (alone.parts["frames"], alone.parts["selected"]) == (24.0, 0.0)


def test_a_call_that_failed_earns_nothing_for_acting() -> None:
    error = {"kind": "error", "shown": {"frames": [0], "seconds": []}, "iou": None, "refined": None}
    assert reward(RIGHT, error, progress=EARLY) == 0.5


def test_a_selection_whose_frames_no_longer_fitted_was_not_executed() -> None:
    game = rollout("x" + games.select(3), call(1.0), stop=Stop.LENGTH)
    game.extras.update(said=["x"], turns=[call(1.0)])
    assert rewards.purity(game, sample(), progress=EARLY, options={}).reward == -1.0


def test_what_was_cut_is_unread_whatever_it_says() -> None:
    terms = rewards.purity(rollout(RIGHT, stop=Stop.LENGTH), sample(), progress=1.0, options={})
    assert (terms.reward, terms.accuracy, terms.verdict.unread) == (-1.0, 0.0, Unread.PREDICTION)


def test_an_unreadable_gold_stays_one() -> None:
    """The data stage must drop it; no verdict may hide it."""
    broken = sample(Answer(AnswerKind.NUMBER, "many"))
    terms = rewards.purity(rollout("\\boxed{3}", stop=Stop.LENGTH), broken, progress=1.0, options={})
    assert terms.verdict.unread is Unread.GOLD


NUMBERS = [("3", "3.004", 1.0), ("3", "3.006", 0.0), ("1000", "1000.4", 0.0), ("0.12", "0.123", 1.0), ("3", "3.0", 1.0)]
NUMBERS += [("yes", "yes", 1.0), ("yes", "no", 0.0)]


@pytest.mark.parametrize(("gold", "said", "right"), NUMBERS)
def test_numbers_are_equal_after_rounding_to_two_decimals(gold: str, said: str, right: float) -> None:
    terms = rewards.purity(
        rollout(f"\\boxed{{{said}}}"), sample(Answer(AnswerKind.NUMBER, gold)), progress=1.0, options={}
    )
    assert terms.accuracy == right


def test_training_without_gold_is_refused_and_evaluation_is_not() -> None:
    bare = sample(gold=None)
    with pytest.raises(UserError, match="sample q7 has no gold_times"):
        rewards.purity(rollout(RIGHT), bare, progress=0.5, options={})
    assert rewards.purity(rollout(RIGHT), bare, progress=0.5, options={"earl": PLAIN}).reward == 1.0
    assert rewards.purity(rollout(RIGHT, call(None)), bare, progress=1.0, options={}).reward == pytest.approx(0.6)


def test_a_recipe_loads_it() -> None:
    """As a run does: by reference, with progress and options by name; the term's own parts stay beside the reward."""
    domain = load_domain(project_dir() / "domains" / "video")
    file = domain.file.model_copy(update={"rewards": [RewardEntry(term="earl/rewards.py:purity")]})
    given = load_reward(RewardSettings(), domain.model_copy(update={"file": file}), {"earl": {"switch": 0.2}})
    terms = given(rollout(RIGHT, call(1.0)), sample(), 0.1)
    assert terms.reward == pytest.approx(1.7) == terms.parts["earl/rewards.py:purity"]
    assert terms.parts["action"] == 0.5
    assert given(rollout(RIGHT, call(1.0)), sample(), 0.3).reward == pytest.approx(1.6)


BAD = [
    ({"alpha_early": 1.0, "beta_early": 0.5}, "alpha_early \\+ beta_early is 1.5.*below half - wrong = 1.5"),
    ({"alpha_late": 0.9, "beta_late": 0.9}, "alpha_late \\+ beta_late is 1.8"),
    ({"wrong": 0.0}, "below half - wrong = 0.5"),
    ({"max_selected": 9, "refined": 8}, "max_selected 9 exceeds refined 8"),
    ({"swich": 0.3}, "unknown key 'swich' \\(did you mean 'switch'"),
    ({"switch": 2.0}, "switch: .*less than or equal to 1"),
    ({"iou": "best"}, "iou: .*'mean', 'first', 'last' or 'union'"),
    ({"intro": "{frames} frames"}, "intro '{frames} frames' has a hole beside"),
    ({"grid": 0}, "grid: "),
]


@pytest.mark.parametrize(("options", "line"), BAD)
def test_settings_that_cannot_be(options: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        settings.of({"earl": options})


def test_defaults_are_the_sheets() -> None:
    """Section 9, and the design conditions: late junk earns at most 0.1."""
    own = settings.of({})
    assert (own.grid, own.refined, own.max_selected, own.max_rounds) == (32, 16, 8, 2)
    assert [own.weights(share) for share in (0.01, 0.5, 0.51, 1.0)] == [(0.5, 0.2)] * 2 + [(0.1, 0.5)] * 2
