"""An engine whose answers are played in an environment: whatever asks an engine gets answers of several turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import torch

from mmreason.config import Domain
from mmreason.config.recipe import Sampling
from mmreason.models.codec import Codec
from mmreason.records import Rollout, Sample
from mmreason.rollout.engine import PLAIN, Asked, Engine, Request, TrainingEngine
from mmreason.rollout.environment import Environment, Setting, load_environment
from mmreason.rollout.turns import play


class PlayingEngine:
    """`engine` with `environment` in between, see `turns.play`; its answers have TOOL segments and media."""

    def __init__(
        self, engine: Engine, codec: Codec, environment: Environment, max_turns: int = 4, role: str = "user"
    ) -> None:
        self.engine = cast(TrainingEngine, engine)  # one that only evaluates is never asked to sync
        self.codec = codec
        self.environment = environment
        self.max_turns = max_turns
        self.role = role

    @property
    def prefills(self) -> int:
        return self.engine.prefills

    @property
    def syncs(self) -> int:
        return self.engine.syncs

    def sync(self, weights: Callable[[], Iterable[tuple[str, torch.Tensor]]]) -> None:
        """Hand the weights on."""
        self.engine.sync(weights)

    def generate(
        self,
        samples: Sequence[Sample],
        sampling: Sampling,
        n: int = 1,
        seed: int = 0,
        on_done: Callable[[int], None] | None = None,
    ) -> list[list[Rollout]]:
        """See `rollout.engine.Engine`; `on_done` is told once, at the end."""
        groups = self.extend([Request(s, self.codec.encode(s)) for s in samples], sampling, n, seed)
        if on_done is not None:
            on_done(len(samples) * n)
        return groups

    def extend(
        self, requests: Sequence[Request], sampling: Sampling, n: int = 1, seed: int = 0, asked: Asked = PLAIN
    ) -> list[list[Rollout]]:
        """Play on from each request; the new part may hold turns of the environment."""
        arguments = (requests, self.environment, sampling, n, seed, self.max_turns, asked, self.role)
        return play(self.engine, self.codec, *arguments)


def with_environment(engine: Engine, domain: Domain, options: Mapping[str, Any], seed: int = 0) -> Engine:
    """`engine` playing in the domain's environment; the engine itself where the domain declares none."""
    if domain.file.environment is None:
        return engine
    setting = Setting(options, engine.codec, seed, domain.file.max_turns)
    environment = load_environment(domain.file.environment, domain.folder, setting)
    return PlayingEngine(engine, engine.codec, environment, domain.file.max_turns)
