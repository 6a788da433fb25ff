"""Answers of several turns: the model speaks, an environment replies with text or pictures, the model goes on.

Ids that the model wrote are never decoded and tokenised again. What stands between two turns is taken from the chat
template once, as ids; an environment's text is tokenised by itself, and special tokens inside it stay plain text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

from PIL import Image

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.models.medium import Medium
from mmreason.models.tokenizer import IMAGE_PAD
from mmreason.project import load_ref
from mmreason.records import Rollout, Sample, Stop
from mmreason.records.rollout import Segment, SegmentKind
from mmreason.rollout.engine import PLAIN, Asked, Engine, Request, session_of
from mmreason.rollout.pieces import cut, join, put_in
from mmreason.rollout.temperature import at_temperature, later

_ANSWER, _REPLY = "ANSWERPLACE", "REPLYPLACE"
_TURN_SEEDS = 2**32
"""Between the seeds of two turns, so that a turn draws unlike its step's first and the next step's."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What an environment says to a turn."""

    parts: tuple[str | Image.Image | Medium, ...] = ()
    """Text and pictures in the order in which the model sees them."""
    done: bool = False
    """The answer ends here; the parts are not added."""
    info: dict[str, Any] = field(default_factory=dict)
    """Kept in the rollout's `extras["turns"]`, one entry a turn."""


class Environment(Protocol):
    """A tool, a game, a user: answers what the model said."""

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
        """To the end of `rollout`, which holds all turns so far; `turn` counts from 0. None: nothing to say, the
        answer is finished.

        `rollout.extras["said"]` holds the text of each of the model's turns, the last one to be answered now;
        `rollout.extras["turns"]` the info of each reply before.
        """
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What an environment may know of the run that it is part of."""

    options: Mapping[str, Any]
    """The recipe's `options`."""
    codec: Codec
    seed: int = 0


def load_environment(ref: str, folder: Path, setting: Setting) -> Environment:
    """The environment that 'file.py:name' makes of `setting`, relative to a domain's folder. Raises UserError where
    what it makes has no `reply`."""
    made = load_ref(ref, folder)(setting)
    if not callable(getattr(made, "reply", None)):
        raise UserError(f"environment {ref!r} makes a {type(made).__name__} without a method 'reply'")
    return cast(Environment, made)


@dataclass(frozen=True, slots=True)
class Markers:
    """Ids that the chat template puts between an assistant's text and the assistant's next text."""

    opens: tuple[int, ...]
    """Ends the assistant's turn (its first id is the end of turn) and begins the reply."""
    closes: tuple[int, ...]
    """Ends the reply and begins the assistant's next turn."""
    picture: tuple[tuple[int, ...], tuple[int, ...]] | None
    """What stands before and after a picture's placeholders; None for a text-only template."""

    @classmethod
    def of(cls, codec: Codec, role: str = "user") -> Markers:
        """Read from the template of `codec` for replies of `role` ("user", or "tool" where the template has it)."""
        opens, closes = _between(codec, role, _REPLY)
        ids = tuple(codec.tokenizer.encode(opens, add_special_tokens=False))
        if not ids or ids[0] != codec.eos_id:
            raise UserError(f"the chat template goes on from an answer with {opens!r}, not with the end of turn")
        if codec.images is None:
            return cls(ids, tuple(codec.tokenizer.encode(closes, add_special_tokens=False)), None)
        shown, _ = _between(codec, role, [{"type": "image"}, {"type": "text", "text": _REPLY}])
        before, _, after = shown.removeprefix(opens).partition(IMAGE_PAD)
        encoded = [tuple(codec.tokenizer.encode(text, add_special_tokens=False)) for text in (closes, before, after)]
        return cls(ids, encoded[0], (encoded[1], encoded[2]))


def _between(codec: Codec, role: str, content: Any) -> tuple[str, str]:
    """Template text from the end of an answer to a reply, and from there to the next answer."""
    chat = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": _ANSWER},
        {"role": role, "content": content},
    ]
    text = str(codec.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
    opens, found, closes = text.partition(_ANSWER)[2].partition(_REPLY)
    if not found:
        raise UserError(f"the chat template does not show what the role {role!r} says after an answer")
    return opens, closes


def observation(
    codec: Codec, markers: Markers, reply: Reply, ended: bool, sample: str
) -> tuple[list[int], list[Medium]]:
    """Ids of a reply with its markers, and its pictures. `ended`: the model wrote the end of turn itself."""
    ids = list(markers.opens[1:] if ended else markers.opens)
    media: list[Medium] = []
    for part in reply.parts:
        if isinstance(part, str):
            ids += codec.tokenizer.encode(part, add_special_tokens=False, split_special_tokens=True)
            continue
        if markers.picture is None:
            raise UserError(f"sample {sample}: the environment replied with a picture, but the model reads text only")
        medium = part if isinstance(part, Medium) else codec.patches(part.convert("RGB"))
        ids += [*markers.picture[0], *[codec.visual_ids[0]] * medium.num_tokens(codec.merge), *markers.picture[1]]
        media.append(medium)
    return [*ids, *markers.closes], media


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
    turn that ends with one of `asked.stop_ids` (a closed tool call) is answered as one that ends with the end of turn.
    Stop reason of an answer: EOS where the environment had nothing to say to a closed turn, ENVIRONMENT where it ended
    the answer or the limit of turns did, LENGTH where the tokens ran out. A reply that no longer fits is never cut:
    the answer ends before it with LENGTH and the line in `extras["unfit"]`. Raises UserError, naming the sample and
    both numbers, for a reply that would not fit an answer of nothing else.
    """
    markers = Markers.of(codec, role)
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
            for game in going:
                if not game.over:
                    game.answer(environment, turn, limit, codec, markers, last=turn + 1 == max_turns)
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

    def answer(
        self, environment: Environment, turn: int, limit: int, codec: Codec, markers: Markers, last: bool
    ) -> None:
        """Let the environment reply, and add what it says if another turn follows."""
        name, ended = self.start.sample.id, self.rollout.stop is Stop.EOS
        try:
            reply = environment.reply(self.start.sample, self.rollout, turn)
        except UserError:
            raise
        except Exception as error:
            raise RuntimeError(f"sample {name}: the environment failed in turn {turn} ({error!r})") from error
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
        self.rollout = join(self.rollout, put_in(ids, SegmentKind.TOOL, media=media), codec)

    def _end(self, stop: Stop, **more: Any) -> None:
        self.over = True
        self.rollout = replace(self.rollout, stop=stop, extras={**self.rollout.extras, **more})

    def _remember(self, key: str, value: Any) -> None:
        extras = self.rollout.extras
        self.rollout = replace(self.rollout, extras={**extras, key: [*extras[key], value]})
