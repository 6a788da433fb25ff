"""Which published scorers a suite's answers go through, and what they say of each answer."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mmreason.records import Sample
from mmreason.rewards.extract import after_thinking, read_answer
from mmreason.suites.references import Reference, Scored, reference, total
from mmreason.suites.suite import Suite

CUT = "@cut"
"""Suffix of a metric: the scorer sees the answer as we cut it from the output, not the whole output."""


def scorer(name: str) -> Reference:
    """The scorer called `name`, with `@cut` behind one that gets the cut answer. Raises UserError with the nearest."""
    if not name.endswith(CUT):
        return reference(name)
    whole = reference(name.removesuffix(CUT))

    def score(output: str, sample: Sample, rng: random.Random) -> float | bool | None:
        return whole.score(cut(output), sample, rng)

    return replace(whole, score=score)


def cut(output: str) -> str:
    """The answer of an output: block or box where there is one, else what follows the reasoning, else nothing."""
    read = read_answer(output)
    return read.text if read.text is not None else after_thinking(output) or ""


def references(suite: Suite) -> dict[str, Reference]:
    """The published scorers of a suite by metric name."""
    return {name: scorer(name) for name in suite.metrics if name != "strict"}


def applicable(suite: Suite, texts: Iterable[str | None]) -> Suite:
    """The suite with the scorers that its outputs can be scored by. Raises UserError for an unknown name."""
    found, given = references(suite), [text for text in texts if text]
    for name in suite.totals:
        total(name)
    left = [name for name, one in found.items() if one.applies and not any(map(one.applies, given))]
    return suite.model_copy(update={"metrics": [name for name in suite.metrics if name not in left]})


def run_all(
    suite: Suite, samples: Sequence[Sample], answers: Sequence[Sequence[str | None]]
) -> dict[str, list[list[Scored]]]:
    """Metric name -> one list of scored answers a run, in the suite's order. `answers[i]` are those of `samples[i]`."""
    runs = list(zip(*answers, strict=True))
    return {name: [one.run(list(run), samples) for run in runs] for name, one in references(suite).items()}
