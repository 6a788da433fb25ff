"""Rad-ReStruct: the questions that fill in a structured report on chest X-rays, along the gold path.

Levels: 1 a topic ("any signs in the lung?"), 2 one finding of it (asked again for each further instance), 3 its
attributes. Below a "no" nothing is asked. Evidence of each question: `slots` (option -> place in the report's vector),
`classes` (length of the vector), `noes` (places of all answers "no"), `topic`, `finding` and `previous` (numbers of the
questions above it and of the instance before it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Sample
from mmreason.suites.predictions import parse_json, read_text

parts = load_module(Path(__file__).parent / "vqa_parts.py")

YES_NO = ["yes", "no"]


def _load(path: Path) -> Any:
    return parse_json(read_text(path), str(path))


def rad_restruct(request: ReadRequest) -> Iterator[Sample]:
    """All questions of the listed reports; each is asked with every image of its report, and with the gold history."""
    take_options(request)
    ids, pictures, keys = (_load(path) for path in request.files[:3])
    places = {key: place for place, key in enumerate(keys)}
    noes = [place for key, place in places.items() if key.endswith("_no") or key.rpartition("_")[0].endswith("_no")]
    folder = request.files[0].parent
    for report in ids:
        rows = _load(folder / f"{request.split}_qa_pairs" / f"{report}.json")
        names = [parts.beside(request, request.files[0], "images", f"{name}.png") for name in pictures[report]]
        media = [request.attach(name) for name in names]
        yield from _report(request, str(report), rows, media, places, noes)


def slots_of(path: str, options: Sequence[str], turn: int, places: dict[str, int]) -> dict[str, int]:
    """Option -> place in the vector, for the question at `path` that is asked for the `turn`-th time (from 0).

    A finding called as its area shares the path of its topic, so its first turn is the topic's; in the keys its name
    stands twice.
    """
    if not turn and f"{path}_{options[0]}" in places:
        return {option: places[f"{path}_{option}"] for option in options}
    area, _, rest = path.partition("_")
    shared = rest == "body_regions"  # the topic took the first turn
    doubled = f"{area}_body_regions_{area}{rest.removeprefix('body_regions')}"
    for prefix, number in ((path, turn), (doubled, turn - shared)):
        if f"{prefix}_{options[0]}_{number}" in places:
            return {option: places[f"{prefix}_{option}_{number}"] for option in options}
    return {}


def _report(
    request: ReadRequest,
    report: str,
    rows: Sequence[Any],
    media: Sequence[Any],
    places: dict[str, int],
    noes: list[int],
) -> Iterator[Sample]:
    turns: Counter[str] = Counter()
    above: dict[str, Any] = {"topic": None, "finding": None, "path": ""}
    for number, (question, golds, history, info) in enumerate(rows):
        path, options = info["path"], info["options"]
        slots = slots_of(path, options, turns[path], places)
        if not slots or len(options) > 26:
            raise UserError(f"report {report}, question {number}: no place in report_keys.json for {path!r}")
        turns[path] += 1
        evidence, level = _above(above, number, path, options, slots, places)
        yield parts.sample(
            request,
            f"{report}-{number:03d}",
            _asked(question, history),
            _answer(golds, options),
            media,
            report,
            evidence={"slots": slots, "classes": len(places), "noes": noes, **evidence},
            answer=golds[0],
            answers=golds,
            choices=options,
            answer_form="yes_no" if options == YES_NO else info["answer_type"],
            level=level,
            images=len(media),
            last=number == len(rows) - 1,
        )


def _above(
    above: dict[str, Any], number: int, path: str, options: Sequence[str], slots: dict[str, int], places: dict[str, int]
) -> tuple[dict[str, Any], int]:
    """The questions that this one hangs on, and its level; `above` is carried from question to question."""
    if options != YES_NO:
        return {"topic": above["topic"], "finding": above["finding"], "previous": None}, 3
    if places.get(f"{path}_yes") == slots["yes"]:
        above.update(topic=number, finding=None, path="")
        return {"topic": None, "finding": None, "previous": None}, 1
    if path.endswith("_infos") and above["path"] != path:
        above["topic"] = None  # findings without a topic question
    previous = above["finding"] if above["path"] == path else None
    above.update(finding=number, path=path)
    return {"topic": above["topic"], "finding": None, "previous": previous}, 2


def _answer(golds: Sequence[str], options: Sequence[str]) -> Answer:
    if options == YES_NO:
        return Answer(AnswerKind.JUDGEMENT, golds[0])
    letters = parts.lettered(options)
    right = "".join(letter for letter, text in letters.items() if text in golds)
    return Answer(AnswerKind.CHOICE, right, letters, multi=len(right) > 1)


def _asked(question: str, history: Sequence[Any]) -> str:
    before = [f"{asked} {', '.join(given)}" for asked, given in history]
    return "\n".join([*before, question])
