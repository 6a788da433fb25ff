"""Answers of several turns: the model speaks, an environment replies with text or pictures, the model goes on.

Ids that the model wrote are never decoded and tokenised again. A reply stands between two turns of the assistant, as
the chat template has it, or inside one turn, right behind the text that ended generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.records import Rollout, Stop
from mmreason.records.rollout import Segment, SegmentKind
from mmreason.rollout.engine import PLAIN, Asked, Engine, Request, session_of
from mmreason.rollout.environment import Environment, Reply, replies_of, stops_of
from mmreason.rollout.markers import Markers, observation
from mmreason.rollout.pieces import cut, join, put_in
from mmreason.rollout.temperature import at_temperature, later

_TURN_SEEDS = 2**32
"""Between the seeds of two turns, so that a turn draws unlike its step's first and the next step's."""


def play(
    engine: Engine,
    codec: Codec,
    requests: Sequence[Request],
    environment: Environment,
    sampling: Sampling,
    n: int = 1,
    seed: int = 0,
    max_turns: int = 4,
    asked: Asked = PLAIN,
    role: str = "user",
) -> list[list[Rollout]]:
    """`n` answers to each request, in order, of up to `max_turns` turns of the model.

    The limit of tokens (`asked.max_new_tokens`, else the sampling's) holds for a whole answer, replies included. A
    turn that ends with one of `asked.stop_ids` or with a stop text, the sampling's or the environment's (a closed tool
    call), is answered as one that ends with the end of turn.
    Stop reason of an answer: EOS where the environment had nothing to say to a closed turn, ENVIRONMENT where it ended
    the answer or the limit of turns did, LENGTH where the tokens ran out. A reply that no longer fits is never cut:
    the answer ends before it with LENGTH and the line in `extras["unfit"]`. Raises UserError, naming the sample and
    both numbers, for a reply that would not fit an answer of nothing else.
    """
    markers = Markers.of(codec, role)
    stop = tuple(dict.fromkeys((*sampling.stop, *stops_of(environment))))
    sampling = sampling.model_copy(update={"stop": stop})
    limit = sampling.max_new_tokens if asked.max_new_tokens is None else asked.max_new_tokens
    games = [_Game(request, _nothing(request)) for request in requests for _ in range(n)]
    with session_of(engine):
        for turn in range(max_turns):
            going = [game for game in games if not game.over]
            if not going:
                break
            asked = replace(asked, max_new_tokens=max(limit - len(game.rollout.ids) for game in going))
            if turn == 0:
                groups = engine.extend(requests, sampling, n, seed, asked)
            else:
                asks, at = [game.request for game in going], seed + turn * _TURN_SEEDS
                groups = at_temperature(engine.extend(asks, later(sampling), 1, at, asked), sampling)
            for game, answer in zip(going, (answer for group in groups for answer in group), strict=True):
                game.hear(answer, turn, limit, codec)
            heard = [game for game in going if not game.over]
            replies = replies_of(environment, [(game.start.sample, game.rollout) for game in heard], turn)
            for game, reply in zip(heard, replies, strict=True):
                game.take(reply, turn, limit, codec, markers, last=turn + 1 == max_turns)
    rollouts = [game.rollout for game in games]
    return [rollouts[start : start + n] for start in range(0, len(rollouts), n)]


def _nothing(request: Request) -> Rollout:
    return Rollout(tuple(request.prompt.ids), (), (), "", Stop.CUT, extras={"said": [], "turns": []})


@dataclass(slots=True)
class _Game:
    """One answer while it grows."""

    start: Request
    rollout: Rollout
    over: bool = False

    @property
    def request(self) -> Request:
        """What the next turn goes on from."""
        begun, media = self.start.begun + self.rollout.ids, self.start.media + self.rollout.media
        return replace(self.start, begun=begun, media=media)

    def hear(self, answer: Rollout, turn: int, limit: int, codec: Codec) -> None:
        """Add a turn of the model, which other answers' room may have let run beyond this one's."""
        room = limit - len(self.rollout.ids)
        if len(answer.ids) > room:
            answer = replace(cut(answer, room, codec), stop=Stop.LENGTH)
        answer = replace(answer, segments=(Segment(0, len(answer.ids), SegmentKind.MODEL, 1 if turn else 0),))
        self.rollout = join(self.rollout, answer, codec)
        self._remember("said", answer.text)
        if answer.stop is Stop.LENGTH:
            self._end(Stop.LENGTH)

    def take(self, reply: Reply | None, turn: int, limit: int, codec: Codec, markers: Markers, last: bool) -> None:
        """Add what the environment said if another turn follows."""
        name, ended = self.start.sample.id, self.rollout.stop is Stop.EOS
        self._remember("turns", reply.info if reply is not None else {})
        if reply is None or reply.done or last:
            self._end(Stop.EOS if reply is None and ended else Stop.ENVIRONMENT)
            return
        ids, media = observation(codec, markers, reply, ended, name)
        line = (
            f"sample {name}: the reply of turn {turn} has {len(ids)} tokens, {limit - len(self.rollout.ids)} are left"
        )
        if len(ids) >= limit:
            raise UserError(f"{line} of {limit}; raise max_new_tokens or let the environment send less")
        if len(self.rollout.ids) + len(ids) >= limit:
            self._end(Stop.LENGTH, unfit=line)
            return
        self.rollout = join(self.rollout, put_in(ids, reply.kind, media=media), codec)

    def _end(self, stop: Stop, **more: Any) -> None:
        self.over = True
        self.rollout = replace(self.rollout, stop=stop, extras={**self.rollout.extras, **more})

    def _remember(self, key: str, value: Any) -> None:
        extras = self.rollout.extras
        self.rollout = replace(self.rollout, extras={**extras, key: [*extras[key], value]})
