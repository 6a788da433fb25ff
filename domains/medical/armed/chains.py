"""The model of the first RL writes its own chains, for ARMed-A to choose from (arXiv 2508.12957; second hand).

Acts in the stage that sets `options.armed.chains` (`settings.ChainSettings`) and lets all others' rows pass, so that
one data set serves every stage. The chains go into `evidence["chains"]`; rows that bring them need no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmreason.config.recipe import Sampling
from mmreason.data.material import compose
from mmreason.data.sources import data_root
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.protocol import Protocol
from mmreason.records import Sample
from mmreason.rollout.engine import Engine
from mmreason.run.progress import progress

settings = load_module(Path(__file__).parent / "settings.py")


def own_chains(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step: each sample with chains of the model that the stage begins at, `recipe.model.path`.

    Reads the stream whole. Deterministic by the recipe's sampling seed. Raises UserError where there is no checkpoint
    at that path.
    """
    own = settings.of(context.recipe.options).chains
    if own is None:
        yield from stream
        return
    items = list(stream)
    asked = [item for item in items if isinstance(item, Sample) and not item.evidence.get("chains")]
    written = dict(_written(asked, own, context))
    for item in items:
        yield _with_chains(item, written[item.id]) if isinstance(item, Sample) and item.id in written else item


def _written(samples: list[Sample], own: Any, context: StepContext) -> Iterator[tuple[str, list[str]]]:
    """(id, chains) of each sample."""
    if not samples:
        return
    sampling = Sampling(temperature=own.temperature, top_p=own.top_p, max_new_tokens=own.max_new_tokens)
    engine, protocol = _engine(samples[0], context), Protocol.of(context.domain)
    with progress("own chains", total=len(samples)) as tick:
        for start in range(0, len(samples), own.batch):
            batch = samples[start : start + own.batch]
            seed = context.recipe.seeds.sampling + start
            groups = engine.generate([protocol.apply(sample) for sample in batch], sampling, own.count, seed)
            for sample, group in zip(batch, groups, strict=True):
                yield sample.id, [rollout.text for rollout in group]
            tick(len(batch))


def _engine(first: Sample, context: StepContext) -> Engine:
    """The evaluation's engine with the checkpoint, which finds the media of the data set that `first` is from."""
    folder = context.recipe.model.path
    if folder is None:
        raise UserError(
            "own_chains: this stage begins at a model drawn at random, which has no chains to give: put a stage before "
            "it, or name a checkpoint in model.path"
        )
    made = None if context.domain.source(first.source.dataset).files else context.work_dir / "made"
    evaluation = load_module(project_dir() / "eval" / "run.py")
    root = data_root(context.domain, context.data_dir, made)
    engine: Engine = evaluation.load_engine(context.recipe, folder, root)
    return engine


def _with_chains(sample: Sample, chains: list[str]) -> Sample:
    return replace(sample, evidence={**sample.evidence, "chains": chains})


def annotated(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step: a chain of what the annotation tells, for a model drawn at random, which has to learn the form first:
    "a question of position , a picture of the chest" (ours; models of the paper's size need none)."""
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        told = [f"a question of {item.metadata.get('question_type', '')}", f"a picture of {item.metadata['organ']}"]
        trace = compose(" , ".join(told).lower(), item.answer.gold)
        yield replace(item, evidence={**item.evidence, "trace": trace})
