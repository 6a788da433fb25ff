"""What methods with a `roll` hook share: seeds, verdicts, longer prompts, rows of another hand."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

from mmreason.errors import UserError
from mmreason.models.codec import Encoded
from mmreason.objectives.method import Context, Group
from mmreason.records import Message, Role, Rollout, Sample
from mmreason.records.sample import Part


def seed_of(ctx: Context, purpose: str, number: int = 0) -> int:
    """A seed for one call of this step, apart from those of the first rollouts and of other purposes.

    `number` is that of the call's first group, so that groups drawn later in the step do not repeat its chances.
    """
    return zlib.crc32(f"{ctx.seed}/{purpose}/{number}".encode())


def solved(group: Group, ctx: Context, rollouts: Sequence[Rollout] | None = None) -> list[bool]:
    """The verifier's verdict on each of `rollouts`, by default the group's own; the reward's shape plays no part."""
    assert ctx.judge is not None
    chosen = group.rollouts if rollouts is None else rollouts
    return [ctx.judge(rollout, group.sample).accuracy > 0.0 for rollout in chosen]


def appended(sample: Sample, text: str) -> Sample:
    """The sample with `text` at the end of its last user turn. Raises UserError where there is no such turn."""
    turns = list(sample.prompt)
    users = [place for place, message in enumerate(turns) if message.role is Role.USER]
    if not users:
        raise UserError(f"sample {sample.id} has no user turn to put a hint behind")
    last = turns[users[-1]]
    turns[users[-1]] = Message(last.role, (*last.parts, Part("text", text)))
    return replace(sample, messages=tuple(turns))


def from_elsewhere(rollout: Rollout, prompt: Encoded) -> Rollout:
    """The rollout as an answer to `prompt`, which it was not sampled from: an external row without probabilities."""
    return replace(
        rollout,
        prompt_ids=tuple(prompt.ids),
        logprobs=(0.0,) * len(rollout.ids),
        entropies=(),
        external=True,
        same_context=False,
    )
