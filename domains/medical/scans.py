"""Made-up scans with closed and open questions: the embedded default of the medical systems.

A scan is a grey picture of 84 x 84 pixels: a body whose texture tells the kind of picture and whose outline the part of
the body, and one to three lesions, each in the middle of one of nine zones. Sides are those of the picture. Questions
ask what, where, how many, how large and how bright, closed (yes or no, or options) or open (a short phrase, whose
reference is one of many wordings). Metadata tells the whole scan, what was asked and what the answer means, so that
answers in other words, and on the wrong side, can be told apart; see `scans_answers.py`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError, nearest
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, MediaRef, Sample

parts = load_module(Path(__file__).parent / "vqa_parts.py")
world = load_module(Path(__file__).parent / "scans_world.py")
pictures = load_module(Path(__file__).parent / "scans_draw.py")
answers = load_module(Path(__file__).parent / "scans_answers.py")
closed_open = load_module(Path(__file__).parent / "closed_open.py")

PLATE = "plate"
QUESTIONS = {
    "what": ("what is abnormal at the {row} {column} ?", "which lesion is seen {row} {column} ?"),
    "where": ("where is the {shape} ?", "in which zone lies the {shape} ?"),
    "side": ("on which side is the {shape} ?", "which side shows the {shape} ?"),
    "size": ("how large is the {shape} ?", "which size has the {shape} ?"),
    "shade": ("how bright is the {shape} ?", "which shade has the {shape} ?"),
    "count": ("how many lesions are there ?", "how many lesions are seen ?"),
    "modality": ("what kind of picture is this ?", "how was this picture taken ?"),
    "organ": ("which part of the body is this ?", "what part is seen ?"),
    "abnormal": ("what is abnormal ?", "which lesion does this picture show ?"),
    "presence": ("is there a {shape} {on} ?", "does this picture show a {shape} {on} ?"),
    PLATE: ("what does every zone show ?", "which lesion fills this picture ?"),
}
"""By family, in two phrasings. `abnormal` is asked of scans with one lesion, `plate` of plates, which teach to see."""
DEFAULT = {
    **dict.fromkeys(("what", "side", "size", "shade", "count", "modality", "abnormal"), 1.0),
    **{"where": 2.0, "presence": 2.0},
}
"""Shares of the families that the suites ask."""
ALWAYS_CLOSED, ALWAYS_OPEN = frozenset({"presence"}), frozenset({"abnormal", PLATE})
OPTIONS = 4
_ON = {"left": "on the left", "right": "on the right", "centre": "in the centre"}


def read(request: ReadRequest) -> Iterator[Sample]:
    """Reader of the generated set; `request.seed` and the split decide which scans.

    Options: scans, per_scan (questions on each, of different families), families (name -> share), closed (share of
    closed questions in families that can be both), options (closed questions have lettered ones; else the question
    names the candidates), accept (graders take synonyms of an open gold as right), reworded (how often a word of an
    open reference is another synonym), phrasings (1 or 2), and the fields of `World`. Scans are written to
    `request.root`/scans; what is there and whole is used again. Raises UserError for values that make no sense.
    """
    fields = {field.name: field.default for field in dataclasses.fields(world.World)}
    chosen = take_options(
        request,
        scans=300,
        per_scan=1,
        families=DEFAULT,
        closed=0.5,
        options=True,
        accept=False,
        reworded=0.0,
        phrasings=1,
        **fields,
    )
    if request.root is None:
        raise UserError(f"source {request.name}: no folder to draw scans into; give a run folder with --out")
    sized = world.World(**{name: chosen[name] for name in fields})
    sized.check(request.name)
    families = _checked(request.name, chosen)
    seed = f"{request.split}{request.seed}{'-plates' * (PLATE in families)}"
    for number in range(chosen["scans"]):
        rng = random.Random(f"{seed}:{number}:asked")
        drawn = _drawn(families, chosen["per_scan"], rng)
        scene = _scene(f"{seed}:{number}", sized, drawn)
        picture = request.attach(_written(request, scene, seed, number))
        for family in drawn:
            yield _question(request, scene, family, picture, f"{seed}-{number:05d}", chosen, rng)


def _checked(name: str, chosen: dict[str, Any]) -> dict[str, float]:
    """The families with a share. Raises UserError for what does not fit."""
    for family, share in chosen["families"].items():
        if family not in QUESTIONS:
            raise UserError(f"source {name}: unknown family {family!r}{nearest(family, QUESTIONS)}")
        if isinstance(share, bool) or not isinstance(share, int | float) or share < 0:
            raise UserError(f"source {name}: family {family} has the share {share!r}, expected a number from 0 up")
    families = {family: float(share) for family, share in sorted(chosen["families"].items()) if share}
    if not families:
        raise UserError(f"source {name}: no family has a share above 0; write for example families: {{where: 1.0}}")
    if PLATE in families and len(families) > 1:
        raise UserError(f"source {name}: plates can't be asked the other families; give them a source of their own")
    for key, least, most in (("per_scan", 1, len(families)), ("closed", 0, 1), ("reworded", 0, 1), ("phrasings", 1, 2)):
        if not least <= chosen[key] <= most:
            raise UserError(f"source {name}: option {key} is {chosen[key]:g}, expected {least} to {most}")
    return families


def _scene(seed: str, sized: Any, asked: list[str]) -> Any:
    """A scan to which the families can be asked."""
    if PLATE in asked:
        return world.make_plate(seed, sized)
    return world.make_scene(seed, dataclasses.replace(sized, most=1 if "abnormal" in asked else sized.most))


def _drawn(families: dict[str, float], count: int, rng: random.Random) -> list[str]:
    """Different families by their shares."""
    left, drawn = dict(families), list[str]()
    for _ in range(count):
        drawn += rng.choices(list(left), list(left.values()))
        del left[drawn[-1]]
    return drawn


def _written(request: ReadRequest, scene: Any, seed: str, number: int) -> str:
    """The picture's path relative to the root; sets with other scans lie in folders of their own."""
    kind = hashlib.sha256(str(scene.world).encode()).hexdigest()[:8]
    relative = f"scans/{seed}-{kind}/{number:05d}.png"
    assert request.root is not None
    if request.need_media:
        pictures.keep(scene, request.root / relative)
    return relative


