"""When something happens: Charades-STA, ActivityNet Captions, QVHighlights, ReXTime and our annotated clips."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Sample

clips = load_module(Path(__file__).parent / "clips.py")

_STA = re.compile(r"(?P<video>\S+)\s+(?P<start>[\d.]+)\s+(?P<end>[\d.]+)##(?P<text>.+)")


def moments(windows: list[list[float]]) -> Answer:
    """The gold of a moment: all its windows."""
    return Answer(AnswerKind.INTERVAL, json.dumps(windows))


def charades_sta(request: ReadRequest) -> Iterator[Sample]:
    """charades_sta_<split>.txt, lines "<video> <start> <end>##<sentence>"; a Charades .csv behind it gives lengths."""
    take_options(request)
    text, *tables = request.files
    lengths = {row.need("id", str): float(row.need("length", str)) for path in tables for row in read_rows(path)}
    for number, line in enumerate(text.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        found = _STA.fullmatch(line.strip())
        if not found:
            raise UserError(f"{text}, line {number}: {line[:60]!r} is not '<video> <start> <end>##<sentence>'")
        video = found["video"]
        yield clips.asked(
            request,
            f"{number:05d}-{video}",
            found["text"].strip(),
            moments([[float(found["start"]), float(found["end"])]]),
            request.attach(f"charades_sta/Charades_v1_480/{video}.mp4", "video"),
            video,
            **_length(lengths.get(video)),
        )


def _length(seconds: float | None) -> dict[str, Any]:
    """Metadata that lets a scorer clip answers to the video."""
    return {} if seconds is None else {"duration": seconds}


def activitynet(request: ReadRequest) -> Iterator[Sample]:
    """ActivityNet Captions, val_2.json: {video: {duration, timestamps, sentences}}, one question a sentence."""
    take_options(request)
    for path in request.files:
        for video, row in clips.mapping(path).items():
            windows, sentences = clips.windows(row, "timestamps"), row.texts("sentences")
            if len(windows) != len(sentences):
                raise UserError(f"{path}: {video!r} has {len(windows)} timestamps and {len(sentences)} sentences")
            clip = request.attach(f"activitynet/videos/{video}.mp4", "video")
            duration = float(row.need("duration", int | float))
            for place, (window, sentence) in enumerate(zip(windows, sentences, strict=True)):
                name = f"{video}-{place}"
                yield clips.asked(request, name, sentence.strip(), moments([window]), clip, video, duration=duration)


def qvhighlights(request: ReadRequest) -> Iterator[Sample]:
    """QVHighlights: highlight_<split>_release.jsonl, with 2-second clips and three raters' scores as evidence."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            video = row.need("vid", str)
            yield clips.asked(
                request,
                str(row.need("qid", int)),
                row.need("query", str),
                moments(clips.windows(row, "relevant_windows")),
                request.attach(f"qvhighlights/videos/{video}.mp4", "video"),
                video,
                evidence={key: row.need(key, list) for key in ("relevant_clip_ids", "saliency_scores")},
                duration=float(row.need("duration", int | float)),
            )


def rextime(request: ReadRequest) -> Iterator[Sample]:
    """ReXTime: rextime_val.json of the hub, choices with the span that shows the answer."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            video, source = row.need("vid", str), row.need("source", str)
            span = clips.window(row, "span", row.need("span", list))
            folder = "qvhighlights/videos" if "qvhighlights" in source else "activitynet/videos"
            yield clips.asked(
                request,
                row.need("qid", str),
                row.need("question", str),
                Answer(AnswerKind.CHOICE, row.need("ans", str), clips.lettered(row.texts("options"))),
                request.attach(f"{folder}/{video}.mp4", "video"),
                video,
                evidence={"windows": [span]},
                duration=float(row.need("duration", int | float)),
                category=row.need("category", str),
            )


def events(request: ReadRequest) -> Iterator[Sample]:
    """events.jsonl of the annotated clips: one question an event."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            yield from _events(request, row)


def _events(request: ReadRequest, row: Row) -> Iterator[Sample]:
    name = row.need("video", str)
    clip = request.attach(f"annotated_clips/{name}", "video")
    for place, event in enumerate(row.inners("events")):
        window = [float(event.need(key, int | float)) for key in ("start", "end")]
        yield clips.asked(
            request,
            f"{Path(name).stem}-{place}",
            event.need("text", str),
            moments([window]),
            clip,
            name,
            duration=float(row.need("duration", int | float)),
        )
