"""The teacher of the embedded clips: looks well, answers carelessly.

Its thought tells every second, which teaches a tiny model to see, and then what is asked about. Its answer takes shape
and seconds from there at set rates only; otherwise it names another shape, or lets the window begin or end with the
clip: habits that RL has to mend, and the spread that selection needs. The paper has no cold start; a model that has
never seen a picture cannot do without one.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from mmreason.config.strict import Strict, validate
from mmreason.project import load_module
from mmreason.records import Sample

world = load_module(Path(__file__).parents[1] / "scenes_world.py")
scenes = load_module(Path(__file__).parents[1] / "scenes.py")
rewards = load_module(Path(__file__).parent / "rewards.py")
Task = rewards.Task


class TeacherSettings(Strict):
    """`data.teacher.options`; all ours."""

    slip: float = Field(default=0.2, ge=0, le=1)
    """How often the answer names another shape than the thought."""
    wide: float = Field(default=0.3, ge=0, le=1)
    """How often the window begins with the clip, and how often it ends with it."""


def solver(options: dict[str, Any]) -> Callable[[Sample, int], str]:
    """(sample, attempt) -> thought and answer. Raises UserError for unknown options."""
    settings = validate(TeacherSettings, options, "data.teacher.options")

    def respond(sample: Sample, attempt: int) -> str:
        rng = random.Random(hashlib.sha256(f"{sample.id}:{attempt}".encode()).hexdigest())
        return f"<think>{seen(sample)}</think><answer>{careless(sample, settings, rng)}</answer>"

    return respond


def seen(sample: Sample) -> str:
    """Every second with the colour that is asked for and what is there, marked where they agree; those seconds again;
    what follows: "00 red none 01 red red ring here 01 02 red blue . here 01 . so red ring 01 01 .".

    With both colours side by side a tiny model learns to compare them in a hundred steps, otherwise not in minutes.
    """
    facts, asked = sample.metadata, sample.metadata["colour"]
    frames = [(_second(frame, facts["fps"]), scenes.describe(sample, frame)) for frame in range(facts["frames"])]
    marked = [second for second, view in frames if view.colour == asked]
    entries = [
        f"{second} {asked} {_told(view)}" + (f" here {second}" if second in marked else "") for second, view in frames
    ]
    return f"{' '.join(entries)} . here {' '.join(marked)} . so {asked} {facts['shape']} {marked[0]} {marked[-1]} ."


def _told(view: Any) -> str:
    return " ".join(word for word in (view.colour, view.shape) if word != scenes.NONE) or str(scenes.NONE)


def careless(sample: Sample, settings: TeacherSettings, rng: random.Random) -> str:
    """The answer in the form that the question asks for."""
    task, facts = rewards.task_of(sample), sample.metadata
    shape = facts["shape"]
    if rng.random() < settings.slip:
        shape = rng.choice([other for other in world.SHAPES if other != shape])
    if task is Task.QUESTION:
        return str(shape)
    ((start, end),) = sample.evidence["windows"]
    start = 0 if rng.random() < settings.wide else round(start)
    end = int(facts["duration"]) - 1 if rng.random() < settings.wide else round(end)
    times = {"start_time": f"{start:02d}", "end_time": f"{end:02d}"}
    return json.dumps(times if task is Task.GROUNDING else {"option": shape, **times})


def _second(frame: int, fps: float) -> str:
    """As the caption of the frame writes it."""
    return f"{round(frame / fps):02d}"
