"""Examinations with pictures: MMMU, MMMU-Pro, LogicVista, MMStar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mmreason.data.lines import Row
from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, MediaRef, Sample

released = load_module(Path(__file__).parent / "released.py")

DISCIPLINES = {
    "Art and Design": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Health and Medicine": (
        *("Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine"),
        *("Pharmacy", "Public_Health"),
    ),
    "Humanities and Social Science": ("History", "Literature", "Sociology", "Psychology"),
    "Tech and Engineering": (
        *("Agriculture", "Architecture_and_Engineering", "Computer_Science", "Electronics"),
        *("Energy_and_Power", "Materials", "Mechanical_Engineering"),
    ),
}
_DISCIPLINE = {subject: name for name, subjects in DISCIPLINES.items() for subject in subjects}
SETTINGS = {"standard10": "standard (10 options)", "standard4": "standard (4 options)", "vision": "vision"}
SEE_PICTURE = "Answer the question in the picture."


def subject_of(row: Row, identity: str) -> str:
    """'Energy_and_Power' of 'validation_Energy_and_Power_2'."""
    found = re.fullmatch(r"[a-z]+_(.+)_\d+", identity)
    subject = found.group(1) if found else row.fill("subject", str, "")
    if subject not in _DISCIPLINE:
        row.fail(f"id {identity!r} names none of the 30 subjects")
    return subject


def _pictures(row: Row, request: ReadRequest, numbers: list[int]) -> tuple[MediaRef, ...]:
    """The pictures image_<k> in the order of `numbers`."""
    return tuple(released.attach(request, row, row.need(f"image_{number}", str)) for number in numbers)


def _released(row: Row, numbers: list[int]) -> list[int]:
    """Those whose picture the row has: options of one item mark thirty pictures, rows have at most seven."""
    return [number for number in numbers if row.values.get(f"image_{number}") is not None]


def _open(row: Row) -> Answer:
    """An open gold; several accepted ones are spelt as a Python list."""
    value = row.values.get("answer")
    golds = released.literal(row, "answer") if str(value).startswith("[") else [str(value)]
    answer: Answer = released.short(*golds)
    return answer


def _placed(row: Row, request: ReadRequest, identity: str, subject: str, **more: str) -> Sample:
    """A question whose pictures stand where its text and its options mark them, numbered in order of appearance."""
    question = released.spaced(row.need("question", str))
    listed = [released.spaced(option) for option in released.literal(row, "options")]
    order = _released(row, released.marks(question, *listed))
    options = released.lettered([released.renumbered(option, order) for option in listed], row)
    open_item = row.fill("question_type", str, "multiple-choice") != "multiple-choice" or not options
    answer = _open(row) if open_item else released.choice(row, row.need("answer", str), options)
    found: Sample = released.sample(
        request,
        identity,
        released.renumbered(question, order),
        answer,
        _pictures(row, request, order),
        inline=True,
        subject=subject,
        discipline=_DISCIPLINE[subject],
        question_type="open" if open_item else "multiple-choice",
        **more,
    )
    return found


def mmmu(request: ReadRequest) -> Iterator[Sample]:
    """MMMU: <Subject>/validation-00000-of-00001.parquet, or the same rows one a line with image_<k> as file names.

    The subjects' files stand in the order of the authors' program, which its random fall-backs follow.
    """
    take_options(request)
    for path in request.files:
        for row in released.rows(path, request):
            identity = row.need("id", str)
            yield _placed(row, request, identity, subject_of(row, identity))


def _setting(path: Path) -> str:
    """The setting of a file, from the name of its folder or its own."""
    where = f"{path.parent.name}/{path.name}"
    return "vision" if "vision" in where else "standard4" if re.search(r"4.options|standard4", where) else "standard10"


def mmmu_pro(request: ReadRequest) -> Iterator[Sample]:
    """MMMU-Pro: the Parquet files of the folders 'standard (10 options)', 'standard (4 options)' and 'vision'.

    In the vision setting one picture holds question and options: the options still name what the letters mean.
    """
    take_options(request)
    for path in request.files:
        setting = _setting(path)
        for row in released.rows(path, request):
            identity = row.need("id", str)
            name, subject = f"{setting}-{identity}", row.fill("subject", str, "") or subject_of(row, identity)
            nested = str(row.values.get("options")).startswith("[[")  # one option to the authors' scorer
            if setting != "vision":
                found = _placed(row, request, name, subject, setting=SETTINGS[setting])
            else:
                options = released.lettered(released.literal(row, "options"), row)
                found = released.sample(
                    request,
                    name,
                    SEE_PICTURE,
                    released.choice(row, row.need("answer", str), options),
                    (released.attach(request, row, row.need("image", str)),),
                    subject=subject,
                    discipline=_DISCIPLINE[subject],
                    setting=SETTINGS[setting],
                )
            yield _as_row(found.with_meta(nested_options=nested), identity)


def _as_row(found: Sample, identity: str) -> Sample:
    """The sample with the released id as its row and as its document: the settings share their questions."""
    return replace(found, source=replace(found.source, row=identity, document=f"mmmu_pro-{identity}"))


def mmmu_pro_samples(request: ReadRequest) -> Iterator[Sample]:
    """The compact form of the authors' examples: options as letter -> text, pictures as a list in order of marks."""
    take_options(request)
    for path in request.files:
        for row in released.rows(path, request):
            options = {letter: released.spaced(str(text)) for letter, text in row.need("options", dict).items()}
            question = released.spaced(row.need("question", str))
            order = released.marks(question, *options.values())
            pictures = row.texts("images")
            media = tuple(released.attach(request, row, name) for name in pictures)
            shown = {key: released.renumbered(text, order) for key, text in options.items()}
            if len(order) > len(pictures):
                row.fail(f"{len(order)} marks in the text, {len(pictures)} images")
            yield released.sample(
                request,
                row.need("id", str),
                released.renumbered(question, order),
                released.choice(row, row.need("answer", str), shown),
                media,
                inline=True,
                setting=SETTINGS["standard10"],
                subject="(samples)",
                discipline="(samples)",
            )