def _question(
    request: ReadRequest,
    scene: Any,
    family: str,
    picture: MediaRef,
    document: str,
    chosen: dict[str, Any],
    rng: random.Random,
) -> Sample:
    lesion = rng.choice(scene.lesions)
    asked, meaning = _asked(scene, lesion, family, rng)
    template = QUESTIONS[family][rng.randrange(chosen["phrasings"])]
    closed = family in ALWAYS_CLOSED or (family not in ALWAYS_OPEN and rng.random() < chosen["closed"])
    told = plate(scene) if family == PLATE else caption(scene)
    gold = answers.reworded(meaning, 0.0 if closed else chosen["reworded"], rng) or told
    made = parts.sample(
        request,
        f"{document}-{family}",
        template.format(**asked, on=_ON.get(asked.get("column", ""), "")),
        _answer(gold, meaning, family, chosen["accept"] and not closed),
        [picture],
        document,
        **_facts(scene, lesion, family),
        caption=told,
        answer=gold,
        answer_type="closed" if closed else "open",
        form="yes_no" if family in ALWAYS_CLOSED else "closed_word" if closed else "open",
        asked=asked,
        meaning=[list(pair) for pair in meaning],
        synonyms=answers.wordings(meaning) if meaning else [gold],
    )
    return _with_candidates(made, meaning, chosen["options"], rng) if closed else made


