"""Cold-start traces of real clips: an endpoint that sees frames plays in the real environment.

The endpoint is the policy: it gets the domain's prompt with the grid as pictures, its calls are answered by the very
environment of RL, and what it said is kept turn by turn where it ended well. Rejection sampling of this kind stands in
for the paper's 3.8k trajectories, of which neither teacher nor check is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from mmreason.data.endpoint import Chat, Reply, picture_part, text_part
from mmreason.data.step import Drop, StepContext
from mmreason.data.workers import map_stream
from mmreason.errors import UserError
from mmreason.media.clips import Clip, open_clip
from mmreason.models.codec import Codec
from mmreason.models.medium import Medium
from mmreason.project import load_module
from mmreason.protocol import Protocol
from mmreason.records import MediaRef, Outcome, Rollout, Sample, Stop
from mmreason.rewards.grade import grade
from mmreason.rollout.environment import Setting

_HERE = Path(__file__).parent
calls = load_module(_HERE / "calls.py")
environment = load_module(_HERE / "environment.py")
frames = load_module(_HERE / "data_frames.py")
gold = load_module(_HERE / "gold.py")
settings = load_module(_HERE / "settings.py")


@dataclass(frozen=True, slots=True)
class _Processor:
    patch_size: int = 1


@dataclass(frozen=True, slots=True)
class Camera:
    """A codec's part towards the environment: frames as media whose patches are single pixels."""

    root: Path
    max_pixels: int
    images: _Processor = _Processor()
    merge: int = 1

    def clip(self, ref: MediaRef) -> Clip:
        return open_clip(self.root, ref)

    def frames(self, ref: MediaRef, indices: Sequence[int]) -> list[Medium]:
        shots = frames.pictures(self.clip(ref), indices, self.max_pixels)
        return [_as_medium(shot, f"{ref.path} {index}") for shot, index in zip(shots, indices, strict=True)]


def _as_medium(picture: Image.Image, key: str) -> Medium:
    pixels = torch.from_numpy(np.array(picture)).reshape(-1, 3)  # uint8 [height * width, 3]
    return Medium(pixels, (1, picture.height, picture.width), key=key)


def _as_picture(medium: Medium) -> Image.Image:
    _, height, width = medium.grid
    return Image.fromarray(medium.pixels.reshape(height, width, 3).numpy())


@dataclass(frozen=True, slots=True)
class Played:
    """One game of the endpoint."""

    turns: tuple[str, ...]
    notes: tuple[dict[str, Any], ...]
    """The environment's on each turn before the last."""
    fault: str
    """Why it is not learnt from: "cut", "two_calls", "no_answer", "wrong" or "no_call"; empty if it is."""


def traces(
    stream: Iterable[Sample | Drop],
    context: StepContext,
    attempts: int = 3,
    at_once_below: float = 1.0,
    max_pixels: int = frames.MAX_PIXELS,
) -> Iterator[Sample | Drop]:
    """Data step: the first good trace of `attempts` games of the endpoint `options.earl_teacher`.

    Good: the answer is right and a call was answered with frames; none is needed where the grid's frames lie less than
    `at_once_below` seconds apart [reconstructed: short clips, evidence already visible]. It goes into
    `evidence["trace"]` as its turns joined. A question without one stays, for RL. The counts of faults are in the
    metadata. Raises UserError without an endpoint, EndpointStopped when its retries are spent.
    """
    if attempts < 1:
        raise UserError(f"traces: attempts is {attempts}, expected at least 1")
    teacher = frames.need_endpoint(context, "traces")
    player = Player(context, gold.Grids(context, None), teacher, attempts, at_once_below, max_pixels)
    try:
        yield from map_stream(stream, player.taught, teacher.endpoint.concurrency)
    finally:
        teacher.close()


