"""An endpoint on loopback that sees frames: it labels key frames, and plays traces in the real environment."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmreason.data.endpoint import EndpointStopped, picture_part
from mmreason.data.sources import read_source
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Sample
from mmreason.rollout.replay import turns_of

pytest.importorskip("av", reason="clips are read with PyAV: pip install 'mmreason[video]'")
rows = load_module(Path(__file__).parent / "earl_rows.py")
keyframes = load_module(rows.EARL / "data_keyframes.py")
play = load_module(rows.EARL / "data_play.py")
traces = load_module(rows.EARL / "traces.py")
server = rows.chat_server
Answers = Callable[[dict[str, Any], int], str]


def serving(answer: Answers) -> Any:
    return server.serve(lambda body, seen, handler: server.send_json(handler, server.completion(answer(body, seen))))


def endpoint(log: Any, **more: Any) -> dict[str, Any]:
    return {"base_url": log.url, "model": "m", "retries": 0, "timeout_s": 30.0, "concurrency": 2, **more}


def num_pictures(message: dict[str, Any]) -> int:
    content = message["content"]
    return 0 if isinstance(content, str) else sum(item["type"] == "image_url" for item in content)


def last_text(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(item.get("text", "") for item in content)


def test_a_picture_travels_as_jpeg_and_is_the_same_again() -> None:
    part = picture_part(Image.new("RGB", (4, 4), (200, 0, 0)))
    assert part == picture_part(Image.new("RGB", (4, 4), (200, 0, 0)))
    assert part["type"] == "image_url" and part["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")


def labelled(tmp_path: Path, answer: Answers, **options: Any) -> tuple[Any, Any]:
    (sample,) = rows.scenes(tmp_path, 1, drawn=True)
    with serving(answer) as log:
        context = rows.context(tmp_path, earl_teacher=endpoint(log))
        return rows.only(keyframes.from_teacher([rows.at(sample)], context, **options)), log


def proposing(key: str, irrelevant: str) -> Answers:
    return lambda body, seen: irrelevant if "irrelevant" in last_text(body) else key


def test_gold_is_the_key_frames_without_the_irrelevant_ones(tmp_path: Path) -> None:
    sample, log = labelled(tmp_path, proposing('{"frames": [7, 3, 8]}', '{"irrelevant": [8]}'))
    assert sample.evidence["gold_frames"] == [2, 6] and sample.evidence["gold_times"] == [5.0, 13.0]
    assert sample.evidence["key_frames"] == [2, 6, 7] and sample.evidence["label_source"] == "teacher"
    first, second = (json.loads(body) for body in log.bodies)
    assert [num_pictures(body["messages"][0]) for body in (first, second)] == [16, 3]
    assert "Frame 16 (31.0 s)" in last_text(first) and sample.answer.gold in last_text(first)
    assert "Frame 8 (15.0 s)" in last_text(second) and "Frame 9" not in last_text(second)


BROKEN = ["none", '{"frames": []}', '{"frames": [0]}', '{"frames": [17]}', '{"frames": ["3"]}', '{"frames": [3, 3]}']
BROKEN += ['{"frames": [true]}', '{"frames": 3}', '{"frames": [1,2,3,4,5,6,7,8,9]}', '{"frames": [3.0]}']


@pytest.mark.parametrize("reply", BROKEN)
def test_replies_are_checked_and_asked_for_again(tmp_path: Path, reply: str) -> None:
    mended, log = labelled(tmp_path, lambda body, seen: [reply, '{"frames": [4]}'][seen], review=False)
    assert mended.evidence["gold_frames"] == [3] and len(log.bodies) == 2
    dropped, log = labelled(tmp_path / "again", lambda body, seen: reply, review=False, tries=2)
    assert (dropped.step, dropped.reason) == ("from_teacher", "unreadable_reply") and len(log.bodies) == 2


def test_a_review_may_only_delete(tmp_path: Path) -> None:
    everything, _ = labelled(tmp_path, proposing('{"frames": [3, 4]}', '{"irrelevant": [3, 4]}'))
    assert everything.reason == "no_gold_frame"
    added, _ = labelled(tmp_path / "other", proposing('{"frames": [3, 4]}', '{"irrelevant": [5]}'))
    assert added.reason == "unreadable_reply"


def test_replies_are_kept_and_an_endpoint_is_needed(tmp_path: Path) -> None:
    _, log = labelled(tmp_path, lambda body, seen: '{"frames": [4]}', review=False)
    (sample,) = rows.scenes(tmp_path, 1, drawn=True)
    again = rows.context(tmp_path, earl_teacher=endpoint(log))  # the server is gone, its reply is not
    assert rows.only(keyframes.from_teacher([sample], again, review=False)).evidence["gold_frames"] == [3]
    with pytest.raises(EndpointStopped, match="earl_teacher m at"):
        list(keyframes.from_teacher([sample], again))
    with pytest.raises(UserError, match=r"set options.earl_teacher"):
        list(keyframes.from_teacher([sample], rows.context(tmp_path)))


CALL = '<tool_call>{"name": "select_frames", "arguments": {"target_frames": [%d]}}</tool_call>'


def played(real_data: Path, work: Path, answer: Answers, count: int = 1, **options: Any) -> tuple[list[Sample], Any]:
    """Questions on the annotated clips, after the endpoint played them."""
    context = rows.context(work, real_data, earl={})
    found = read_source(context.domain, "annotated_clips", "test", real_data)
    samples = list(rows.gold.from_moments(islice(found, count), context))
    with serving(answer) as log:
        context = rows.context(work, real_data, earl={}, earl_teacher=endpoint(log))
        return list(play.traces(samples, context, max_pixels=112 * 112, **options)), log


def looking(answer: str, frame: int = 3) -> Answers:
    """Looks around a frame, then answers."""

    def say(body: dict[str, Any], seen: int) -> str:
        if len(body["messages"]) > 1:
            return f"<think>I see.</think>\\boxed{{{answer}}}"
        return f"<think>Closer.</think>{CALL % frame}\n"

    return say


def test_a_right_game_becomes_a_trace(real_data: Path, tmp_path: Path) -> None:
    (sample,), log = played(real_data, tmp_path, looking("D"))
    trace = sample.evidence["trace"]
    assert trace == f"<think>Closer.</think>{CALL % 3}<think>I see.</think>\\boxed{{D}}"
    assert len(turns_of(trace)) == 2 and traces.verify(sample, trace).accepted
    (note,) = sample.metadata["trace_turns"]
    assert note["selected"] == [2] and note["gold"] == [0, 1, 2, 3] and len(note["refined"]["frames"]) == 16
    first, second = (json.loads(body)["messages"] for body in log.bodies)
    assert [num_pictures(message) for message in first] == [32]
    assert [num_pictures(message) for message in second] == [32, 0, 16]
    assert second[1] == {"role": "assistant", "content": f"<think>Closer.</think>{CALL % 3}"}


FAULTS = [
    (looking("A"), "wrong"),
    (lambda body, seen: "<think>Clear.</think>\\boxed{D}", "no_call"),
    (lambda body, seen: f"<think>x</think>{CALL % 3}{CALL % 4}", "two_calls"),
    (lambda body, seen: f"<think>x</think>{CALL % 3}", "no_answer"),
    (looking("D", frame=33), "no_call"),
]


@pytest.mark.parametrize(("answer", "fault"), FAULTS)
def test_other_games_are_played_again_and_counted(real_data: Path, tmp_path: Path, answer: Answers, fault: str) -> None:
    (sample,), _ = played(real_data, tmp_path, answer, attempts=2)
    assert "trace" not in sample.evidence and sample.metadata["teacher_faults"] == [fault, fault]


def test_short_clips_may_be_answered_at_once(real_data: Path, tmp_path: Path) -> None:
    (sample,), _ = played(real_data, tmp_path, lambda body, seen: "\\boxed{D}", at_once_below=2.0)
    assert sample.evidence["trace"] == "\\boxed{D}" and sample.metadata["teacher_faults"] == []
