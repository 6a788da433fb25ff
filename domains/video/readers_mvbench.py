"""MVBench: twenty tasks, each a file of questions on clips of another collection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError, nearest
from mmreason.project import load_module
from mmreason.records import MediaRef, Sample

clips = load_module(Path(__file__).parent / "clips.py")

FRAMES_A_SECOND = 3.0
"""Of the one task whose clips are folders of frames."""


@dataclass(frozen=True, slots=True)
class Task:
    """One of the twenty: how papers call it, and where its clips lie."""

    short: str
    category: str
    """The coarse class of the paper."""
    folder: str
    bounded: bool = False
    """Rows name the seconds that are asked about."""
    frames: bool = False
    """Clips are folders of frames."""
    cut: str = ""
    """Folder of the hub's `video` revision with ready-cut or converted clips, where it is another."""


_STAR = ("star/Charades_v1_480", "star/Charades_segment")
_CLEVRER, _PERCEPTION = "clevrer/video_validation", "perception/videos"
TASKS = {
    "action_sequence": Task("AS", "Action", _STAR[0], bounded=True, cut=_STAR[1]),
    "action_prediction": Task("AP", "Action", _STAR[0], bounded=True, cut=_STAR[1]),
    "action_antonym": Task("AA", "Action", "ssv2_video", cut="ssv2_video_mp4"),
    "fine_grained_action": Task("FA", "Action", "Moments_in_Time_Raw/videos"),
    "unexpected_action": Task("UA", "Action", "FunQA_test/test"),
    "object_existence": Task("OE", "Object", _CLEVRER),
    "object_interaction": Task("OI", "Object", _STAR[0], bounded=True, cut=_STAR[1]),
    "object_shuffle": Task("OS", "Object", _PERCEPTION),
    "moving_direction": Task("MD", "Position", _CLEVRER),
    "action_localization": Task("AL", "Position", "sta/sta_video", bounded=True, cut="sta/sta_video_segment"),
    "scene_transition": Task("ST", "Scene", "scene_qa/video"),
    "action_count": Task("AC", "Count", _PERCEPTION),
    "moving_count": Task("MC", "Count", _CLEVRER),
    "moving_attribute": Task("MA", "Attribute", _CLEVRER),
    "state_change": Task("SC", "Attribute", _PERCEPTION),
    "fine_grained_pose": Task("FP", "Pose", "nturgbd", cut="nturgbd_convert"),
    "character_order": Task("CO", "Character", _PERCEPTION),
    "egocentric_navigation": Task("EN", "Cognition", "vlnqa"),
    "episodic_reasoning": Task(
        "ER", "Cognition", "tvqa/frames_fps3_hq", bounded=True, frames=True, cut="tvqa/video_fps3_hq_segment"
    ),
    "counterfactual_inference": Task("CI", "Cognition", _CLEVRER),
}
"""Name of the released file -> task, in the order of the authors' notebook."""


def mvbench(request: ReadRequest) -> Iterator[Sample]:
    """The released json/<task>.json: {video, question, candidates, answer, start and end where bounded}.

    Options: `windows: false` shows whole clips where the question is about a part, as some harnesses do (their scores
    are about 7 points lower); `folders: cut` reads the hub's `video` revision, whose clips are cut already.
    """
    options = take_options(request, folders=("released", "cut"), windows=True)
    for path in request.files:
        if path.stem not in TASKS:
            raise UserError(f"{path}: no MVBench task {path.stem!r}{nearest(path.stem, TASKS)}")
        for row in read_rows(path):
            yield _sample(row, request, path.stem, options["folders"] == "cut", options["windows"])


def _sample(row: Row, request: ReadRequest, name: str, cut: bool, windowed: bool) -> Sample:
    task, candidates, answer = TASKS[name], row.texts("candidates"), row.need("answer", str)
    clip = _clip(row, request, task, cut, windowed)
    return clips.asked(
        request,
        f"{name}-{row.line - 1:03d}",
        row.need("question", str),
        clips.chosen(candidates, answer),
        clip,
        clip.path,
        task=name,
        category=task.category,
        answer_text=answer,
    )


def _clip(row: Row, request: ReadRequest, task: Task, cut: bool, windowed: bool) -> MediaRef:
    folder = task.cut if cut and task.cut else task.folder
    bounds: dict[str, float] = {}
    if task.bounded and windowed and not cut:
        bounds = {"start": float(row.need("start", int | float)), "end": float(row.need("end", int | float))}
    if task.frames and not cut:
        bounds["fps"] = FRAMES_A_SECOND
    return request.attach(f"mvbench/video/{folder}/{row.need('video', str)}", "video", **bounds)