def _logic_answer(row: Row) -> Answer:
    """Letters, several where the gold lists several; one item has a digit; one has no gold, which no answer meets."""
    gold = row.need("answer", str)
    letters = gold.split(", ")
    if gold.isdigit():
        return Answer(AnswerKind.NUMBER, gold)
    return Answer(AnswerKind.CHOICE, "".join(sorted(letters)), multi=len(letters) > 1)


def logicvista(request: ReadRequest) -> Iterator[Sample]:
    """LogicVista: data/dataset.json, {id: record}, pictures in images/. Options stand in the pictures alone."""
    take_options(request)
    for path in request.files:
        for row in released.rows(path, request):
            yield released.sample(
                request,
                row.need("id", str),
                row.need("question", str),
                _logic_answer(row),
                (released.attach(request, row, f"images/{row.need('imagename', str)}"),),
                released_answer=row.need("answer", str),
                **{key: " + ".join(row.texts(key)) for key in ("skill", "broad_capability", "specific_capability")},
            )


_STAR_OPTION = re.compile(r"(?:^|[\s,])([A-D]):\s")


def _star_parts(row: Row) -> tuple[str, dict[str, str]]:
    """'... Options: A: x, B: y' -> (question, letter -> option)."""
    question, _, listed = row.need("question", str).rpartition("Options:")
    found = list(_STAR_OPTION.finditer(listed))
    ends = [mark.start() for mark in found[1:]] + [len(listed)]
    options = {
        mark.group(1): listed[mark.end() : end].strip().removesuffix(",").rstrip(".").strip()
        for mark, end in zip(found, ends, strict=True)
    }
    if not question or len(options) != len(found):
        row.fail("the question has no 'Options: A: ..., B: ...' at its end")
    return question.strip(), options


def mmstar(request: ReadRequest) -> Iterator[Sample]:
    """MMStar: mmstar.parquet (index, question with its options, image, answer, category, l2_category)."""
    take_options(request)
    for path in request.files:
        for row in released.rows(path, request):
            question, options = _star_parts(row)
            yield released.sample(
                request,
                str(row.values.get("index")),
                question,
                released.choice(row, row.need("answer", str).strip(), options),
                (released.attach(request, row, row.need("image", str)),),
                category=row.need("category", str),
                l2_category=row.need("l2_category", str),
            )
