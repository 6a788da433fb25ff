"""Free questions about one image: VQA-RAD, SLAKE, PathVQA and VQA-Med of 2019 and 2021.

Metadata of all: `answer` (as released, stripped), `answer_type` (closed or open, by the annotation where there is one,
else by the yes/no rule) and `form` (yes_no by the yes/no rule, closed_word, open).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import Drop, ReadRequest
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import MediaRef, Sample
from mmreason.suites.predictions import parse_json, read_text

parts = load_module(Path(__file__).parent / "vqa_parts.py")

PUBLIC = "VQA_RAD Dataset Public.json"
FRAME = "frame"
_OPTIONAL = re.compile(r"\(([^()]*)\)")


def _closed(row: Row) -> bool:
    """The annotation; two released rows have a space behind it."""
    kind = row.need("answer_type", str).strip()
    if kind not in ("CLOSED", "OPEN"):
        row.fail(f"answer_type is {kind!r}, expected CLOSED or OPEN")
    return kind == "CLOSED"


def _split_of(answer: str, closed: bool) -> dict[str, str]:
    return {"answer": answer, "answer_type": "closed" if closed else "open", "form": parts.form_of(answer, closed)}


def _types(row: Row) -> str:
    """question_type is one name, several joined by commas, or a list of them."""
    value = row.values.get("question_type")
    names = value if isinstance(value, list) else str(value).split(",")
    return ", ".join(sorted({str(name).strip() for name in names}))


def vqa_rad(request: ReadRequest) -> Iterator[Sample | Drop]:
    """VQA-RAD: the public file of all questions (its test_* rows are the test set) or a file of one part.

    Option: frames, whether template rows are read; they repeat the answers of test questions, so an entry for training
    leaves them out.
    """
    frames = take_options(request, frames=request.entry.use == "eval")["frames"]
    attach = parts.attacher(request)
    for path in request.files:
        public = path.name == PUBLIC
        for row in read_rows(path):
            phrase = row.need("phrase_type", str).strip()
            if public and phrase.startswith("test_") != (request.split == "test"):
                continue
            identity = parts.text_of(row, "qid")
            if phrase == FRAME and not frames:
                yield Drop(f"{request.name}-{identity}", "read", "frame_row", "repeats a test answer", row.values)
                continue
            folder = "VQA_RAD Image Folder" if public else "images"
            image = attach(parts.beside(request, path, folder, row.need("image_name", str)))
            yield _rad(row, request, identity, image, phrase)


def _rad(row: Row, request: ReadRequest, identity: str, image: MediaRef, phrase: str) -> Sample:
    answer, closed = parts.text_of(row, "answer"), _closed(row)
    return parts.sample(
        request,
        identity,
        row.need("question", str).strip(),
        parts.free_answer(answer, closed),
        [image],
        row.need("image_name", str),
        **_split_of(answer, closed),
        organ=row.fill("image_organ", str, "").strip(),
        question_type=_types(row),
        phrase_type=phrase,
    )


def slake(request: ReadRequest) -> Iterator[Sample]:
    """SLAKE, JSON array or one record a line. Option: lang (en, zh, all); the languages are split apart by question.

    Answers that list items are graded as sets.
    """
    lang = take_options(request, lang=("en", "zh", "all"))["lang"]
    attach = parts.attacher(request)
    for path in request.files:
        for row in read_rows(path):
            if lang in ("all", row.need("q_lang", str)):
                yield _slake(row, request, attach(f"slake/imgs/{row.need('img_name', str)}"))


def _slake(row: Row, request: ReadRequest, image: MediaRef) -> Sample:
    answer, closed, lang = row.need("answer", str).strip(), _closed(row), row.need("q_lang", str)
    return parts.sample(
        request,
        str(row.need("qid", int)),
        row.need("question", str).strip(),
        parts.free_answer(answer, closed, lang, several=True),
        [image],
        row.need("img_name", str),
        **_split_of(answer, closed),
        lang=lang,
        **{key: row.fill(key, str, "").strip() for key in ("modality", "location", "content_type", "base_type")},
    )


def pathvqa(request: ReadRequest) -> Iterator[Sample]:
    """PathVQA without annotated types: rows {"image", "question", "answer"}, closed where the answer is yes or no."""
    take_options(request)
    attach = parts.attacher(request)
    for path in request.files:
        for row in read_rows(path):
            answer, image = parts.text_of(row, "answer"), row.need("image", str)
            closed = parts.is_yes_no(answer)
            yield parts.sample(
                request,
                row.fill("id", str, f"{row.line - 1:05d}"),
                row.need("question", str).strip(),
                parts.free_answer(answer, closed),
                [attach(parts.beside(request, path, image))],
                image,
                **_split_of(answer, closed),
            )


def _said(row: Row, place: int) -> str:
    """One turn of a LLaVA conversation; its key is misspelt in some files."""
    turns = row.inners("conversations" if "conversations" in row.values else "conversatons")
    return turns[place].need("value", str)


def llava_med(request: ReadRequest) -> Iterator[Sample]:
    """The form that LLaVA-Med converts VQA-RAD, SLAKE and PathVQA to: {id, image, answer_type, conversations}."""
    take_options(request)
    attach = parts.attacher(request)
    for path in request.files:
        for row in read_rows(path):
            answer, image = _said(row, 1).strip(), row.need("image", str)
            closed = row.need("answer_type", str).strip() in ("CLOSED", "yes/no")
            yield parts.sample(
                request,
                parts.text_of(row, "id"),
                _said(row, 0).replace("<image>", "").strip(),
                parts.free_answer(answer, closed),
                [attach(parts.beside(request, path, "images", image))],
                image,
                **_split_of(answer, closed),
            )


def accepted(printed: str) -> list[str]:
    """All answers that the readme of 2019 allows: # parts alternatives, a part in brackets may be left out."""
    found = []
    for one in printed.split("#"):
        found += [one.strip(), _OPTIONAL.sub(r"\1", one).strip(), " ".join(_OPTIONAL.sub(" ", one).split())]
    return [answer for answer in dict.fromkeys(found) if answer]


