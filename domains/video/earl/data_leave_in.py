"""Gold frames by the leave-in test: the smallest set of grid frames on which a frozen model still answers right.

A set is enough when at least 6 of 8 sampled answers are right [reconstructed]. Frames go greedily,
first in blocks of half of them, then of a quarter, at last one by one until none can go: for 32 frames about 60
questions where going one by one from the start would ask up to 500 [reconstructed]. Were a larger set never worse than
a smaller one, what is left would be minimal; a model that extra frames confuse may leave a frame too many.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmreason.config import load_domain
from mmreason.config.recipe import Sampling
from mmreason.config.strict import validate
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.media.store import MediaStore
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.project import load_module
from mmreason.protocol import Protocol
from mmreason.records import Outcome, Sample
from mmreason.rewards.grade import grade
from mmreason.rollout.engine import Engine
from mmreason.rollout.transformers_engine import TransformersEngine

gold = load_module(Path(__file__).parent / "gold.py")

Frames = tuple[int, ...]
"""Grid positions, ascending."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a test left."""

    kept: Frames
    """Empty where there is a reason against the sample."""
    questions: int
    """Sets that were asked about; each costs `draws` answers."""
    minimal: bool
    """Taking any single frame out made the answer wrong. False where the questions ran out before."""
    reason: str = ""
    """"answered_blind", "not_answered" or "needs_more_frames"."""


