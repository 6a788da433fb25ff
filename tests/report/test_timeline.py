"""Time lines: places by hand, and pages whose turns are drawn, escaped and decoded once."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmreason.errors import UserError
from mmreason.media.files import media_ref
from mmreason.project import project_dir
from mmreason.records import MediaRef, Sample
from mmreason.records.io import read_samples, write_samples
from mmreason.report.evaluation import evaluation_html
from mmreason.report.html import write_report
from mmreason.report.reward_bar import addends, reward_bar, span
from mmreason.report.shown_media import FrameSheet
from mmreason.report.timeline import pieces, timeline, turns_of, windows_of
from mmreason.report.viewer import write_viewer
from mmreason.run.folder import RunFolder

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ATTACK = "</pre><script>alert(1)</script>"
CALL = '<think>it may turn red</think><tool_call>{"name": "select_frames"}</tool_call>'
GRID = {"frames": [4, 12, 20, 28, 36, 44, 52, 60], "seconds": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5]}
CLOSER = {"frames": [22, 26, 30, 34], "seconds": [2.75, 3.25, 3.75, 4.25], "intervals": [[2.5, 4.5]], "tokens": 8}
TURNS: list[dict[str, Any]] = [
    {"said": CALL + ATTACK, "kind": "error", "error": f"9 is no frame {ATTACK}", "shown": GRID, "selected": []}
    | {"gold": [3], "iou": None, "refined": None},
    {"said": CALL, "kind": "call", "error": "", "shown": GRID, "selected": [3, 6], "gold": [3], "iou": 0.5}
    | {"refined": CLOSER},
    {"said": "<think>red between 3 and 4</think>\\boxed{red}"},
]
PARTS = {"correct": 0.5, "action": 0.1, "relevance": 0.25, "iou": 0.5, "selected": 2.0}
WINDOWS = {"windows": [[3.0, 4.0]]}


def clip_ref(root: Path) -> MediaRef:
    return media_ref(root, "clip.mp4", "video")


def test_places_are_shares_of_the_clip(clip_root: Path) -> None:
    looks = timeline(FrameSheet(clip_root), [clip_ref(clip_root)], WINDOWS, [{"turns": TURNS}])
    assert looks.axis is not None and looks.axis.duration == 8.0
    assert looks.axis.windows == [{"x": 37.5, "width": 12.5, "start": 3.0, "end": 4.0}]
    error, call, answer = looks.rows[0]
    assert [frame["number"] for frame in call["picked"]] == [4, 7]
    assert [frame["state"] for frame in call["picked"]] == ["hit", "miss"]
    assert [frame["x"] for frame in call["picked"]] == [43.75, 81.25]
    assert call["bands"] == [{"x": 31.25, "width": 25.0, "start": 2.5, "end": 4.5}] == answer["above"]
    assert [frame["gold"] for frame in call["refined"]] == [False, True, True, False]
    assert error["picked"] == error["bands"] == [] and error["kind"] == "error"


def test_a_turn_of_which_nothing_is_noted_saw_what_came_back_last(clip_root: Path) -> None:
    *_, answer = timeline(FrameSheet(clip_root), [clip_ref(clip_root)], {}, [{"turns": TURNS}]).rows[0]
    assert [frame["second"] for frame in answer["seen"]] == CLOSER["seconds"] and answer["kind"] == "answer"


def test_an_answer_at_once_saw_the_frames_of_its_reference(clip_root: Path) -> None:
    sheet, ref = FrameSheet(clip_root), clip_ref(clip_root)  # two frames a second
    (row,) = timeline(sheet, [ref], {}, [{"turns": [{"said": "\\boxed{red}"}]}]).rows[0]
    assert len(row["seen"]) == 16 and row["seen"][0]["second"] == 0.0
    assert timeline(sheet, [ref], {}, [{"output": "\\boxed{red}"}]).axis is None, "one plain turn has no time line"


def test_without_the_clip_the_axis_ends_behind_the_last_frame() -> None:
    looks = timeline(FrameSheet(None), [MediaRef("ab", "video", "gone.mp4", 0)], {}, [{"turns": TURNS}])
    assert looks.axis is not None and looks.axis.duration == 8.0  # 7.5 and half of the frames' distance
    assert looks.axis.grid[0]["picture"] == ""


def test_turns_without_frames_are_text_alone() -> None:
    looks = timeline(FrameSheet(None), [], {}, [{"turns": [{"said": "up"}, {"said": "won"}]}, {}])
    assert looks.axis is None
    assert [[row["pieces"][0]["text"] for row in rows] for rows in looks.rows] == [["up", "won"], []]


def test_turns_come_as_json_or_as_lists_or_not_at_all() -> None:
    assert turns_of({"turns": json.dumps(TURNS)}) == turns_of({"turns": TURNS}) == TURNS
    assert turns_of({"turns": None}) == turns_of({}) == []


def test_windows_come_from_windows_or_gold_times() -> None:
    assert windows_of({"windows": [[1, 2.5]], "gold_times": [7.0]}) == [(1.0, 2.5)]
    assert windows_of({"gold_times": [7.0]}) == [(7.0, 7.0)]
    assert windows_of({"chain": "x"}) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (CALL, [("thought", "it may turn red"), ("call", '{"name": "select_frames"}')]),
        ("<think>never closed", [("thought", "never closed")]),
        ("a<tool_call>{}", [("rest", "a"), ("call", "{}")]),
        ("", []),
    ],
)
def test_text_is_told_apart(said: str, expected: list[tuple[str, str]]) -> None:
    assert [(piece["kind"], piece["text"]) for piece in pieces(said)] == expected


def test_long_text_is_cut_before_it_is_searched() -> None:
    (piece,) = pieces("<think>" * 200_000)
    assert "more characters" in piece["text"]


def test_only_what_adds_up_to_the_reward_is_stacked() -> None:
    parts = list(PARTS.items())
    assert addends(parts, 0.85) == parts[:3]
    assert addends(parts, 7.0) == [("reward", 7.0)]
    bar = reward_bar({"reward": 0.85, "parts": json.dumps(PARTS)}, 0.0, 1.0)
    assert bar is not None
    assert [(part["name"], part["x"], part["width"]) for part in bar["bars"]] == [
        ("correct", 0.0, 50.0),
        ("action", 50.0, 10.0),
        ("relevance", 60.0, 25.0),
    ]
    assert bar["others"] == [("iou", 0.5), ("selected", 2.0)]


def test_what_takes_away_stands_left_of_zero() -> None:
    run = {"reward": -0.75, "parts": {"correct": -1.0, "action": 0.25}}
    assert span([run]) == (-1.0, 0.25)
    bar = reward_bar(run, -1.0, 1.0)
    assert bar is not None and bar["zero"] == 50.0
    assert [(part["x"], part["width"]) for part in bar["bars"]] == [(0.0, 50.0), (50.0, 12.5)]
    assert reward_bar({"reward": 1.0}, 0.0, 1.0) is None


@pytest.fixture
def agent_run(run_folder: RunFolder, clip_root: Path, tmp_path: Path) -> RunFolder:
    """A finished run whose first question is about a clip and was answered in three turns, by every stage."""
    folder = RunFolder(shutil.copytree(run_folder.path, tmp_path / "agent"))
    manifest = json.loads(folder.manifest.read_text(encoding="utf-8"))
    manifest["settings"]["data_dir"] = str(clip_root)
    folder.manifest.write_text(json.dumps(manifest), encoding="utf-8")
    ref = {name: getattr(clip_ref(clip_root), name) for name in MediaRef.__slots__}
    samples = read_samples(folder.data / "rl.parquet")
    first = Sample.from_dict({**samples[0].to_dict(), "media": [ref], "evidence": WINDOWS})
    write_samples(folder.data / "rl.parquet", [first, *samples[1:]])
    for path in folder.rollouts.iterdir():
        _with_turns(path, first.id)
    for path in folder.eval.glob("*/*.samples.jsonl"):
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for record in records:
            record["media"] = [ref]
            record["runs"][0] |= {"turns": TURNS, "parts": PARTS}
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return folder


def _with_turns(path: Path, sample: str) -> None:
    rows = pq.read_table(path).to_pylist()
    added = {"turns": json.dumps(TURNS), "parts": json.dumps(PARTS), "reward": 0.85}
    rows = [{**row, **(added if row["sample_id"] == sample else {"turns": None, "parts": None})} for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), path)


def test_the_viewer_shows_the_prompts_frames_once_a_group(agent_run: RunFolder) -> None:
    page = write_viewer(agent_run, steps=[30]).read_text(encoding="utf-8")
    assert page.count("The 8 frames of the prompt") == 1 and page.count('class="tracks"') == 4
    assert page.count("select_frames") == 4 * 2 and "relevance <b>0.25</b>" in page
    assert "1 of 1 gold" in page and "IoU 0.50" in page and "call refused" in page
    assert "<script" not in page and "&lt;script&gt;" in page


def test_each_frame_stands_in_a_page_once(agent_run: RunFolder) -> None:
    page = write_viewer(agent_run).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == len(GRID["frames"]) + len(CLOSER["frames"])
    named = set(re.findall(r'<image id="([^"]+)"', page))
    assert named == set(re.findall(r'<use href="#([^"]+)"', page))
    assert page.count("<use ") > 4 * 4 * len(CLOSER["frames"])


def test_report_and_evaluation_show_the_turns(agent_run: RunFolder, clip_root: Path) -> None:
    results = agent_run.eval / "grpo" / "ledger_open.json"
    for page in (write_report(agent_run).read_text(encoding="utf-8"), evaluation_html([results], "m", clip_root)):
        assert 'class="tracks"' in page and "<use href=" in page and "looked at more closely" in page
        assert "<script" not in page and page.count("data:image/jpeg;base64,") == 12
    assert 'class="tracks"' in evaluation_html([results], "m"), "without the clips the axis stays"


def test_measures_of_a_system_become_tables(agent_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "tables.py").write_text(
        "def tables(stages):\n"
        "    rows = [[stage, len(records), 0.25, None] for stage, records in stages.items()]\n"
        "    return [{'title': 'Looks <b>', 'note': '', 'columns': ['stage', 'n', 'iou', 'x'], 'rows': rows}]\n"
        "def torn(stages):\n"
        "    return [{'title': 't', 'note': '', 'columns': ['a', 'b'], 'rows': [[1]]}]\n"
    )
    manifest = json.loads(agent_run.manifest.read_text(encoding="utf-8"))
    manifest["domain"]["folder"] = str(tmp_path)
    for name in ("tables", "torn"):
        manifest["settings"]["domain"]["measures"] = f"tables.py:{name}"
        agent_run.manifest.write_text(json.dumps(manifest), encoding="utf-8")
        if name == "torn":
            with pytest.raises(UserError, match="it needs 2 cells"):
                write_report(agent_run)
            return
        page = write_report(agent_run).read_text(encoding="utf-8")
        assert "Looks &lt;b&gt;" in page and '<td>grpo</td><td class="n">120</td><td class="n">0.250</td>' in page


def test_what_earl_measures_stands_in_the_report(agent_run: RunFolder) -> None:
    manifest = json.loads(agent_run.manifest.read_text(encoding="utf-8"))
    manifest["domain"]["folder"] = str(project_dir() / "domains" / "video")
    manifest["settings"]["domain"]["measures"] = "earl/measures.py:tables"
    agent_run.manifest.write_text(json.dumps(manifest), encoding="utf-8")
    shutil.copytree(agent_run.eval / "sft", agent_run.eval / "grpo_no_tool")
    page = write_report(agent_run).read_text(encoding="utf-8")
    looked = page.split('<h2 id="measures">')[1].split("<h2")[0]
    assert "Accuracy by number of selections" in looked and '<td>grpo_no_tool</td><td class="n">120</td>' in looked
    assert "NaN" not in looked and "0.500" in looked


def test_controls_are_scored_but_not_taken_for_the_last_stage(agent_run: RunFolder) -> None:
    shutil.copytree(agent_run.eval / "sft", agent_run.eval / "grpo_no_tool")
    page = write_report(agent_run).read_text(encoding="utf-8")
    assert "<td>grpo_no_tool</td>" in page and "Breakdown of grpo:" in page and "<h4>grpo_no_tool</h4>" not in page


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: apt install chromium")
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_draws_the_time_line(agent_run: RunFolder, tmp_path: Path, width: int) -> None:
    page, shot = write_viewer(agent_run, steps=[30]), tmp_path / "page.png"
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    profile = [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1800", f"--screenshot={shot}"]
    subprocess.run([*command, *profile, page.as_uri()], check=True, capture_output=True, timeout=300)
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    for name, colour in {"hit": (43, 122, 99), "miss": (196, 104, 60), "square": (220, 30, 30)}.items():
        assert (abs(pixels - colour).sum(-1) < 60).sum() > 30, f"{name} is drawn"
    assert (pixels[:, 0] == pixels[0, 0]).all(), "nothing runs out of the page to the left"
    assert (pixels[:, -1] == pixels[0, 0]).all(), "nothing runs out of the page to the right"
