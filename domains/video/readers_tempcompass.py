"""TempCompass: the same facts asked as multiple choice, yes/no and caption matching."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Sample

clips = load_module(Path(__file__).parent / "clips.py")

TASKS = ("multi-choice", "yes_no", "caption_matching")
"""Names of the released files, without captioning: a model judges it."""
_OPTION = re.compile(r"^([A-D])\. ?(.*)$")


def tempcompass(request: ReadRequest) -> Iterator[Sample]:
    """The released questions/<task>.json, {video: {aspect: [{question, answer}]}}, with meta_info.json behind it for
    the fine aspects; or compact rows with an `id`, of which option `task` takes one task."""
    task = take_options(request, task=TASKS)["task"]
    if len(request.files) == 1:
        for row in read_rows(request.files[0]):
            if row.need("task", str) == task:
                fine = row.fill("aspect", str, "order")
                yield _sample(request, row, task, row.need("video", str), row.need("dimension", str), fine)
        return
    questions, infos = (clips.mapping(path) for path in request.files)
    for video, aspects in questions.items():
        for aspect in aspects.values:
            fine = _fine(infos[video], aspect) if video in infos else aspect
            for place, row in enumerate(aspects.inners(aspect)):
                row.values["id"] = f"{video}-{task}-{aspect}-{place}"
                yield _sample(request, row, task, video, aspect, fine)


def _fine(info: Row, aspect: str) -> str:
    """The finer aspect; order has none."""
    return "order" if aspect == "order" else info.inner("eval_dim").inner(aspect).need("type", str)


def _sample(request: ReadRequest, row: Row, task: str, video: str, aspect: str, fine: str) -> Sample:
    text, released = row.need("question", str), row.need("answer", str)
    shown, answer = {"multi-choice": _choice, "yes_no": _verdict, "caption_matching": _caption}[task](
        row, text, released
    )
    return clips.asked(
        request,
        row.need("id", str),
        shown,
        answer,
        request.attach(f"tempcompass/videos/{video}.mp4", "video"),
        video,
        aspect=aspect,
        fine_aspect=fine,
        released_question=text,
        answer_text=released,
    )


def _choice(row: Row, text: str, released: str) -> tuple[str, Answer]:
    lines = text.split("\n")
    found = [_OPTION.match(line) for line in lines]
    options = {match[1]: match[2].strip() for match in found if match}
    if released[:1] not in options:
        row.fail(f"answer is {released[:60]!r}, expected a letter of the options {', '.join(options)}")
    stem = "\n".join(line for line, match in zip(lines, found, strict=True) if not match)
    return stem, Answer(AnswerKind.CHOICE, released[0], options)


def _verdict(row: Row, text: str, released: str) -> tuple[str, Answer]:
    return text, Answer(AnswerKind.JUDGEMENT, released)


def _caption(row: Row, text: str, released: str) -> tuple[str, Answer]:
    """The name of an option ("Sentence A") with its number or letter, its caption and both as wordings."""
    names: dict[str, list[str]] = {}
    for line in text.split("\n")[1:]:
        name, mark, caption = line.partition(": ")
        if not mark:
            row.fail(f"question holds the line {line[:60]!r}, expected an option and its caption")
        names[name] = [line, name.rpartition(" ")[2], caption]
    gold = released.partition(": ")[0]
    if gold not in names:
        row.fail(f"answer is {released[:60]!r}, expected one of {', '.join(names)}")
    return text, Answer(AnswerKind.JUDGEMENT, gold, aliases=names)


_FORMS = {"multi-choice": _choice, "yes_no": _verdict, "caption_matching": _caption}
