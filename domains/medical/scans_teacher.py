"""The teacher of the made-up scans: sees all lesions, answers carelessly.

Its thought tells the whole scan, which teaches a tiny model to see, and beside each lesion what is asked, which teaches
it to compare. Its answer departs from the thought at a set rate, sometimes to the other side, and is put in other words
at another: the habits that RL has to mend. The papers need no such teacher; a model that has never seen a picture does.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from mmreason.config.strict import Strict, validate
from mmreason.project import load_module
from mmreason.records import AnswerKind, Sample

world = load_module(Path(__file__).parent / "scans_world.py")
answers = load_module(Path(__file__).parent / "scans_answers.py")

CLEAR = "clear"
_OTHER_SIDE = {"left": "right", "right": "left"}


class TeacherSettings(Strict):
    """`data.teacher.options`; all ours."""

    slip: float = Field(default=0.4, ge=0, le=1)
    """How often the answer says something else than the thought."""
    mirror: float = Field(default=0.3, ge=0, le=1)
    """How often a slip of an answer with a side is the other side."""
    reword: float = Field(default=0.3, ge=0, le=1)
    """How often a word of an open answer is another synonym."""
    every_zone: bool = False
    """The thought goes through all nine zones instead of the lesions: longer, learned in fewer steps."""


def solver(options: dict[str, Any]) -> Callable[[Sample, int], str]:
    """(sample, attempt) -> thought and answer. Raises UserError for unknown options."""
    settings = validate(TeacherSettings, options, "data.teacher.options")

    def respond(sample: Sample, attempt: int) -> str:
        rng = random.Random(hashlib.sha256(f"{sample.id}:{attempt}".encode()).hexdigest())
        thought = seen(sample, settings.every_zone)
        return f"<think>{thought}</think><answer>{careless(sample, settings, rng)}</answer>"

    return respond


def seen(sample: Sample, every_zone: bool = False) -> str:
    """The scan in words, behind each lesion what is asked for and whether it is that, then what follows: "mri chest .
    upper left small bright ring ring left here , lower right large dark wedge ring left not . so yes".
    """
    facts = sample.metadata
    if not facts["meaning"]:  # a plate
        return str(facts["caption"])
    told = " , ".join(_entries(sample, every_zone))
    return f"{facts['modality']} {facts['organ']} . {told} . so {_conclusion(sample)}"


def _entries(sample: Sample, every_zone: bool) -> Iterator[str]:
    """Each lesion, or each zone, in reading order. What is asked for stands beside what it is compared with, since a
    model of this size does not look it up in the question, and behind it, or its shape would be guessed from there."""
    asked = sample.metadata["asked"]
    sought = "".join(f" {asked[kind]}" for kind in world.KINDS if kind in asked)
    lesions = {one["zone"]: one for one in sample.metadata["lesions"]}
    for zone in map(" ".join, world.ZONES):
        one = lesions.get(zone)
        if one is not None:
            here = all(one[kind] == word for kind, word in asked.items())
            judged = f"{sought} {'here' if here else 'not'}" if sought else ""
            yield f"{zone} {one['size']} {one['shade']} {one['shape']}{judged}"
        elif every_zone:
            yield f"{zone} {CLEAR}"


def _conclusion(sample: Sample) -> str:
    """The meaning in plain words, and the letter that stands for it."""
    said = answers.phrase(sample.metadata["meaning"])
    return f"{said} {sample.answer.gold}" if sample.answer.kind is AnswerKind.CHOICE else said


def careless(sample: Sample, settings: TeacherSettings, rng: random.Random) -> str:
    """The answer in the form that the question asks for."""
    answer, meaning = sample.answer, sample.metadata["meaning"]
    if not meaning:
        return answer.gold
    slips = rng.random() < settings.slip
    if answer.kind is AnswerKind.CHOICE:
        return rng.choice([letter for letter in answer.options if letter != answer.gold]) if slips else answer.gold
    if slips:
        meaning = slipped(meaning, settings.mirror, rng)
    closed = sample.metadata["answer_type"] == "closed"
    said: str = answers.phrase(meaning) if closed else answers.reworded(meaning, settings.reword, rng)
    return said


def slipped(meaning: Any, mirror: float, rng: random.Random) -> Any:
    """Another answer of the same kinds; at the rate `mirror` only the side is another, where there is one."""
    mirrored = [(kind, _OTHER_SIDE.get(word, word)) if kind == "column" else (kind, word) for kind, word in meaning]
    if answers.phrase(mirrored) != answers.phrase(meaning) and rng.random() < mirror:
        return mirrored
    return rng.choice(answers.alternatives(meaning))
