"""A written trace of several turns as the rollout that saying it would make.

What a cold start learns from must look as it will in RL: the environment that answers there answers here, so that ids,
pictures and the marks between turns are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import cast

from mmreason.config import Domain, Recipe
from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.models.codec import Codec, Encoded
from mmreason.records import Rollout, Sample, Stop
from mmreason.rollout.engine import PLAIN, Asked, Engine, Request
from mmreason.rollout.environment import Environment, Setting, load_environment, stops_of
from mmreason.rollout.turns import play

TURN_END = "</tool_call>"
"""Ends a turn in the response text of a sample where the environment names no stop texts; Qwen's models end a call
with it."""
_ROOM = 1 << 20
"""Tokens that a trace may have, its replies included; `sft.max_tokens` bounds what is trained on."""


def turns_of(response: str, ends: Sequence[str] = (TURN_END,)) -> list[str]:
    """The turns of a response: each ends with a call, that is with one of `ends`, the last one where the text does."""
    mark = "|".join(re.escape(end) for end in ends)
    parts = re.findall(f".*?(?:{mark})|.+$", response, re.DOTALL)
    return [part for part in parts if part.strip()]


def replay(
    codec: Codec, sample: Sample, prompt: Encoded, environment: Environment, turns: Sequence[str], max_turns: int
) -> Rollout:
    """The rollout in which the model says `turns` and the environment replies.

    Raises UserError naming the sample where the environment ends it before the last turn, or waits for another.
    """
    speaker, room = _Speaker(codec, list(turns)), Sampling(max_new_tokens=_ROOM)
    engine = cast(Engine, speaker)  # of an engine's functions `play` asks this one alone
    ((rollout,),) = play(engine, codec, [Request(sample, prompt)], environment, room, max_turns=max_turns)
    said = len(rollout.extras["said"])
    if speaker.left or rollout.stop is not Stop.EOS:
        found = f"the trace has {len(turns)} turns, the environment let it say {said} (at most {max_turns})"
        raise UserError(f"sample {sample.id}: {found}: {rollout.text[-200:]!r}; a trace ends with its answer")
    return rollout


def answering(codec: Codec, domain: Domain, recipe: Recipe) -> Callable[[Sample, Encoded], Rollout] | None:
    """How responses of a domain with an environment are played; None where there is none."""
    if domain.file.environment is None:
        return None
    setting = Setting(recipe.options, codec, recipe.seeds.sampling, domain.file.max_turns)
    environment = load_environment(domain.file.environment, domain.folder, setting)
    ends = stops_of(environment) or (TURN_END,)

    def answer(sample: Sample, prompt: Encoded) -> Rollout:
        return replay(codec, sample, prompt, environment, turns_of(sample.response or "", ends), domain.file.max_turns)

    return answer


class _Speaker:
    """Says what is written, one turn a call."""

    def __init__(self, codec: Codec, turns: list[str]) -> None:
        self.codec = codec
        self.left = turns[::-1]

    def extend(
        self, requests: Sequence[Request], sampling: Sampling, n: int = 1, seed: int = 0, asked: Asked = PLAIN
    ) -> list[list[Rollout]]:
        if not self.left:  # the trace is over, the environment is not
            return [[Rollout((), (), (), "", Stop.LENGTH)]]
        text = self.left.pop()
        called = text.endswith(sampling.stop)  # generation would have ended here, before an end of turn
        ids = tuple(self.codec.encode_response(text)[: -1 if called else None])
        stop = Stop.CUT if called else Stop.EOS
        return [[Rollout(tuple(requests[0].prompt.ids), ids, (0.0,) * len(ids), text, stop)]]
