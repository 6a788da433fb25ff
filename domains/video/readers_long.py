"""Long videos: LongVideoBench, Video-MME, MLVU (both parts), LVBench, and MMVU's lectures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import Drop, ReadRequest
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Sample

clips = load_module(Path(__file__).parent / "clips.py")

ABSENT = "N/A"
"""What stands for a fifth option that is not there."""
_OPTION = re.compile(r"^\s*\(([A-Z])\)\s*(.*?)\s*$")


def longvideobench(request: ReadRequest) -> Iterator[Sample]:
    """LongVideoBench: lvb_val.json with `candidates`, or the hub's rows with option0 ... option4. Subtitles unused."""
    take_options(request)
    for path in request.files:
        for row in clips.records(path):
            texts = _candidates(row)
            correct = row.need("correct_choice", int)
            if not 0 <= correct < len(texts):
                row.fail(f"correct_choice is {correct}, but there are {len(texts)} options")
            options, video = clips.lettered(texts), row.need("video_path", str)
            yield clips.asked(
                request,
                row.need("id", str),
                row.need("question", str),
                Answer(AnswerKind.CHOICE, list(options)[correct], options),
                request.attach(f"longvideobench/videos/{video}", "video"),
                video,
                duration_group=row.need("duration_group", int),
                question_category=row.need("question_category", str),
                duration=float(row.need("duration", int | float)),
            )


def _candidates(row: Row) -> list[str]:
    if "candidates" in row.values:
        return row.texts("candidates")
    texts = [row.need(f"option{index}", str) for index in range(5)]
    return texts[: texts.index(ABSENT)] if ABSENT in texts else texts


def video_mme(request: ReadRequest) -> Iterator[Sample]:
    """Video-MME: the hub's rows, {video_id, videoID, duration, domain, sub_category, task_type, question_id, ...}."""
    take_options(request)
    for path in request.files:
        for row in clips.records(path):
            video = row.need("videoID", str)
            yield clips.asked(
                request,
                row.need("question_id", str),
                row.need("question", str),
                Answer(AnswerKind.CHOICE, row.need("answer", str), clips.unlettered(row, "options")),
                request.attach(f"video_mme/data/{video}.mp4", "video"),
                video,
                video_id=row.need("video_id", str),
                **{key: row.need(key, str) for key in ("duration", "domain", "sub_category", "task_type")},
            )


def mlvu(request: ReadRequest) -> Iterator[Sample | Drop]:
    """MLVU: the released files of the dev part (json/1_plotQA.json ...) and of the test part (test_mcq_gt.json), and a
    compact form of the former whose rows have an `id`. Open tasks are dropped: they are judged by a model."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            name = row.values.get("id") or row.values.get("question_id")
            identity = str(name) if name else f"{path.stem}-{row.line - 1:03d}"
            if "candidates" not in row.values:
                yield Drop(f"{request.name}-{identity}", "read", "open_task", row.need("question_type", str))
                continue
            video, answer, texts = row.need("video", str), row.need("answer", str), row.texts("candidates")
            folder = "mlvu_test/video" if "question_id" in row.values else f"mlvu/video/{identity.rpartition('-')[0]}"
            yield clips.asked(
                request,
                identity,
                row.need("question", str),
                clips.chosen(texts, answer),
                request.attach(f"{folder}/{video}", "video"),
                video,
                task=row.need("question_type", str),
                answer_text=answer,
            )


def lvbench(request: ReadRequest) -> Iterator[Sample]:
    """LVBench: video_info.meta.jsonl, one video a line with its questions under `qa`; options stand in the question."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            video = row.need("key", str)
            for item in row.inners("qa"):
                lines = item.need("question", str).splitlines()
                found = [_OPTION.match(line) for line in lines]
                options = {match[1]: match[2] for match in found if match}
                stem = "\n".join(line for line, match in zip(lines, found, strict=True) if not match).strip()
                yield clips.asked(
                    request,
                    str(item.values.get("uid", "")) or item.fail("no field 'uid'"),
                    stem,
                    Answer(AnswerKind.CHOICE, item.need("answer", str), options),
                    request.attach(f"lvbench/videos/{video}.mp4", "video"),
                    video,
                    evidence={"time_reference": item.values.get("time_reference")},
                    abilities=item.texts("question_type"),
                    video_type=row.fill("type", str, ""),
                )


def mmvu(request: ReadRequest) -> Iterator[Sample]:
    """MMVU: validation.json. Option: `kind`, which of the two kinds of questions to read."""
    kind = take_options(request, kind=("multiple-choice", "open-ended", "all"))["kind"]
    for path in request.files:
        for row in read_rows(path):
            form = row.need("question_type", str)
            if kind not in ("all", form):
                continue
            _, mark, inside = row.need("video", str).partition("/videos/")
            if not mark:
                raise UserError(f"{row.where}: field 'video' names no path under videos/")
            gold = row.need("answer", str)
            choices = {letter: str(text) for letter, text in row.need("choices", dict).items()}
            answer = Answer(AnswerKind.CHOICE, gold, choices)
            yield clips.asked(
                request,
                row.need("id", str),
                row.need("question", str),
                answer if form == "multiple-choice" else Answer(AnswerKind.FREE, gold),
                request.attach(f"mmvu/videos/{inside}", "video"),
                inside,
                question_type=form,
                subject=row.inner("metadata").need("subject", str),
            )
