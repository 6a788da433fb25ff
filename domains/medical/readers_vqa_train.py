"""Training parts in forms of their own: VQA-Med 2019 by category, and projections of chest radiographs.

The wording of the questions about radiographs is ours; the answers are the release's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmreason.data.lines import read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import Drop, ReadRequest
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Sample

parts = load_module(Path(__file__).parent / "vqa_parts.py")

PROJECTIONS = {"pa": "A", "ap": "B"}
VIEWS = {"A": "posteroanterior (PA)", "B": "anteroposterior (AP)"}


def vqa_med_2019(request: ReadRequest) -> Iterator[Sample]:
    """Lines image|question|answer; a file's name tells the category: C2_Plane_train.txt. Rows have no ids and are named
    by image and category, and by their number where one image has several."""
    take_options(request)
    attach = parts.attacher(request)
    for path in request.files:
        category, seen = path.stem.split("_")[1].lower(), dict[str, int]()
        for row in parts.parted_rows(path, ("image", "question", "answer")):
            image, answer = row.values["image"], row.values["answer"]
            seen[image] = seen.get(image, 0) + 1
            number = f"-{seen[image]}" if seen[image] > 1 else ""
            closed = parts.is_yes_no(answer)
            yield parts.sample(
                request,
                f"{image}-{category}{number}",
                row.values["question"],
                parts.free_answer(answer, closed),
                [attach(parts.beside(request, path, "images", f"{image}.jpg"))],
                image,
                answer=answer,
                answer_type="closed" if closed else "open",
                form=parts.form_of(answer, closed),
                category=category,
            )


def covid_cxr(request: ReadRequest) -> Iterator[Sample | Drop]:
    """One question a radiograph, its projection; lateral and unnamed ones are dropped. A document is a patient."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            image, projection = row.need("image", str), row.need("projection", str).strip().lower()
            identity = Path(image).stem
            if projection not in PROJECTIONS:
                yield Drop(f"{request.name}-{identity}", "read", "other_projection", projection, row.values)
                continue
            yield parts.sample(
                request,
                identity,
                "Which projection is this chest radiograph?",
                Answer(AnswerKind.CHOICE, PROJECTIONS[projection], VIEWS),
                [request.attach(parts.beside(request, path, image))],
                row.need("group", str),
                answer=VIEWS[PROJECTIONS[projection]],
                answer_type="closed",
                form="closed_word",
                modality=row.fill("modality", str, ""),
                organ="chest",
            )
