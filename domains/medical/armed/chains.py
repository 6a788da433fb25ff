"""The model of the first RL writes its own chains, for ARMed-A to choose from (arXiv 2508.12957; second hand).

Four chains a question at temperature 0.7 [the temperature is that of the paper's RL, the number reconstructed]. They go
into `evidence["chains"]`; a set that already has them there needs no model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from mmreason.config.recipe import Sampling
from mmreason.config.strict import validate
from mmreason.data.sources import data_root
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.media.store import MediaStore
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.protocol import Protocol
from mmreason.records import Sample
from mmreason.rollout.engine import Engine
from mmreason.rollout.transformers_engine import TransformersEngine


def own_chains(
    stream: Iterable[Sample | Drop],
    context: StepContext,
    model: str,
    count: int = 4,
    temperature: float = 0.7,
    max_new_tokens: int = 1024,
    batch: int = 32,
) -> Iterator[Sample | Drop]:
    """Data step: each sample with `count` chains of the checkpoint `model` in its evidence; a relative path is looked
    for in the run's folder (checkpoints/...), then here. Deterministic by the recipe's sampling seed."""
    if count < 1 or batch < 1:
        raise UserError(f"own_chains: count is {count}, batch {batch}; expected at least 1 of each")
    values = {"temperature": temperature, "max_new_tokens": max_new_tokens}
    sampling = validate(Sampling, values, "own_chains")
    protocol = Protocol.of(context.domain)
    engine: Engine | None = None
    source = iter(stream)
    for start in itertools.count(0, batch):
        items = list(itertools.islice(source, batch))
        if not items:
            return
        samples = [item for item in items if isinstance(item, Sample)]
        if engine is None and samples:
            engine = _engine(model, samples[0], context)
        asked = [protocol.apply(sample) for sample in samples]
        seed = context.recipe.seeds.sampling + start
        groups = iter(engine.generate(asked, sampling, count, seed) if engine is not None and asked else ())
        for item in items:
            yield _with_chains(item, [one.text for one in next(groups)]) if isinstance(item, Sample) else item


def _engine(model: str, first: Sample, context: StepContext) -> Engine:
    """An engine of the checkpoint, which finds the media of the data set that `first` is from."""
    places = [context.work_dir.parent / model, Path(model)]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise UserError(
            f"own_chains: no checkpoint {model!r} in {context.work_dir.parent} or here; train the first RL, or name one"
        )
    made = None if context.domain.source(first.source.dataset).files else context.work_dir / "made"
    root = data_root(context.domain, context.data_dir, made)
    codec = Codec.load(str(folder), root, MediaStore(context.work_dir / "frames"))
    return TransformersEngine(load_model(str(folder), context.recipe.model.dtype).eval(), codec)


def _with_chains(sample: Sample, chains: list[str]) -> Sample:
    return replace(sample, evidence={**sample.evidence, "chains": chains})
