"""Questions made from annotated pictures, for which no published questions exist: BCCD cells, PneumoniaMNIST.

The answers are the annotators'; the wording of the questions is ours, so these sets have no official score.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, MediaRef, Sample

parts = load_module(Path(__file__).parent / "vqa_parts.py")
unpacking = load_module(Path(__file__).parent / "unpack.py")

CELLS = {"RBC": "red blood cells", "WBC": "white blood cells", "Platelets": "platelets"}
FINDINGS = {"A": "normal", "B": "pneumonia"}


def bccd(request: ReadRequest) -> Iterator[Sample]:
    """Blood smears, one record a picture: how many labelled cells of a kind there are, and whether any is.

    Counts are of labelled cells; those cut off by the border may be unlabelled.
    """
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            picture = request.attach(parts.beside(request, path, row.need("image", str)))
            for label, name in CELLS.items():
                yield from _cells(row, request, picture, label, name)


def _cells(row: Row, request: ReadRequest, picture: MediaRef, label: str, name: str) -> Iterator[Sample]:
    count = int(row.inner("counts").values.get(label, 0))
    asked = {
        "count": (f"How many {name} are there in this blood smear?", Answer(AnswerKind.NUMBER, str(count))),
        "presence": (f"Are there {name} in this blood smear?", Answer(AnswerKind.JUDGEMENT, "yes" if count else "no")),
    }
    for task, (question, answer) in asked.items():
        yield parts.sample(
            request,
            f"{row.need('id', str)}-{label}-{task}",
            question,
            answer,
            [picture],
            row.need("image", str),
            task=task,
            label=label,
        )


def pneumonia_mnist(request: ReadRequest) -> Iterator[Sample]:
    """Labels of the NumPy file and its pictures, 28 by 28, called <split>-<number>.png: in images/ beside it where that
    is there, else unpacked into the cache folder on first use."""
    take_options(request)
    for path in request.files:
        folder = _folder(request, path)
        try:
            labels = np.load(path)[f"{request.split}_labels"].reshape(-1)
        except (KeyError, ValueError, OSError) as error:
            raise UserError(f"{path}: no labels of split {request.split} ({error}); fetch it again") from None
        for number, label in enumerate(labels.tolist()):
            name = f"{request.split}-{number:04d}"
            answer = Answer(AnswerKind.CHOICE, "AB"[label], FINDINGS)
            question = "Is this chest X-ray of a child normal, or does it show pneumonia?"
            yield parts.sample(request, name, question, answer, [request.attach(f"{folder}/{name}.png")], name)


def _folder(request: ReadRequest, path: Path) -> str:
    """Media path of the folder that holds the pictures of the file."""
    if (path.parent / "images").is_dir() or not request.need_media:
        return str(parts.beside(request, path, "images"))
    return str(unpacking.unpacked(path))
