"""The made-up clips: what the words and seconds say is what a reader of the file sees."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmreason.config import Domain, load_domain
from mmreason.data.decontaminate import decontaminate
from mmreason.data.sources import read_source
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import AnswerKind, Sample
from mmreason.suites.suite import load_suite

pytest.importorskip("av", reason="clips are made with PyAV")

VIDEO = project_dir() / "domains" / "video"
scenes = load_module(VIDEO / "scenes.py")
world = load_module(VIDEO / "scenes_world.py")
pictures = load_module(VIDEO / "scenes_draw.py")
reader = load_module(project_dir() / "mmreason" / "media" / "video.py")

EVERY = dict.fromkeys(scenes.QUESTIONS, 1.0)
GRID = range(8, 256, 16)
"""Centres of 16 equal parts of 256 frames."""


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain(VIDEO)


def items(domain: Domain, root: Path, split: str = "train", seed: int = 0, **options: Any) -> list[Sample]:
    found = read_source(domain, "scenes", split, root, options, seed)
    return [item for item in found if isinstance(item, Sample)]


def named(domain: Domain, root: Path, **options: Any) -> list[Sample]:
    """Questions without clips."""
    found = read_source(domain, "scenes", "train", root, options, need_media=False)
    return [item for item in found if isinstance(item, Sample)]


def made(count: int, families: dict[str, float] | None = None, **sizes: Any) -> list[Any]:
    return [world.make_scene(f"any:{n}", world.World(**sizes), families or {"what": 1.0}) for n in range(count)]


def events(found: Sequence[Any]) -> list[Any]:
    return [event for scene in found for event in scene.events]


def test_cues_keep_their_distance() -> None:
    for scene in made(300, EVERY):
        edges = [0, *itertools.chain(*((e.first, e.first + e.length) for e in scene.events)), 256]
        assert all(b - a >= 16 for a, b in zip(edges[::2], edges[1::2], strict=True))
        assert len({event.colour for event in scene.events}) == 3
        assert {event.length for event in scene.events} == {24}


def test_flashes_lie_within_their_cue() -> None:
    counts: Counter[int] = Counter()
    for event in events(made(500, EVERY)):
        starts = [start - event.first for start in event.flashes]
        least = 0 if event.family == "count" else 6
        assert least <= starts[0]
        assert starts[-1] + 4 <= 24 - least
        assert all(b - a >= 8 for a, b in itertools.pairwise(starts))  # 4 frames, and at least 4 between
        counts[len(starts)] += event.family == "count"
    assert set(counts) == {1, 2, 3}
    assert min(counts.values()) > 0.8 * counts.total() / 3


def test_the_grid_sees_every_border_and_a_quarter_of_the_flashes() -> None:
    found = events(made(2000))
    borders = Counter(sum(event.first <= index < event.first + 24 for index in GRID) for event in found)
    assert set(borders) == {1, 2}
    hits = sum(any(event.place(index, 4) for index in GRID) for event in found) / len(found)
    assert hits == pytest.approx(scenes.hit_probability(16), abs=0.02)
    assert scenes.hit_probability(16) == 0.25
    assert scenes.hit_probability(64) == 1.0


def test_ceilings_of_the_grid_alone() -> None:
    """By hand: 0.25 + 0.75 / 6 = 37.5 %, with the shortcut 0.25 + 0.75 * 0.6 = 70 %."""
    assert scenes.ceiling(16) == pytest.approx(0.375)
    assert scenes.ceiling(16, prior=0.6) == pytest.approx(0.70)


def test_eight_frames_around_any_cue_frame_show_the_flash() -> None:
    for event in events(made(500)):
        for index in (index for index in GRID if event.first <= index < event.first + 24):
            near = [index - 14 + 4 * step for step in range(8)]
            assert any(event.place(frame, 4) for frame in near), (event, index)


def test_sixteen_frames_around_both_cue_frames_show_every_flash_apart() -> None:
    """Two neighbours of the grid: 48 frames, a frame in three."""
    for event in events(made(500, {"count": 1.0})):
        grid = [index for index in GRID if event.first <= index < event.first + 24]
        near = range(grid[0] - 16, grid[-1] + 17, 3 if len(grid) == 2 else 2)
        seen = [event.place(frame, 4) is not None for frame in near]
        assert sum(now and not before for before, now in itertools.pairwise(seen)) == len(event.flashes)


def test_one_frame_tells_no_direction() -> None:
    """Every direction puts the shape on the same 4 x 4 places, equally often."""
    found: dict[str, Counter[Any]] = {direction: Counter() for direction in world.DIRECTIONS}
    for event in events(made(1500, {"direction": 1.0})):
        for step in range(4):
            x, y = event.place(event.flashes[0] + step, 4)
            found[event.moves][round(x, 3), round(y, 3)] += 1
    for places in found.values():
        assert len(places) == 16
        assert min(places.values()) > 0.7 * places.total() / 16


def test_the_shortcut_holds_as_often_as_asked() -> None:
    own = dict(zip(world.COLOURS, world.SHAPES, strict=False))
    found = events(made(1500, prior=0.6))
    assert sum(event.shape == own[event.colour] for event in found) / len(found) == pytest.approx(0.6, abs=0.03)
    free = Counter((event.colour, event.shape) for event in events(made(3000)))
    assert len(free) == 36
    assert min(free.values()) > 0.7 * free.total() / 36


def answer_from_frames(sample: Sample) -> Any:
    """The gold worked out again by looking at every frame."""
    seen = [scenes.describe(sample, index) for index in range(sample.metadata["frames"])]
    colour, fps = sample.metadata["colour"], sample.metadata["fps"]
    shown = [index for index, one in enumerate(seen) if one.colour == colour]
    flashed = [index for index in shown if seen[index].shape != "none"]
    family = sample.metadata["family"]
    if family == "order":
        asked = sample.question.split()
        return next(one.colour for one in seen if one.colour in asked)
    if family == "count":
        return str(sum(index - 1 not in flashed for index in flashed))
    if family == "direction":
        (x, y), (u, v) = seen[flashed[0]].place, seen[flashed[-1]].place
        return {(1, 0): "right", (-1, 0): "left", (0, 1): "down", (0, -1): "up"}[np.sign(u - x), np.sign(v - y)]
    if family in ("when", "appear"):
        span = shown if family == "when" else flashed
        return [[span[0] / fps, span[-1] / fps]]
    (shape,) = {seen[index].shape for index in flashed}
    return shape


def test_gold_is_what_the_frames_say(domain: Domain, tmp_path: Path) -> None:
    kinds: dict[str, set[AnswerKind]] = {}
    for sample in named(domain, tmp_path, clips=80, per_clip=3, families=EVERY):
        gold = json.loads(sample.answer.gold) if sample.answer.kind is AnswerKind.INTERVAL else sample.answer.gold
        assert gold == answer_from_frames(sample), sample.id
        kinds.setdefault(sample.metadata["family"], set()).add(sample.answer.kind)
        assert sample.question == sample.metadata["question"]
        assert json.loads(json.dumps(sample.to_dict())) == sample.to_dict()
    assert kinds == {
        **{family: {AnswerKind.SPAN} for family in ("what", "order", "direction", "grounded")},
        **{family: {AnswerKind.INTERVAL} for family in ("when", "appear")},
        "count": {AnswerKind.NUMBER},
    }
    assert not (tmp_path / "scenes").exists()


def test_windows_are_where_the_cue_is_seen(domain: Domain, tmp_path: Path) -> None:
    for sample in named(domain, tmp_path, clips=60, families=EVERY):
        cued = {scenes.describe(sample, round(at * 8)).colour for span in sample.evidence["windows"] for at in span}
        assert sample.metadata["colour"] in cued
        assert len(sample.evidence["windows"]) == (2 if sample.metadata["family"] == "order" else 1)
        for start, end in sample.metadata["glyph_windows"]:
            assert scenes.describe(sample, round(start * 8)).shape == sample.metadata["shape"]
            assert scenes.describe(sample, round(start * 8) - 1).shape == "none"
            assert scenes.describe(sample, round(end * 8) + 1).shape == "none"


def test_choices_hold_the_gold_once(domain: Domain, tmp_path: Path) -> None:
    letters: Counter[str] = Counter()
    plain = named(domain, tmp_path, clips=100, families=EVERY)
    for sample, open_one in zip(named(domain, tmp_path, clips=100, families=EVERY, choice=True), plain, strict=True):
        if open_one.answer.kind is AnswerKind.INTERVAL:
            assert sample.answer == open_one.answer
            continue
        assert sample.answer.options[sample.answer.gold] == open_one.answer.gold
        assert len(set(sample.answer.options.values())) == 4
        letters[sample.answer.gold] += 1
    assert set(letters) == set("ABCD")


def shrunk(frame: np.ndarray) -> np.ndarray:
    """float [28, 28, 3]: blocks of 4 x 4 pixels averaged."""
    return frame.reshape(28, 4, 28, 4, 3).mean(axis=(1, 3))


def colour_of(small: np.ndarray) -> str:
    edge = np.concatenate([small[:3].reshape(-1, 3), small[-3:].reshape(-1, 3)]).mean(axis=0)
    if edge.max() < 80:
        return "none"
    return min(world.COLOURS, key=lambda name: float(np.abs(edge - world.COLOURS[name]).sum()))


def shape_of(small: np.ndarray) -> str:
    middle = small[5:23, 5:23].mean(axis=2) / 255
    masks = {name: np.asarray(pictures.mask(name, 18), float) / 255 for name in world.SHAPES}
    if middle.mean() < 0.25:
        return "none"
    return min(masks, key=lambda name: float(np.abs(middle - masks[name]).sum()))


def test_colour_and_shape_survive_the_coding(domain: Domain, tmp_path: Path) -> None:
    """Read back from H.264 with its halved colour, and shrunk to one visual token a frame."""
    for sample in items(domain, tmp_path, clips=4):
        near = [event["flashes"][0] + step for event in sample.metadata["events"] for step in range(-1, 5)]
        indices = [*near, *GRID]
        frames = reader.read_frames(tmp_path / sample.media[0].path, indices, shrunk)
        for index, small in zip(indices, frames, strict=True):
            assert (colour_of(small), shape_of(small)) == scenes.describe(sample, index)[:2], (sample.id, index)


def test_the_file_is_what_the_metadata_say(domain: Domain, tmp_path: Path) -> None:
    (sample,) = items(domain, tmp_path, clips=1)
    info = reader.probe(tmp_path / sample.media[0].path)
    assert (info.frames, info.fps, info.duration, info.width, info.height) == (256, 8.0, 32.0, 112, 112)
    assert [sample.metadata[key] for key in ("frames", "fps", "duration")] == [256, 8, 32.0]
    assert info.constant


SMALL: dict[str, Any] = {
    "clips": 3,
    "frames": 64,
    "fps": 2,
    "cue": 6,
    "gap": 3,
    "cue_most": 12,
    "margin": 1,
    "size": 56,
}


def test_the_same_seed_makes_the_same_files(domain: Domain, tmp_path: Path) -> None:
    first, again = (items(domain, tmp_path / name, **SMALL) for name in "ab")
    assert [sample.to_dict() for sample in first] == [sample.to_dict() for sample in again]
    hashes = {sample.media[0].sha256 for sample in first}
    assert len(hashes) == 3
    for split, seed in (("train", 1), ("test", 0)):
        assert not hashes & {sample.media[0].sha256 for sample in items(domain, tmp_path / "a", split, seed, **SMALL)}


def test_whole_files_are_used_again_and_damaged_ones_made_anew(domain: Domain, tmp_path: Path) -> None:
    before = items(domain, tmp_path, **SMALL)
    paths = [tmp_path / sample.media[0].path for sample in before]
    times = [path.stat().st_mtime_ns for path in paths]
    paths[0].write_bytes(paths[0].read_bytes()[:-100])
    paths[1].with_suffix(".txt").unlink()
    after = items(domain, tmp_path, **SMALL)
    assert [sample.media for sample in after] == [sample.media for sample in before]
    changed = [path.stat().st_mtime_ns != time for path, time in zip(paths, times, strict=True)]
    assert changed == [True, True, False]
    assert not [path for path in paths[0].parent.iterdir() if path.name.startswith(".")]


def test_sets_of_other_sizes_do_not_touch_each_other(domain: Domain, tmp_path: Path) -> None:
    plain = items(domain, tmp_path, **SMALL)
    other = items(domain, tmp_path, **SMALL | {"prior": 0.6})
    assert not {sample.media[0].path for sample in plain} & {sample.media[0].path for sample in other}
    more = items(domain, tmp_path, **SMALL | {"clips": 4, "per_clip": 2, "choice": True})
    assert {sample.media[0] for sample in plain} < {sample.media[0] for sample in more}


def test_suites_share_no_clip_with_training(domain: Domain, tmp_path: Path) -> None:
    """One question everywhere: it is the clips that make rows different, for decontamination too."""
    asked = items(domain, tmp_path, "test", **SMALL)
    train = items(domain, tmp_path, **SMALL | {"clips": 6})
    clean, pairs = decontaminate(train, asked)
    assert (len(clean), pairs) == (6, [])
    assert decontaminate([asked[0]], asked)[0] == []
    assert len({sample.source.document for sample in train}) == 6


@pytest.mark.parametrize("name", ["scenes", "scenes_prior", "scenes_detail", "scenes_moments"])
def test_suites_count_their_questions(domain: Domain, tmp_path: Path, name: str) -> None:
    suite = load_suite(name, domain)
    found = list(read_source(domain, "scenes", suite.split, tmp_path, suite.options, suite.seed, need_media=False))
    assert len(found) == suite.released_count
    assert suite.split != "train"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clip": 3}, r"unknown option 'clip'.*clips"),
        ({"families": {"waht": 1.0}}, r"unknown family 'waht'.*what"),
        ({"families": {"what": -1}}, r"share -1, expected a number from 0"),
        ({"families": {}}, "no family has a share above 0"),
        ({"frames": 100}, "100 frames do not hold 3 cues of 24 with 16 around"),
        ({"margin": 11}, "a flash of 4 with margin 11 on both sides needs a longer cue than 24"),
        ({"events": 7}, "events is 7, expected 1 to 6"),
        ({"events": 1, "families": {"order": 1.0}}, "order needs two events"),
        ({"per_clip": 4}, "per_clip is 4, a clip has 3 events"),
        ({"size": 57}, "size is 57, expected an even number"),
        ({"prior": 1.5}, "prior is 1.5, expected 0 to 1"),
    ],
)
def test_bad_options_are_told(domain: Domain, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        named(domain, tmp_path, **options)


def test_a_folder_is_needed(domain: Domain) -> None:
    request = ReadRequest("scenes", "train", [], domain.source("scenes"), {"clips": 1})
    with pytest.raises(UserError, match="no folder to write clips into"):
        list(scenes.read(request))
