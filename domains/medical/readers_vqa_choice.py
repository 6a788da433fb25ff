"""Multiple choice about medical images: PMC-VQA, OmniMedVQA, MedXpertQA-MM, MMMU's medical subjects, GMAI-MMBench.

Metadata: `choices` holds the options as the file prints them where it prints letters with them, `answer` the released
answer.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mmreason.data.lines import Row, describe, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import Drop, ReadRequest
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Role, Sample, Source

parts = load_module(Path(__file__).parent / "vqa_parts.py")

Attach = Callable[[str], MediaRef]
LETTERS = "ABCDE"
_PRINTED = re.compile(r"^\s*[A-D]\s*[:.]\s*")
_LISTED = re.compile(r"\s*Answer Choices:\s*\(A\).*\Z", re.DOTALL)
_LONGEST = 20_000


def _choice(options: dict[str, str], letter: str) -> Answer:
    return Answer(AnswerKind.CHOICE, letter, options)


def pmc_vqa(request: ReadRequest) -> Iterator[Sample | Drop]:
    """Both CSV releases; version 2 has a caption and a letter as answer. Rows have no ids and are numbered from 0.

    The printed letters are taken off the options, which the prompt letters again.
    """
    take_options(request)
    attach = parts.attacher(request)
    for path in request.files:
        for number, row in enumerate(read_rows(path)):
            yield _pmc(row, request, attach, f"{path.stem}-{number:05d}")


def _pmc(row: Row, request: ReadRequest, attach: Attach, identity: str) -> Sample | Drop:
    printed = [row.need(f"Choice {letter}", str) for letter in "ABCD"]
    texts = [_PRINTED.sub("", choice).strip() for choice in printed]
    answer = row.need("Answer", str)
    letter = row.fill("Answer_label", str, answer).strip()
    if letter not in tuple("ABCD"):
        bare = _PRINTED.sub("", answer).strip()
        letter = next((mark for mark, text in zip("ABCD", texts, strict=True) if text == bare), "")
    if not letter:
        return Drop(f"{request.name}-{identity}", "read", "answer_not_in_options", describe(answer), row.values)
    figure = row.need("Figure_path", str).strip()
    folder = "figures" if "split" in row.values else "images"
    return parts.sample(
        request,
        identity,
        row.need("Question", str).strip(),
        _choice(parts.lettered(texts), letter),
        [attach(parts.beside(request, row.path, folder, figure))],
        figure,
        answer=printed["ABCD".index(letter)],
        choices=printed,
    )


def omnimedvqa(request: ReadRequest) -> Iterator[Sample | Drop]:
    """The open-access files; options C and D may be absent, and one row names its modality by another key."""
    take_options(request)
    attach = parts.attacher(request)
    for path in request.files:
        for row in read_rows(path):
            yield _omni(row, request, attach)


def _omni(row: Row, request: ReadRequest, attach: Attach) -> Sample | Drop:
    found = {letter: row.values.get(f"option_{letter}") for letter in "ABCD"}
    options = {letter: str(text) for letter, text in found.items() if text is not None}
    answer, identity = row.need("gt_answer", str), row.need("question_id", str)
    letter = next((mark for mark, text in options.items() if text == answer), None)
    if letter is None:
        return Drop(f"{request.name}-{identity}", "read", "answer_not_in_options", describe(answer), row.values)
    image = row.need("image_path", str)
    return parts.sample(
        request,
        identity,
        row.need("question", str).strip(),
        _choice(options, letter),
        [attach(f"omnimedvqa/{image}")],
        image,
        answer=answer,
        modality=row.fill("modality_type", str, row.fill("modality", str, "")),
        question_type=row.need("question_type", str),
        dataset=row.need("dataset", str),
    )


def medxpertqa_mm(request: ReadRequest) -> Iterator[Sample | Drop]:
    """MedXpertQA with images, in the form of the hub (options by letter) or of the repository (list of options).

    All questions end with their options; these are taken off, so that a prompt lists them once.
    """
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            yield _medxpert(row, request)


def _medxpert(row: Row, request: ReadRequest) -> Sample | Drop:
    hub = isinstance(row.values.get("options"), dict)
    listed = row.inner("options").values.items() if hub else [_lettered(one) for one in row.inners("options")]
    options = {str(letter): str(text) for letter, text in listed}
    label = row.need("label", str) if hub else row.texts("label")[0]
    identity = row.need("id", str)
    if label not in options:
        return Drop(f"{request.name}-{identity}", "read", "answer_not_in_options", describe(label), row.values)
    names = row.texts("images") if hub else [one.need("image_path", str) for one in row.inners("images")]
    return parts.sample(
        request,
        identity,
        _LISTED.sub("", row.need("question", str)).strip(),
        _choice(options, label),
        [request.attach(f"medxpertqa/images/{name}") for name in names],
        identity,
        answer=label,
        images=len(names),
        **{key: row.need(key, str) for key in ("medical_task", "body_system", "question_type")},
    )


def _lettered(option: Row) -> tuple[str, str]:
    return option.need("letter", str), option.need("content", str)


def mmmu_medicine(request: ReadRequest) -> Iterator[Sample | Drop]:
    """Rows of MMMU's five medical subjects; images lie unpacked as <id>_<k>.png and stand where the text marks them."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            yield _mmmu(row, request)