def _med(request: ReadRequest, image: str, question: str, golds: list[str], category: str, path: Path) -> Sample:
    closed = parts.is_yes_no(golds[0])
    return parts.sample(
        request,
        image,
        question.strip(),
        parts.free_answer(golds[0], closed, also=golds[1:]),
        [request.attach(parts.beside(request, path, "images", f"{image}.jpg"))],
        image,
        **_split_of(golds[0], closed),
        answers=golds,
        category=category,
    )


def vqa_med_2019(request: ReadRequest) -> Iterator[Sample]:
    """Lines image|category|question|answer of the released file, or the compact form with a list of answers."""
    take_options(request)
    for path in request.files:
        if path.suffix == ".txt":
            rows = parts.parted_rows(path, ("id", "category", "question", "answer"))
            found = ((row, accepted(row.values["answer"])) for row in rows)
        else:
            found = ((row, accepted("#".join(row.texts("answers")))) for row in read_rows(path))
        for row, golds in found:
            category = row.need("category", str)
            yield _med(request, row.need("id", str), row.need("question", str), golds, category, path)


def vqa_med_2021(request: ReadRequest) -> Iterator[Sample]:
    """The evaluator's two files: questions in MS COCO form, and lines image|reference|reference..."""
    take_options(request)
    asked, references = request.files
    questions = _coco_questions(asked)
    for row in parts.parted_rows(references, ("id", "answers")):
        image = row.values["id"]
        if image not in questions:
            row.fail(f"image {image!r} has no question in {asked.name}")
        golds = [one.strip() for one in row.values["answers"].split("|") if one.strip()]
        yield _med(request, image, questions[image], golds, "abnormality", references)


def _coco_questions(path: Path) -> dict[str, str]:
    value: Any = parse_json(read_text(path), str(path))
    if not isinstance(value, dict) or not isinstance(value.get("questions"), list):
        raise UserError(f"{path}: no list 'questions', expected the questions file of the evaluator")
    rows = [Row(one, path, number) for number, one in enumerate(value["questions"], start=1)]
    return {row.need("question_id", str): row.need("question", str) for row in rows}
