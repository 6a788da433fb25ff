"""What `earl_step.py` runs: a clip, answers that are written beforehand, and the two ways through one step.

Both ways say the same ids: the engines below draw what the script holds. So the frames that the environment sends, the
tokens and the steps of decoding are the same, and only what is computed for them differs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from mmreason.config.recipe import GrpoSettings, Optim, Sampling
from mmreason.media.files import media_ref
from mmreason.models.codec import Codec, Encoded
from mmreason.models.families import Features, family_of
from mmreason.models.learner import Learner
from mmreason.models.load import load_model
from mmreason.models.medium import Medium
from mmreason.models.policy import Policy
from mmreason.objectives.batch import make_batch
from mmreason.objectives.compose import compose
from mmreason.objectives.credit import advantages, loss_weights
from mmreason.objectives.method import Context
from mmreason.objectives.update import grow, update
from mmreason.project import load_ref
from mmreason.records import Answer, AnswerKind, Message, Rollout, Sample, Source
from mmreason.rollout.contexts import Block, Row
from mmreason.rollout.engine import PLAIN, Asked, Request
from mmreason.rollout.environment import Environment, Setting
from mmreason.rollout.transformers_engine import TransformersEngine
from mmreason.rollout.turns import play

GROUP, TURNS, LENGTH = 8, 3, 64
GRID, REFINED, SIDE = 32, 16, 168
CAPTION = "Frame {number} ({seconds:.1f} s): "
EARL = Path(__file__).resolve().parent.parent / "domains" / "video" / "earl"
WORDS = ["the", "frame", "shows", "a", "square", "that", "moves", "and", "then", "stops", "so", "look", "there"]

Script = list[list[list[int]]]
"""Ids of each rollout's turns, the end of turn included."""


