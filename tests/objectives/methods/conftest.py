"""For methods that sample: a tiny text model behind the real engine, questions for it, and the context of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.objectives.method import Context, Group
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Verdict
from mmreason.rewards.terms import Terms
from mmreason.rollout.engine import Asked, Request
from mmreason.rollout.transformers_engine import TransformersEngine

TEXTS = ["the rent of the second year is four and the wages are three; the change in rent is one half of the wages"] * 2
SIZES = TinyModel(hidden=32, layers=1, heads=2, kv_heads=1, ffn=32, vocab=330, init_std=0.2)
SOURCE = Source("own", "train", "Apache-2.0", "0")
Rule = Callable[[Rollout, Sample], bool]


@dataclass
class Bench:
    """An engine, and short ways to questions, groups and contexts."""

    engine: TransformersEngine
    sampling: Sampling = field(default_factory=lambda: Sampling(max_new_tokens=12))

    def questions(self, count: int, **metadata: Any) -> list[Sample]:
        """Numbers are asked for; gold is 4."""
        answer = Answer(AnswerKind.NUMBER, "4")
        return [
            Sample(f"q{n}", SOURCE, (Message.of(Role.USER, "the rent " * (n + 1)),), answer, metadata=metadata)
            for n in range(count)
        ]

    def groups(self, samples: list[Sample], n: int, seed: int = 0, entropies: bool = True) -> list[Group]:
        """`n` rollouts a question, as a step begins."""
        prompts = [self.engine.codec.encode(sample) for sample in samples]
        requests = [Request(sample, prompt) for sample, prompt in zip(samples, prompts, strict=True)]
        made = self.engine.extend(requests, self.sampling, n, seed, Asked(entropies=entropies))
        rows = enumerate(zip(samples, prompts, made, strict=True))
        return [Group(sample, prompt, rollouts, number) for number, (sample, prompt, rollouts) in rows]

    def context(self, group_size: int, right: Rule, step: int = 1, seed: int = 7) -> Context:
        """A step whose verifier calls right what `right` says."""

        def judge(rollout: Rollout, sample: Sample) -> Terms:
            accuracy = float(right(rollout, sample))
            return Terms(1.0, accuracy, accuracy, Verdict.of(accuracy > 0.0, "4", "by rule"), "", False)

        asked, codec = Asked(entropies=True), self.engine.codec
        return Context(
            step, 10, seed, group_size, self.sampling, engine=self.engine, codec=codec, judge=judge, asked=asked
        )


@pytest.fixture(scope="session")
def _checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "model"
    build_tiny(SIZES, train_tokenizer(TEXTS, SIZES.vocab), 0, path)
    return path


@pytest.fixture(scope="session")
def _engine(_checkpoint: Path) -> TransformersEngine:
    return TransformersEngine.load(_checkpoint)


@pytest.fixture
def bench(_engine: TransformersEngine) -> Bench:
    """See `Bench`; the engine's counters begin at 0."""
    _engine.prefills = 0
    return Bench(_engine)
