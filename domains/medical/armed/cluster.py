"""ARMed-A: the cold start from a model's own chains, few and varied (arXiv 2508.12957; second hand, reconstructed).

The model of the first RL writes chains (`chains.py`). A chain is kept if its answer is right in words (r_text of 0.9),
or near in meaning: s in the upper quarter of all, and no contradiction of side, negation or number. What is kept is
embedded as question and chain, divided by k-means into ceil(N / 20) clusters, and each cluster gives the four nearest
to its centre and the farthest one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmreason.data.judge import Judgement, judge_locally
from mmreason.data.step import Drop, StepContext
from mmreason.data.text import question_of
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Sample

_HERE = Path(__file__).parent
anchoring = load_module(_HERE / "anchors.py")
lloyd = load_module(_HERE / "kmeans.py")
rewards = load_module(_HERE / "rewards.py")
settings = load_module(_HERE / "settings.py")

STEP = "representative"
PER_CLUSTER, NEAREST, FARTHEST = 20, 4, 1
"""Chains a cluster on average; how many of it are taken from its middle and from its edge [reconstructed]."""
RIGHT, UPPER = 0.9, 0.75
"""r_text from which a chain is kept; quantile of s from which it is [reconstructed]."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One output and what its answer is worth."""

    sample: Sample
    text: str
    worth: float
    """r_text."""
    near: float
    """s; 0 where it was not compared."""
    compared: bool
    contradicts: bool


def representative(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step: `evidence["chains"]` to one row a chosen chain, which lies in `evidence["trace"]`. Acts where
    `options.armed.chains` is set, as `chains.own_chains` does.

    Rows carry `cot_score` (r_text), `cot_similarity`, `cluster` and `twin_of`. Drops: `no_chains`,
    `no_chain_kept`, `not_representative`. Reads the stream whole. The encoder is that of the reward, the seed the
    recipe's for data. `verify` goes with it, since chains kept for their meaning are not right word by word.
    """
    own = settings.of(context.recipe.options)
    if own.chains is None:
        yield from stream
        return
    items = list(stream)
    if own.encoder == rewards.similar.NONE:
        raise UserError("representative: options.armed.encoder is 'none'; chains are clustered by an encoder, name one")
    samples = [item for item in items if isinstance(item, Sample)]
    chains = [chain for sample in samples for chain in read_chains(sample, own)]
    kept = keep(chains)
    texts = [f"{question_of(chain.sample)}\n{chain.text}" for chain in kept]
    vectors = rewards.similar.vectors(texts, own.encoder)
    clusters, chosen = choose(vectors, context.recipe.seeds.data)
    rows: dict[str, list[Sample]] = {}
    for place in chosen:
        rows.setdefault(kept[place].sample.id, []).append(as_row(kept[place], clusters[place], place))
    some = {chain.sample.id for chain in kept}
    for item in items:
        if isinstance(item, Drop):
            yield item
        elif item.id in rows:
            yield from rows[item.id]
        else:
            yield Drop(item.id, STEP, _reason(item, some), "", item.to_dict())


def _reason(sample: Sample, some: set[str]) -> str:
    if not sample.evidence.get("chains"):
        return "no_chains"
    return "not_representative" if sample.id in some else "no_chain_kept"


def read_chains(sample: Sample, own: Any) -> list[Chain]:
    """The sample's distinct well-formed chains, scored against its gold under `ArmedSettings`."""
    out = []
    for text in dict.fromkeys(sample.evidence.get("chains") or ()):
        said = rewards.reading.read_said(text)
        if said.well_formed:
            found = rewards.worth(said.text, sample, own)
            clash = bool(rewards.conflict.conflicts(said.text, rewards.reference(sample)))
            out.append(Chain(sample, text, found.text, found.similarity, found.compared, clash))
    return out


def keep(chains: Sequence[Chain]) -> list[Chain]:
    """The chains that are right in words, or near in meaning and without a contradiction."""
    near = sorted(chain.near for chain in chains if chain.compared)
    upper = anchoring.quantile(near, UPPER) if near else math.inf
    return [
        chain
        for chain in chains
        if chain.worth >= RIGHT or (chain.compared and chain.near >= upper and not chain.contradicts)
    ]


def choose(vectors: Sequence[Sequence[float]], seed: int) -> tuple[list[int], list[int]]:
    """(cluster of each vector, places of the chosen ones ascending). Deterministic by `seed`."""
    if not len(vectors):
        return [], []
    found = lloyd.kmeans(vectors, math.ceil(len(vectors) / PER_CLUSTER), seed)
    chosen: set[int] = set()
    for cluster in sorted(set(found.labels)):
        members = [place for place, label in enumerate(found.labels) if label == cluster]
        members.sort(key=lambda place: (found.distances[place], place))
        chosen.update([*members[:NEAREST], *members[-FARTHEST:]])
    return found.labels, sorted(chosen)


def as_row(chain: Chain, cluster: int, place: int) -> Sample:
    """The question with this chain as the trace that the cold start learns."""
    sample = chain.sample
    evidence = {key: value for key, value in sample.evidence.items() if key != "chains"} | {"trace": chain.text}
    facts = {"cot_score": chain.worth, "cot_similarity": chain.near, "cluster": cluster, "twin_of": sample.id}
    return replace(sample, id=f"{sample.id}-chain{place}", evidence=evidence).with_meta(**facts)


def verify(sample: Sample, response: str) -> Judgement:
    """`data.teacher.verify`: a chain that `representative` chose holds by its rule; others by our graders."""
    if response == sample.evidence.get("trace") and "cot_score" in sample.metadata:
        return Judgement(True, True, "kept by words or by meaning, and chosen from its cluster", "armed/cluster.py")
    return judge_locally(sample, response)