def write_clip(path: Path, frames: int = 480, rate: int = 24) -> None:
    """A square that wanders over noise, 320 x 240, MPEG-4."""
    chance = np.random.default_rng(0)
    noise = chance.integers(0, 255, (240, 320, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(frames):
            picture = noise.copy()
            top, left = (number * 3) % 200, (number * 7) % 280
            picture[top : top + 40, left : left + 40] = (number % 256, 255, 0)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def sample_of(root: Path, name: str) -> Sample:
    """A question about the clip, its grid shown frame by frame."""
    clip = media_ref(root, name, "video")
    ref = replace(clip, max_pixels=SIDE * SIDE, frame_rule=f"centres:{GRID}", caption=CAPTION)
    answer, source = Answer(AnswerKind.NUMBER, "3"), Source("own", "train", "Apache-2.0", "0")
    return Sample("clip", source, (Message.about("How often does it stop?", (ref,)),), answer, (ref,))


def script_of(codec: Codec, seed: int = 0) -> Script:
    """Two selections of two frames and an answer for each rollout, each turn of exactly LENGTH ids."""
    chance, calls = random.Random(seed), load_ref("calls.py:write_call", EARL)
    script = []
    for _ in range(GROUP):
        ends = [calls(sorted(chance.sample(range(shown), 2))) for shown in (GRID, REFINED)]
        script.append([_turn(codec, chance, end) for end in (*ends, "\\boxed{3}")])
    return script


def _turn(codec: Codec, chance: random.Random, end: str) -> list[int]:
    words: list[str] = []
    while len(ids := codec.encode_response(f"<think>{''.join(words)}</think>{end}")) < LENGTH:
        words.append(" " + chance.choice(WORDS))
    assert len(ids) == LENGTH, "a word has more than one token"
    return ids


class Scripted(TransformersEngine):
    """Draws what the script holds."""

    def __init__(self, model: Any, codec: Codec, script: Script, features: Any = None) -> None:
        super().__init__(model, codec, features=features)
        self.script = script
        self.left: list[list[int]] = []

    def _decode(self, requests: list[Request], sampling: Sampling, n: int, *rest: Any) -> list[Rollout]:
        rows = [request for request in requests for _ in range(n)]
        self.left = [self._line(number, request.begun) for number, request in enumerate(rows)]
        return super()._decode(requests, sampling, n, *rest)

    def _line(self, number: int, begun: tuple[int, ...]) -> list[int]:
        """What a row says next: a group begins in order, later its first turn tells whose row it is."""
        if not begun:
            return list(self.script[number][0])
        (turns,) = [turns for turns in self.script if tuple(turns[0]) == begun[:LENGTH]]
        return list(turns[sum(token == self.codec.eos_id for token in begun) // 2])

    def _banned(self, logits: torch.Tensor) -> torch.Tensor:
        logits = super()._banned(logits)
        self.left = [line for line in self.left if line]
        said = torch.tensor([line.pop(0) for line in self.left])
        return logits.scatter(1, said[:, None], 1e4)


class Naive(Scripted):
    """Each rollout forwards its whole context every turn, each of its frames through the tower; decoding is ours."""

    def __init__(self, model: Any, codec: Codec, script: Script) -> None:
        super().__init__(model, codec, script, self._tower)
        self.passes = 0

    def extend(
        self, requests: Sequence[Request], sampling: Sampling, n: int = 1, seed: int = 0, asked: Asked = PLAIN
    ) -> list[list[Rollout]]:
        every = [request for request in requests for _ in range(n)]
        alone = super().extend(every, sampling, 1, seed, asked)
        return [[answer for (answer,) in alone[start : start + n]] for start in range(0, len(alone), n)]

    def _begin(self, requests: list[Request]) -> tuple[list[Row], torch.Tensor]:
        contexts = [Encoded([*r.prompt.ids, *r.begun], (*r.prompt.media, *r.media)) for r in requests]
        block: Block = self.forwards.prompts(contexts)
        return [Row.fresh(block, index) for index in range(len(requests))], block.logits

    def _tower(self, media: Sequence[Medium]) -> list[Features]:
        self.passes += len(media)
        return family_of(self.model).features(self.model, media)


def _clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


@dataclass
class Step:
    """What one step took and did."""

    seconds: dict[str, float]
    """Of `rollout` and `update` by the clock."""
    cpu_seconds: dict[str, float]
    """Of this process's threads, which other jobs on the machine hardly change."""
    frames: dict[str, int]
    """Frames through the tower."""
    tokens: dict[str, int]
    """Ids through the decoder; in the rollout without those of decoding."""
    rollouts: list[Rollout]
    gradient: float
    """Norm before clipping."""


class Side:
    """One way through a step: a model of its own, engine, policy and optimiser."""

    def __init__(self, folder: Path, sample: Sample, script: Script, naive: bool) -> None:
        self.model: Any = load_model(folder / "model").train()
        self.codec, self.sample = Codec.load(folder / "model", folder), sample
        self.model.model.visual.requires_grad_(False)
        self.policy = Policy(self.model, self.codec, "naive" if naive else "packed")
        self.engine: Any = (
            Naive(self.model, self.codec, script)
            if naive
            else Scripted(self.model, self.codec, script, self.policy.features)
        )
        self.sampling = Sampling(max_new_tokens=4096)
        self.grpo = GrpoSettings(
            optim=Optim(lr=1e-6), steps=1000, prompts=1, group_size=GROUP, sampling=self.sampling, kl_beta=0.0
        )
        self.learner = Learner(self.policy, self.grpo.optim, self.grpo.steps, folder)
        setting = Setting({"earl": {"grid": GRID, "refined": REFINED, "caption": CAPTION}}, self.codec)
        self.environment: Environment = load_ref("environment.py:frames", EARL)(setting)
        self.prompt = self.codec.encode(sample)

    def step(self, number: int) -> Step:
        """Play a group and update on it; rewards are written beforehand like the answers."""
        self.policy.begin_step()
        before, passed = self.engine.forwarded_tokens, self._passed()
        clock = [_clock()]
        requests = [Request(self.sample, self.prompt)]
        (rollouts,) = play(
            self.engine, self.codec, requests, self.environment, self.sampling, GROUP, number, max_turns=TURNS
        )
        clock.append(_clock())
        shown = self._passed() - passed
        gradient = self._update(rollouts, number)
        clock.append(_clock())
        took = [{"rollout": b[k] - a[k], "update": c[k] - b[k]} for k in (0, 1) for a, b, c in [clock]]
        again = self._passed() - passed - shown
        return Step(
            *took,
            {"rollout": shown, "update": again},
            {"rollout": self.engine.forwarded_tokens - before, "update": self.policy.counts[True]["unique_tokens"]},
            rollouts,
            gradient,
        )

    def _passed(self) -> int:
        """Frames through the tower so far, for sampling and update together."""
        counts = self.policy.counts
        return int(getattr(self.engine, "passes", 0)) + sum(count["vision_passes"] for count in counts.values())

    def _update(self, rollouts: list[Rollout], number: int) -> float:
        reward = [float(index % 2) for index in range(GROUP)]
        media = [self.prompt.media + rollout.media for rollout in rollouts]
        batch = make_batch(rollouts, [self.sample] * GROUP, [0] * GROUP, reward, reward, {}, media)
        composition = compose(self.grpo)
        ctx = Context(number, self.grpo.steps, number, GROUP, self.sampling)
        advantage = advantages(batch, self.grpo, composition, ctx)
        weights = loss_weights(batch, self.grpo, composition, ctx)
        grown = grow(self.policy, batch)
        told = update(self.learner, batch, grown, advantage, weights, self.grpo, composition, ctx, number)
        return told["grad_norm"]
