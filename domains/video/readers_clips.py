"""Short clips with options: NExT-QA and NExT-GQA, VSI-Bench, our annotated clips and the sign clips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Sample

clips = load_module(Path(__file__).parent / "clips.py")

MEASURED = ("object_abs_distance", "object_counting", "object_size_estimation", "room_size_estimation")
"""Tasks of VSI-Bench that ask for a number."""


def nextqa(request: ReadRequest) -> Iterator[Sample]:
    """NExT-QA: <split>.csv with a0 ... a4, or compact rows with `options` and the index of the answer."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            yield _next(request, row, *_options(row))


def nextgqa(request: ReadRequest) -> Iterator[Sample]:
    """NExT-GQA: <split>.csv with the windows of gsub_<split>.json behind it, or compact rows with `windows`."""
    take_options(request)
    table, *grounds = request.files
    located = {key: row for path in grounds for key, row in clips.mapping(path).items()}
    for row in read_rows(table):
        video, number = _names(row)
        if not grounds:
            windows, seconds = clips.windows(row, "windows"), row.need("duration", int | float)
        elif video not in located or number not in located[video].inner("location").values:
            row.fail(f"question {video}_{number} has no window in {grounds[0].name}")
        else:
            windows = clips.windows(located[video].inner("location"), number)
            seconds = located[video].need("duration", int | float)
        yield _next(request, row, *_options(row), windows=windows, duration=float(seconds))


def _names(row: Row) -> tuple[str, str]:
    """Video and question number."""
    if "id" in row.values:
        video, _, number = row.need("id", str).rpartition("_")
        return video, number
    return row.need("video_id" if "video_id" in row.values else "video", str), row.need("qid", str)


def _options(row: Row) -> tuple[list[str], int | None]:
    """Texts and the index of the gold; None where it is none of them. The .csv holds an index or a text."""
    if "options" in row.values:
        return row.texts("options"), row.need("answer", int)
    texts, gold = [row.need(f"a{place}", str) for place in range(5)], row.need("answer", str)
    if gold in texts:
        return texts, texts.index(gold)
    return texts, int(gold) if gold.isdigit() and int(gold) < len(texts) else None


def _next(
    request: ReadRequest,
    row: Row,
    texts: list[str],
    gold: int | None,
    windows: list[list[float]] | None = None,
    **metadata: float,
) -> Sample:
    (video, number), options = _names(row), clips.lettered(texts)
    kind = row.need("type", str)
    return clips.asked(
        request,
        f"{video}_{number}",
        row.need("question", str),
        Answer(AnswerKind.CHOICE, clips.NO_LETTER if gold is None else list(options)[gold], options),
        request.attach(f"nextqa/videos/{video}.mp4", "video"),
        video,
        evidence={} if windows is None else {"windows": windows},
        type=kind,
        group={"C": "causal", "T": "temporal", "D": "descriptive"}[kind[:1]],
        **metadata,
    )


def vsi_bench(request: ReadRequest) -> Iterator[Sample]:
    """VSI-Bench: {id, dataset, scene_name, question_type, question, ground_truth, options}."""
    take_options(request)
    for path in request.files:
        for row in clips.records(path):
            task, gold = row.need("question_type", str), row.need("ground_truth", str)
            scene = f"{row.need('dataset', str)}/{row.need('scene_name', str)}"
            measured = Answer(AnswerKind.REGRESSION, gold)
            yield clips.asked(
                request,
                str(row.need("id", int)),
                row.need("question", str),
                measured if task in MEASURED else Answer(AnswerKind.CHOICE, gold, clips.unlettered(row, "options")),
                request.attach(f"vsi_bench/{scene}.mp4", "video"),
                scene,
                task=task,
            )


def questions(request: ReadRequest) -> Iterator[Sample]:
    """questions.jsonl of the annotated clips and of the sign clips: options by letter, evidence in seconds."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            video = row.need("video", str)
            options = {letter: str(text) for letter, text in row.need("options", dict).items()}
            evidence = {"windows": clips.windows(row, "evidence")} if "evidence" in row.values else {}
            yield clips.asked(
                request,
                row.need("id", str),
                row.need("question", str),
                Answer(AnswerKind.CHOICE, row.need("answer", str), options),
                request.attach(f"{path.parent.name}/{video}", "video"),
                video,
                evidence=evidence,
                type=row.fill("type", str, "sign"),
                duration=float(row.need("duration", int | float)),
            )