def _asked(scene: Any, lesion: Any, family: str, rng: random.Random) -> tuple[dict[str, str], Any]:
    """What the question names, by kind, and what the answer means; a plate is told whole."""
    if family == PLATE:
        return {}, []
    shape = {"shape": lesion.shape}
    golds = {
        "what": [("size", lesion.size), ("shape", lesion.shape)],
        "where": [("row", lesion.row), ("column", lesion.column)],
        "side": [("column", lesion.column)],
        "size": [("size", lesion.size)],
        "shade": [("shade", lesion.shade)],
        "count": [("count", counted(scene))],
        "modality": [("modality", scene.modality)],
        "organ": [("organ", scene.organ)],
    }
    golds["abnormal"] = [*golds["what"], *golds["where"]]
    if family == "presence":
        asked, there = _sought(scene, lesion, rng)
        return asked, [("polarity", "yes" if there else "no")]
    if family == "what":
        return {"row": lesion.row, "column": lesion.column}, golds[family]
    return shape if family in ("where", "side", "size", "shade") else {}, golds[family]


def _sought(scene: Any, lesion: Any, rng: random.Random) -> tuple[dict[str, str], bool]:
    """A shape and a side: half the time there; else the same shape on another side, or another shape on this side."""
    if rng.random() < 0.5:
        return {"shape": lesion.shape, "column": lesion.column}, True
    if rng.random() < 0.5:
        side = rng.choice([column for column in world.COLUMNS if column != lesion.column])
        return {"shape": lesion.shape, "column": side}, False
    shown = {other.shape for other in scene.lesions}
    return {"shape": rng.choice([s for s in world.SHAPES if s not in shown]), "column": lesion.column}, False


def _answer(gold: str, meaning: Any, family: str, accept: bool) -> Answer:
    if family == "presence":
        return Answer(AnswerKind.JUDGEMENT, gold)
    if family == PLATE:
        return Answer(AnswerKind.FREE, gold)
    also = [one for one in answers.wordings(meaning) if one != gold] if accept else []
    return Answer(AnswerKind.SPAN, gold, aliases={"also": also} if also else {})


def _with_candidates(sample: Sample, meaning: Any, options: bool, rng: random.Random) -> Sample:
    """Options, or candidates named in the question; yes and no need no naming."""
    others = answers.alternatives(meaning)
    found = [sample.metadata["answer"], *map(answers.phrase, rng.sample(others, min(OPTIONS - 1, len(others))))]
    rng.shuffle(found)
    if options:
        lettered: Sample = closed_open.lettered(sample, found, "generated")
        return lettered
    if sample.answer.kind is AnswerKind.JUDGEMENT:
        return sample
    named = f"{sample.question.removesuffix(' ?')} : {' , '.join(found[:-1])} or {found[-1]} ?"
    plain: Sample = closed_open.asked_anew(sample, named)
    return plain.with_meta(candidates=found)


def caption(scene: Any) -> str:
    """The whole scan in words: "mri chest . upper left small bright ring . lower right large dark wedge . two"."""
    told = [
        f"{one['row']} {one['column']} {one['size']} {one['shade']} {one['shape']}"
        for one in map(told_of, scene.lesions)
    ]
    return " . ".join([f"{scene.modality} {scene.organ}", *told, counted(scene)])


def plate(scene: Any) -> str:
    """What all lesions of a plate have in common: "mri chest . small ring"."""
    one = scene.lesions[0]
    return f"{scene.modality} {scene.organ} . {one.size} {one.shape}"


def counted(scene: Any) -> str:
    """How many lesions, in one word."""
    return list(world.COUNTS)[len(scene.lesions) - 1]


def told_of(lesion: Any) -> dict[str, Any]:
    """A lesion as metadata holds it."""
    return {**dataclasses.asdict(lesion), "zone": f"{lesion.row} {lesion.column}"}


def _facts(scene: Any, lesion: Any, family: str) -> dict[str, Any]:
    """Metadata of a question whose lesion, or first of several, is `lesion`."""
    return {
        "family": family,
        "content_type": family,
        "modality": scene.modality,
        "organ": scene.organ,
        "zone": f"{lesion.row} {lesion.column}",
        "shape": lesion.shape,
        "pair": "held_out" if lesion.pair in world.HELD_OUT else "rare" if lesion.pair in world.RARE else "common",
        "lesions": [told_of(one) for one in scene.lesions],
    }