def _options(row: Row) -> list[str]:
    """A list, or a string that holds a Python list."""
    value = row.values.get("options")
    if isinstance(value, str) and len(value) <= _LONGEST:
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            row.fail(f"options is {describe(value)}, expected the text of a list")
    if not isinstance(value, list):
        row.fail(f"options is {describe(value)}, expected a list")
    return [str(one) for one in value]


def _mmmu_answer(row: Row) -> Answer:
    printed = row.need("answer", str).strip()
    options = parts.lettered(_options(row))
    if row.need("question_type", str) == "multiple-choice":
        return _choice(options, printed)
    golds = ast.literal_eval(printed) if printed.startswith("[") and len(printed) <= _LONGEST else [printed]
    answer: Answer = parts.worded(str(golds[0]), also=[str(one) for one in golds[1:]])
    return answer


def _mmmu(row: Row, request: ReadRequest) -> Sample | Drop:
    identity, answer = row.need("id", str), _mmmu_answer(row)
    if answer.kind is AnswerKind.CHOICE and answer.gold not in answer.options:
        return Drop(f"{request.name}-{identity}", "read", "answer_not_in_options", describe(answer.gold), row.values)
    count = sum(1 for k in range(1, 8) if row.values.get(f"image_{k}"))
    names = [parts.beside(request, row.path, "images", f"{identity}_{k}.png") for k in range(1, count + 1)]
    question = row.need("question", str).strip()
    subject = identity.removeprefix("validation_").removeprefix("test_").removeprefix("dev_").rsplit("_", 1)[0]
    return Sample(
        id=f"{request.name}-{identity}",
        source=Source("mmmu", request.split, request.entry.licence, identity, identity),
        messages=(Message.of(Role.USER, question),),
        answer=answer,
        media=tuple(request.attach(name) for name in names),
        metadata={
            "question": question,
            "inline_images": True,
            "answer": row.need("answer", str),
            "subject": subject,
            "question_type": row.need("question_type", str),
            "subfield": row.fill("subfield", str, ""),
            "topic_difficulty": row.fill("topic_difficulty", str, ""),
        },
    )


def gmai(request: ReadRequest) -> Iterator[Sample | Drop]:
    """GMAI-MMBench's table with tabs between cells. Its pictures lie unpacked as images/<index>.jpg beside it."""
    take_options(request)
    for path in request.files:
        for row in parts.table_rows(path):
            yield _gmai(row, request)


def _gmai(row: Row, request: ReadRequest) -> Sample | Drop:
    options = {letter: text for letter in LETTERS if (text := str(row.values.get(letter) or "").strip())}
    index, answer = row.need("index", str), row.need("answer", str).strip()
    if answer not in options:
        return Drop(f"{request.name}-{index}", "read", "answer_not_in_options", describe(answer), row.values)
    return parts.sample(
        request,
        index,
        row.need("question", str).strip(),
        _choice(options, answer),
        [request.attach(parts.beside(request, row.path, "images", f"{index}.jpg"))],
        index,
        answer=answer,
        task=_first(row, ("clinical vqa task", "category")),
        department=_first(row, ("department", "l2-category")),
        granularity=_first(row, ("perceptual granularity", "split")),
    )


def _first(row: Row, names: Sequence[str]) -> str:
    return next((str(row.values[name]).strip() for name in names if row.values.get(name)), "")