@dataclass(frozen=True, slots=True)
class Player:
    """The endpoint with what it plays by. Safe to use from several threads."""

    context: StepContext
    grids: Any
    teacher: Chat
    attempts: int
    at_once_below: float
    max_pixels: int

    def taught(self, sample: Sample) -> Sample:
        """The sample with a trace, where a game gave one."""
        faults: list[str] = []
        needs_call = self.grids.of(sample).spacing >= self.at_once_below
        for attempt in range(self.attempts):
            played = self.play(sample, attempt, needs_call)
            if not played.fault:
                found = replace(sample, evidence={**sample.evidence, "trace": "".join(played.turns)})
                return found.with_meta(teacher_faults=faults, trace_turns=list(played.notes))
            faults.append(played.fault)
        return sample.with_meta(teacher_faults=faults)

    def play(self, sample: Sample, attempt: int, needs_call: bool) -> Played:
        """One game: the endpoint speaks, the environment replies, until an answer or the last turn."""
        options = {"earl": {**self.context.recipe.options.get("earl", {}), "control": "none"}}
        rule = f"centres:{settings.of(options).grid}"
        put = Protocol.of(self.context.domain).apply(sample)
        put = replace(put, media=(replace(put.media[0], frame_rule=rule), *put.media[1:]))
        camera = Camera(self.grids.root(sample), self.max_pixels)
        tool = environment.frames(Setting(options, cast(Codec, camera)))
        messages = opening(put, camera)
        said: list[str] = []
        notes: list[dict[str, Any]] = []
        for turn in range(self.context.domain.file.max_turns):
            reply = self.teacher.ask(messages, attempt)
            said.append(as_turn(reply))
            if reply.finish == "length" or said[-1].count(calls.OPEN) > 1:
                return Played(tuple(said), tuple(notes), "cut" if reply.finish == "length" else "two_calls")
            rollout = Rollout((), (), (), "".join(said), Stop.EOS, extras={"said": list(said), "turns": list(notes)})
            heard = tool.reply(put, rollout, turn)
            if heard is None:
                return Played(tuple(said), tuple(notes), _fault(sample, said[-1], notes, needs_call))
            notes.append(heard.info)
            if heard.done:
                break
            messages = [*messages, {"role": "assistant", "content": said[-1]}, _user(heard.parts)]
        return Played(tuple(said), tuple(notes), "no_answer")


def _fault(sample: Sample, answer: str, notes: Sequence[dict[str, Any]], needs_call: bool) -> str:
    if grade(answer, sample.answer, lenient=True).outcome is not Outcome.RIGHT:
        return "wrong"
    called = any(note["refined"] for note in notes)
    return "" if called or not (needs_call or notes) else "no_call"


def as_turn(reply: Reply) -> str:
    """What the endpoint said as a turn of a trace: separate reasoning in think tags, nothing behind a call's end."""
    text = reply.content.strip()
    if reply.reasoning.strip() and "<think>" not in text:
        text = f"<think>{reply.reasoning.strip()}</think>{text}"
    return text[: text.rfind(calls.CLOSE) + len(calls.CLOSE)] if calls.is_call(text) else text


def opening(put: Sample, camera: Camera) -> list[dict[str, Any]]:
    """The prompt for the wire, the clip as its numbered frames."""
    messages: list[dict[str, Any]] = []
    for message in put.prompt:
        content: list[dict[str, Any]] = []
        for part in message.parts:
            content += [text_part(part.text)] if part.type == "text" else _shown(put.media[part.media], camera)
        only_text = all(item["type"] == "text" for item in content)
        messages.append({"role": message.role.value, "content": message.text if only_text else content})
    return messages


def _shown(ref: MediaRef, camera: Camera) -> list[dict[str, Any]]:
    clip = camera.clip(ref)
    indices = tuple(dict.fromkeys(clip.chosen.indices))
    images = frames.pictures(clip, indices, camera.max_pixels)
    shown: list[dict[str, Any]] = frames.numbered(images, clip.info.seconds(indices), range(1, len(images) + 1))
    return shown


def _user(parts: Sequence[Any]) -> dict[str, Any]:
    """The environment's reply for the wire."""
    content = [text_part(part) if isinstance(part, str) else picture_part(_as_picture(part)) for part in parts]
    return {"role": "user", "content": content}
