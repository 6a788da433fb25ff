"""The seventeen ways in which changes to GRPO get into each other's way (zoo, 3.6), and what becomes of each.

Refused ones stop the run before anything heavy loads, with the reason and the way out. Resolved ones need no word from
the user; `how` says which function sees to it. Methods whose phases never meet do not conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmreason.errors import UserError
from mmreason.objectives.method import Trait, hooks_of

if TYPE_CHECKING:
    from mmreason.config.grpo import GrpoSettings
    from mmreason.objectives.compose import Active, Composition

    Check = Callable[[Sequence[Active], GrpoSettings], str | None]


@dataclass(frozen=True, slots=True)
class Conflict:
    """`check` tells what is wrong with methods that act together, None where nothing is; resolved ones have none."""

    number: int
    title: str
    how: str
    check: Check | None = None

    @property
    def refused(self) -> bool:
        return self.check is not None


def refuse(composition: Composition, grpo: GrpoSettings) -> None:
    """Raise UserError for the first conflict that some step of the run would meet."""
    for step in composition.turns():
        if step > grpo.steps:
            continue
        for conflict in CONFLICTS:
            found = conflict.check(composition.on(step), grpo) if conflict.check else None
            if found:
                raise UserError(f"conflict {conflict.number} ({conflict.title}) in step {step}: {found}")


def _with(on: Sequence[Active], *traits: Trait) -> list[str]:
    """Names of the methods that have one of the traits."""
    return [each.name for each in on if each.method.traits & set(traits)]


def _hooked(on: Sequence[Active], *hooks: str) -> list[str]:
    """Names of the methods that have one of the hooks."""
    return [each.name for each in on if set(hooks) & set(hooks_of(each.method))]


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)


def _deviation(on: Sequence[Active], grpo: GrpoSettings) -> str | None:
    shaping = _with(on, Trait.SHAPES_REWARD)
    if not shaping:
        return None
    why = "a bonus of 0.02 becomes an advantage of 1 where all answers are right"
    dividing = [name for name in _with(on, Trait.TOKEN_MEANS) if name in _hooked(on, "estimate")]
    if dividing:
        return f"{dividing[0]} divides what {_and(shaping)} adds by the group's deviation: {why}; drop one of them"
    if grpo.advantage != "group" or _hooked(on, "estimate"):
        return None
    return (
        f"grpo.advantage=group divides what {_and(shaping)} adds to the reward by the group's deviation: {why}; set "
        "grpo.advantage to centred, batch or lite"
    )


def _lengths(on: Sequence[Active], grpo: GrpoSettings) -> str | None:
    pushing, scoring = _with(on, Trait.LENGTH), _with(on, Trait.SCORES_TRUNCATED)
    if len(pushing) > 1:
        return f"{_and(pushing)} both push the length, which counts it twice; keep one, or part their phases"
    if pushing and grpo.overlong_buffer > 0:
        return f"{pushing[0]} and the overlong penalty both push the length; set grpo.overlong_buffer=0"
    if scoring and grpo.overlong == "mask":
        return f"{scoring[0]} needs answers cut by the limit in the loss with reward 0; set grpo.overlong=keep"
    return None


def _entropies(on: Sequence[Active], grpo: GrpoSettings) -> str | None:
    up, down = _with(on, Trait.ENTROPY_UP), _with(on, Trait.ENTROPY_DOWN)
    if not (up and down):
        return None
    return (
        f"{_and(up)} raises or holds the entropy and {_and(down)} lowers it; keep one side, or part their phases with "
        "`from` and `until`"
    )


def _external(on: Sequence[Active], grpo: GrpoSettings) -> str | None:
    bringing = _with(on, Trait.EXTERNAL_ROWS)
    if not bringing or _hooked(on, "external"):
        return None
    return (
        f"{_and(bringing)} brings answers that the policy did not sample, on which ratio and clip say nothing, and no "
        "method gives their loss; add one with the hook `external` (`mmreason list methods`)"
    )


def _sequence_ratio(on: Sequence[Active], grpo: GrpoSettings) -> str | None:
    own = _hooked(on, "ratio")
    if own and grpo.ratio != "token":
        return f"{own[0]} brings a ratio of its own and grpo.ratio={grpo.ratio} would not be used; set grpo.ratio=token"
    tokens = _hooked(on, "transform", "shape")
    tokens += [name for name in _with(on, Trait.TOKEN_RATIO, Trait.TURN_BASELINE) if name not in tokens]
    if grpo.ratio != "sequence" or not tokens:
        return None
    return (
        f"{_and(tokens)} treats tokens one by one, and grpo.ratio=sequence has one ratio and one clip for all of an "
        "answer; set grpo.ratio=sequence_token"
    )


def _token_weights(on: Sequence[Active], grpo: GrpoSettings) -> str | None:
    for trait, word in ((Trait.TOKEN_WEIGHT, "weights"), (Trait.TOKEN_MASK, "masks")):
        names = _with(on, trait)
        if len(names) > 1:
            return (
                f"the token {word} of {_and(names)} would multiply, which leaves few tokens and nobody knows which; "
                "one method that weights and one that masks go together: drop one, or part their phases"
            )
    return None


def _unlabelled(on: Sequence[Active], grpo: GrpoSettings) -> str | None:
    without = _with(on, Trait.UNLABELLED)
    if not without:
        return None
    if grpo.dynamic_sampling > 0:
        return (
            f"{without[0]} rewards without reference answers, and dynamic sampling filters by accuracy; set "
            "grpo.dynamic_sampling=0"
        )
    others = [each for each in on if Trait.UNLABELLED not in each.method.traits]
    asking = [*_with(others, Trait.RESCUES), *_hooked(others, "select", "choose")]
    asking += [each.name for each in others if each.method.gate != "always"]
    if not asking:
        return None
    return (
        f"{without[0]} rewards without reference answers, and {asking[0]} goes by accuracy (to rescue, filter, draw or "
        "gate); drop one, or part their phases"
    )


def _sampling(on: Sequence[Active], grpo: GrpoSettings) -> str | None:
    if grpo.sampling.top_p < 1.0 and grpo.mismatch != "off":
        return (
            f"grpo.sampling.top_p={grpo.sampling.top_p} samples from a cut distribution and grpo.mismatch="
            f"{grpo.mismatch} would take the cut for a gap between engine and trainer; set top_p=1.0 or mismatch=off"
        )
    heating = _with(on, Trait.HEATS)
    if heating and grpo.engine != "transformers":
        return (
            f"{heating[0]} sets the temperature of single tokens, which engine={grpo.engine} cannot; set "
            "grpo.engine=transformers"
        )
    return None


def _estimators(on: Sequence[Active], grpo: GrpoSettings) -> str | None:
    own = _hooked(on, "estimate")
    if not own or grpo.advantage == "group":
        return None
    return (
        f"{own[0]} estimates the advantage itself and grpo.advantage={grpo.advantage} would not be used; leave "
        "grpo.advantage at group, which the method replaces"
    )


CONFLICTS = (
    Conflict(1, "filters against rescues", "order (`roll` before `select`); shaping.keep_groups asks accuracy alone"),
    Conflict(2, "deviation against shaped rewards", "advantage=group with a method that shapes the reward", _deviation),
    Conflict(3, "gates before normalisation", "shaping.shape_rewards gates each term before any statistics"),
    Conflict(4, "two forces on the length", "two of them, one with overlong_buffer, or overlong=mask", _lengths),
    Conflict(5, "entropy up against entropy down", "both in one step", _entropies),
    Conflict(6, "another context", "mismatch.mismatch_weights leaves rows of another context at 1"),
    Conflict(7, "external rows", "no method with the hook `external`", _external),
    Conflict(8, "sequence ratio against token rules", "ratio=sequence with methods on tokens", _sequence_ratio),
    Conflict(9, "covariance masks", "order (`ratio` before `shape`): `Forward.ratio` is set, statistics over `mask`"),
    Conflict(10, "stacked token weights", "two weights, or two masks", _token_weights),
    Conflict(11, "shared prefixes", "shaping.shared_prefix_weights: 1/k in each of k leaves, or 1 in the first"),
    Conflict(12, "several turns", "`Batch.mask` and `Batch.length` know model tokens alone; `estimate` is single"),
    Conflict(13, "rewards without labels", "dynamic sampling, or methods that go by accuracy", _unlabelled),
    Conflict(14, "transformed sampling", "top_p < 1 with mismatch, heated tokens without transformers", _sampling),
    Conflict(15, "replayed baselines", "`Rollout.extras['advantage']` bypasses the statistics of its group"),
    Conflict(16, "groups beyond the prompt", "`Batch.group` is data: statistics go by number, not by place"),
    Conflict(17, "one estimator", "a method's `estimate` with another advantage than group", _estimators),
)
