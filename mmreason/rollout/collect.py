"""Steps 2 to 5: prompts are drawn, answered, scored and filtered until the step has its groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from mmreason.config.grpo import GrpoSettings
from mmreason.curriculum.sampler import take
from mmreason.errors import UserError
from mmreason.models.encode import Example
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.compose import Composition
from mmreason.objectives.method import Context, Group, Trait
from mmreason.objectives.shaping import keep_groups, shape_rewards
from mmreason.records import Rollout, Sample, Unread
from mmreason.rewards.terms import Terms
from mmreason.rollout.stages import sample_groups
from mmreason.run import processes

SEED_STRIDE = 500_009
"""Between the attempts of a step, so that none repeats the chances of another."""
JudgeOne = Callable[[Rollout, Sample], Terms]


class Judged:
    """A reward that remembers what it said of an answer, so that stages and scoring ask once."""

    def __init__(self, reward: JudgeOne) -> None:
        self.reward = reward
        self.held: dict[tuple[str, tuple[int, ...], str], Terms] = {}

    def __call__(self, rollout: Rollout, sample: Sample) -> Terms:
        key = (sample.id, rollout.ids, rollout.text)
        if key not in self.held:
            self.held[key] = self.reward(rollout, sample)
        return self.held[key]


@dataclass
class Collected:
    """A step's groups: all that were sampled, and which of them train."""

    batch: Batch
    """Every row sampled, with its shaped reward."""
    terms: list[Terms]
    kept: list[int]
    """Numbers of the groups that train."""
    drawn: int
    """Position in the stream of prompts after this step."""
    attempts: int


def collect(
    pool: Sequence[Example], drawn: int, seed: int, grpo: GrpoSettings, composition: Composition, ctx: Context
) -> Collected:
    """Draw, sample, score, filter; draw again while too few groups are left and attempts remain.

    The attempts are those of dynamic sampling or of a method that filters, whichever has more. With several a step that
    stays short after the last one trains on fewer groups, and a surplus is dropped. Every process draws the same number
    of prompts. Raises UserError when no group at all is left.
    """
    want = grpo.prompts // processes.size()
    most = max(grpo.dynamic_sampling, *(method.attempts() for method in composition.all("select", ctx.step)), 1)
    groups: list[Group] = []
    replayed = [group for method in composition.all("draw", ctx.step) for group in method.draw(ctx)]
    batch: Batch | None = None
    terms: list[Terms] = []
    kept: list[int] = []
    attempts = 0
    fresh: list[int] = []  # kept groups of this step; replayed ones come on top
    while attempts == 0 or (attempts < most and processes.smallest(len(fresh)) < want):
        examples, drawn = draw_prompts(pool, drawn, seed, grpo.prompts, composition, ctx)
        first = attempts * grpo.prompts + processes.rank()
        numbers = range(first, first + grpo.prompts, processes.size())
        again = replace(ctx, seed=ctx.seed + attempts * SEED_STRIDE)
        groups += sampled(examples, list(numbers), composition, again)
        attempts += 1
        labelled = Trait.UNLABELLED not in composition.traits(ctx.step)
        batch, terms = scored([*groups, *replayed], ctx, labelled)
        batch = shape_rewards(batch, composition, grpo, ctx)
        kept = keep_groups(batch, composition, grpo, ctx)
        own = {group.number for group in groups}
        fresh = [number for number in kept if number in own]
    assert batch is not None
    if processes.largest(len(kept)) == 0:
        raise nothing_left(batch, attempts, grpo, composition, ctx)
    if most > 1:
        kept = [number for number in kept if number not in fresh[want:]]
    return Collected(batch, terms, kept, drawn, attempts)


def nothing_left(batch: Batch, attempts: int, grpo: GrpoSettings, composition: Composition, ctx: Context) -> UserError:
    """What to tell where no group is left to train on."""
    filters = [each.name for each in composition.having("select", ctx.step)]
    rule = " and ".join([*filters, *(["dynamic sampling"] if grpo.dynamic_sampling else [])])
    return UserError(
        f"step {ctx.step}: {rule} left none of {len(batch.numbers())} groups after {attempts} attempts, the first of "
        f"sample {batch.samples[0].id} (right answers: {batch.correct.mean():.0%}); allow more attempts, or give "
        "easier or harder prompts"
    )


def sampled(examples: Sequence[Example], numbers: Sequence[int], composition: Composition, ctx: Context) -> list[Group]:
    """`sample_groups`; what breaks there (an engine that died) is told with the step and the samples."""
    try:
        return sample_groups(examples, numbers, composition, ctx)
    except UserError:
        raise
    except Exception as error:
        names = ", ".join(example.sample.id for example in examples[:4])
        more = f" and {len(examples) - 4} more" if len(examples) > 4 else ""
        raise RuntimeError(f"step {ctx.step}: sampling answers to {names}{more} failed ({error!r})") from error


def draw_prompts(
    pool: Sequence[Example], drawn: int, seed: int, count: int, composition: Composition, ctx: Context
) -> tuple[list[Example], int]:
    """This process's share of the next `count` prompts, and the position after them."""
    sampler = composition.one("choose", ctx.step)
    order = take(len(pool), seed, drawn, count) if sampler is None else sampler.choose(pool, count, ctx)
    return list(processes.share([pool[index] for index in order])), drawn + count


def scored(groups: Sequence[Group], ctx: Context, labelled: bool = True) -> tuple[Batch, list[Terms]]:
    """One row a rollout with its terms.

    Raises UserError naming a prompt whose gold no grader reads, unless a method rewards without labels.
    """
    assert ctx.judge is not None
    rows = [(group, rollout) for group in groups for rollout in group.rollouts]
    if not rows:
        raise UserError(f"step {ctx.step}: the rollout stages left no group at all")
    terms = [ctx.judge(rollout, group.sample) for group, rollout in rows]
    for (group, _), term in zip(rows, terms, strict=True):
        if term.verdict.unread is Unread.GOLD and labelled:
            raise UserError(f"RL prompt {group.sample.id} has a gold answer no grader reads: build the data again")
    parts = {name: [term.parts.get(name, 0.0) for term in terms] for name in terms[0].parts}
    batch = make_batch(
        [rollout for _, rollout in rows],
        [group.sample for group, _ in rows],
        [group.number for group, _ in rows],
        [term.reward for term in terms],
        [term.accuracy for term in terms],
        {"format": [term.format for term in terms], "accuracy": [term.accuracy for term in terms], **parts},
        [group.prompt.media + rollout.media for group, rollout in rows],
    )
    return batch, terms


def rows_of(batch: Batch, numbers: Sequence[int]) -> torch.Tensor:
    """Indices of the rows of some groups, in the order of the batch."""
    return torch.isin(batch.group, torch.tensor(list(numbers))).nonzero().squeeze(-1)
