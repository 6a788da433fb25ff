"""The cold start's teacher in the made-up world: it knows the tags and has the habits that RL is to mend.

It writes what the model says; the environment of RL answers its searches when a trace is encoded, so a result may
be wrong, and then the trace states what the result says. Its habits: any source is asked, searches are left out, known
facts are searched for. The paper has no cold start: its base models know the tags from the prompt.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from mmreason.config.strict import Strict, validate
from mmreason.project import load_module
from mmreason.records import Sample

world = load_module(Path(__file__).parent / "world.py")


class HabitOptions(Strict):
    """Options of the teacher (`data.teacher.options`)."""

    guess: float = Field(0.35, ge=0, le=1)
    """How often an unknown fact is guessed in place of being searched for."""
    look_up: float = Field(0.4, ge=0, le=1)
    """How often a known fact is searched for."""
    world: dict[str, Any] = Field(default_factory=dict)
    """The options of the source, where they are not the usual ones."""
    seed: int = 0


@functools.cache
def _stated(settings: str) -> tuple[dict[tuple[str, str, str], str], dict[str, list[str]]]:
    """(source, relation, entity) -> what the source states; relation -> its values."""
    own = world.WorldSettings.model_validate_json(settings)
    found = world.passages(own, world.make(own))
    rows = [(p.source, *p.text.split()[2:]) for p in found]
    values = {relation: sorted({row[3] for row in rows if row[1] == relation}) for _, relation, _, _ in rows}
    return {(source, relation, one): value for source, relation, one, value in rows}, values


def solver(options: dict[str, Any]) -> Callable[[Sample, int], str | None]:
    """The teacher: (sample, attempt) -> what the model says, its turns joined. Raises UserError on bad options."""
    own = validate(HabitOptions, options, "data.teacher.options")
    settings = validate(world.WorldSettings, own.world, "data.teacher.options.world")
    stated, values = _stated(settings.model_dump_json())

    def respond(sample: Sample, attempt: int) -> str | None:
        if "hops" not in sample.metadata:
            return None
        rng = random.Random(f"{own.seed}:{sample.id}:{attempt}")
        chain = sample.evidence["references"][0]["triples"]
        said, at = "<think>", chain[0][0]
        for _, relation, right, _ in chain:
            known = sample.metadata["known"] and at == chain[0][0]
            if rng.random() < (own.look_up if sample.metadata["known"] else 1.0 - own.guess):
                source = rng.choice(list(settings.sources))
                said += f"<search> {source} {relation} {at}</search>"
                value = stated[source, relation, at]
            else:
                value = right if known or sample.metadata["known"] else rng.choice(values[relation])
            said += f" {relation} {at} {value} ."
            at = value
        return f"{said}</think><answer> {at}</answer>"

    return respond