def removal(size: int, most_kept: int, most_questions: int) -> Generator[Frames, bool, Left]:
    """The test as a dialogue: yields sets of frames, is sent whether the model answers right on them."""
    if (yield ()):
        return Left((), 1, minimal=True, reason="answered_blind")
    kept, asked = tuple(range(size)), 2
    if not (yield kept):
        return Left((), asked, minimal=True, reason="not_answered")
    block, stuck = max(size // 2, 1), False
    while not stuck and asked < most_questions:
        before = kept
        kept, asked = yield from _one_pass(kept, block, asked, most_questions)
        stuck = block == 1 and kept == before
        block = max(block // 2, 1)
    minimal = len(kept) == 1 or (stuck and asked < most_questions)
    return Left(kept, asked, minimal, "" if len(kept) <= most_kept else "needs_more_frames")


def _one_pass(kept: Frames, block: int, asked: int, most: int) -> Generator[Frames, bool, tuple[Frames, int]]:
    """Try to take out each block in turn; the last frame stays, because nothing at all is known not to be enough."""
    for out in [kept[start : start + block] for start in range(0, len(kept), block)]:
        rest = tuple(place for place in kept if place not in out)
        if not rest or asked == most:
            continue
        asked += 1
        if (yield rest):
            kept = rest
    return kept, asked


def showing(sample: Sample, frames: Sequence[int]) -> Sample:
    """The question about these frames of its clip alone; about no clip where there are none."""
    if frames:
        rule = "at:" + "+".join(str(frame) for frame in frames)
        return replace(sample, media=(replace(sample.media[0], frame_rule=rule, tokens=0),))
    messages = tuple(
        replace(message, parts=tuple(part for part in message.parts if part.type == "text"))
        for message in sample.messages
    )
    return replace(sample, media=(), messages=messages)


@dataclass(frozen=True, slots=True)
class Trial:
    """How often a frozen model is asked about one set of frames, and when it counts as knowing the answer."""

    engine: Engine
    sampling: Sampling
    draws: int = 8
    needed: int = 6
    most_kept: int = 8
    questions: int = 100
    """Sets of frames asked about one sample at most."""

    def right(self, samples: Sequence[Sample]) -> list[bool]:
        """Whether at least `needed` of `draws` answers to each are right, read leniently."""
        opened = self.engine.codec.opens_think
        groups = self.engine.generate(samples, self.sampling, n=self.draws, seed=0)
        verdicts = [
            [grade(one.text, sample.answer, opened_think=opened, lenient=True).outcome for one in group]
            for sample, group in zip(samples, groups, strict=True)
        ]
        return [outcomes.count(Outcome.RIGHT) >= self.needed for outcomes in verdicts]


def leave_in(samples: Sequence[Sample], grids: Sequence[Sequence[int]], trial: Trial) -> list[Left]:
    """The test of all samples side by side: each round asks the model about one set of frames of each.

    `samples` carry the prompt, `grids` the clip frames of each one's grid. Deterministic: every set is drawn with the
    same seed.
    """
    games = [removal(len(grid), trial.most_kept, trial.questions) for grid in grids]
    asked = {index: next(game) for index, game in enumerate(games)}
    left: dict[int, Left] = {}
    while asked:
        shown = [showing(samples[index], [grids[index][place] for place in places]) for index, places in asked.items()]
        answers = dict(zip(asked, trial.right(shown), strict=True))
        asked = {}
        for index, right in answers.items():
            try:
                asked[index] = games[index].send(right)
            except StopIteration as stopped:
                left[index] = stopped.value
    return [left[index] for index in range(len(games))]


def from_frozen_model(
    stream: Iterable[Sample | Drop],
    context: StepContext,
    model: str,
    sampling: dict[str, Any] | None = None,
    draws: int = 8,
    needed: int = 6,
    questions: int = 100,
    batch: int = 32,
    grid: int | None = None,
) -> Iterator[Sample | Drop]:
    """Data step: gold frames by the leave-in test with the checkpoint `model`, asked by the domain's plain prompts.

    Drops: `answered_blind` (no frame is needed), `not_answered` (not even with all), `needs_more_frames` (than 8).
    `sampling`: that of RL where None. `batch`: samples tested side by side.
    """
    if questions < 2 or not 1 <= needed <= draws:
        raise UserError(
            f"from_frozen_model: {needed} of {draws} answers, {questions} questions; "
            "expected 1 <= needed <= draws and at least the 2 questions without and with all frames"
        )
    recipe, grids = context.recipe, gold.Grids(context, grid)
    if sampling is None and recipe.grpo is None:
        raise UserError("from_frozen_model: the recipe has no grpo.sampling to take over; give the option `sampling`")
    drawn = recipe.grpo.sampling if sampling is None and recipe.grpo else validate(Sampling, sampling, "sampling")
    protocol = Protocol.of(load_domain(context.domain.folder))  # a system's own prompts would offer it the tool
    trial: Trial | None = None
    source = iter(stream)
    while items := list(itertools.islice(source, batch)):
        samples = [item for item in items if isinstance(item, Sample)]
        if trial is None and samples:
            store = MediaStore(context.work_dir / "frames")
            codec = Codec.load(model, grids.root(samples[0]), store)  # one source a data set, so one folder of media
            engine = TransformersEngine(load_model(model, recipe.model.dtype).eval(), codec)
            trial = Trial(engine, drawn, draws, needed, gold.MOST, questions)
        made = iter(_labels(samples, context, protocol, grids, trial) if trial is not None else ())
        yield from (next(made) if isinstance(item, Sample) else item for item in items)


def _labels(
    samples: Sequence[Sample], context: StepContext, protocol: Protocol, grids: Any, trial: Trial
) -> Iterator[Sample | Drop]:
    shown = [grids.of(sample) for sample in samples]
    bare = [grid.at_hand(sample) for grid, sample in zip(shown, samples, strict=True)]
    lefts = leave_in([protocol.apply(sample) for sample in samples], bare, trial)
    for sample, grid, left in zip(samples, shown, lefts, strict=True):
        if left.reason:
            detail = f"{left.questions} sets of frames asked about, {len(left.kept)} frames left"
            yield Drop(sample.id, "from_frozen_model", left.reason, detail, sample.to_dict())
        else:
            facts = {"questions": left.questions, "minimal": left.minimal}
            yield gold.labelled(sample, grid, left.kept, gold.Label.LEAVE_IN, context, leave_in=facts)
