"""Gold frames from labelled moments: hand-checked rows, the released annotations, and what leaves with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from mmreason.data.pipeline import build_dataset, load_dataset
from mmreason.data.sources import read_source
from mmreason.data.step import Drop
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Sample
from mmreason.records.io import read_samples

rows = load_module(Path(__file__).parent / "earl_rows.py")
gold = rows.gold
EIGHT = gold.Grid(tuple(2.0 * place + 1 for place in range(8)), 2.0)
"""Eight frames of 16 seconds: 1, 3, ... 15."""


@pytest.mark.parametrize(
    ("moments", "places", "why"),
    [
        ([(2.5, 7.0)], [1, 2, 3], "3, 5 and 7 s; both ends count"),
        ([(3.2, 4.5)], [1], "between two frames: the nearer one"),
        ([(3.5, 4.5)], [1], "as near to both: the earlier one"),
        ([(0.0, 0.5)], [0], "before the first frame, within half a spacing"),
        ([(15.5, 16.0)], [7], "after the last one"),
        ([(16.5, 20.0)], [], "beyond the clip"),
        ([(2.5, 3.5), (9.5, 10.5), (9.0, 9.1)], [1, 4], "several moments, a frame once"),
        ([(0.0, 16.0)], list(range(8)), "all"),
        ([], [], "no moment"),
    ],
)
def test_frames_in_moments(moments: list[tuple[float, float]], places: list[int], why: str) -> None:
    assert gold.frames_in(moments, EIGHT) == places, why


def test_more_than_eight_are_thinned_evenly() -> None:
    assert gold.thinned(range(32), 8) == [2, 6, 10, 14, 18, 22, 26, 30]
    assert gold.thinned(range(9), 8) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert gold.thinned([5, 7], 8) == [5, 7]


def test_salient_clips_of_two_seconds_become_moments() -> None:
    sample = rows.making.sample(
        evidence={"relevant_clip_ids": [3, 4, 7, 9], "saliency_scores": [[4, 3, 2], [3, 3, 3], [4, 1, 3], [4, 4, 4]]}
    )
    assert gold.moments_of(sample, min_saliency=3.0) == [(6.0, 10.0), (18.0, 20.0)]
    assert gold.moments_of(sample) == []


def test_a_clip_at_hand_gives_its_own_frames(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="clips are read with PyAV: pip install 'mmreason[video]'")
    (sample,) = rows.scenes(tmp_path, 1, drawn=True)
    grid = gold.grid_of(sample.media[0], tmp_path / "made", 16)
    assert grid.frames == tuple(range(8, 256, 16)) and grid.times[:2] == (1.0, 3.0) and grid.spacing == 2.0
    start, end = sample.evidence["windows"][0]
    wanted = [place for place, time in enumerate(grid.times) if start <= time <= end]
    assert sample.evidence["gold_frames"] == wanted and 1 <= len(wanted) <= 2
    assert sample.evidence["gold_times"] == [grid.times[place] for place in wanted]
    assert sample.evidence["grid_times"] == list(grid.times) and sample.evidence["label_source"] == "moments"
    assert gold.times_of(rows.at(sample, windows=[[start, end]]), grid) == sample.evidence["gold_times"]
    assert gold.times_of(sample, EIGHT) == sample.evidence["gold_times"], "stored times hold on any grid"


def test_samples_without_gold_leave_with_a_reason(tmp_path: Path) -> None:
    (sample,) = rows.scenes(tmp_path, 1)
    made = [rows.at(sample), rows.at(sample, windows=[[40.0, 41.0]])]
    dropped: list[Drop] = list(gold.from_moments(made, rows.context(tmp_path)))
    assert [(one.step, one.reason) for one in dropped] == [
        ("from_moments", "no_moment"),
        ("from_moments", "no_gold_frame"),
    ]
    assert "40.0" in dropped[1].detail and dropped[0].row is not None
    before = Drop("x", "read", "empty")
    assert list(gold.from_moments([before], rows.context(tmp_path))) == [before]


def test_a_clip_of_unknown_length_is_refused(tmp_path: Path) -> None:
    (sample,) = rows.scenes(tmp_path, 1)
    with pytest.raises(UserError, match="length is not annotated"):
        list(gold.from_moments([sample.with_meta(duration="short")], rows.context(tmp_path)))
    with pytest.raises(UserError, match="0 media"):
        list(gold.from_moments([rows.making.sample(evidence={"windows": [[0, 1]]})], rows.context(tmp_path)))


def test_the_embedded_set_is_built_with_gold(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="clips are written with PyAV: pip install 'mmreason[video]'")
    context = rows.context(tmp_path, earl_scenes={"clips": 4})
    built = build_dataset(load_dataset("earl_scenes", context.domain), context)
    kept = read_samples(built.kept)
    assert built.facts["read"] == built.facts["kept"] == len(kept) == 4
    assert all(sample.metadata["earl"] == rows.SMALL and len(sample.evidence["grid_times"]) == 16 for sample in kept)


def labelled(name: str, split: str, root: Path, media: bool = False) -> list[Sample]:
    context = rows.context(root, root, earl={})
    found = read_source(context.domain, name, split, root, {"subset": True}, need_media=media)
    items = list(gold.from_moments(found, context))
    assert not [item for item in items if isinstance(item, Drop)]
    return items


def sizes(samples: Sequence[Sample]) -> dict[int, int]:
    return dict(sorted(Counter(len(sample.evidence["gold_frames"]) for sample in samples).items()))


def test_nextgqa_moments(real_data: Path) -> None:
    samples = labelled("nextgqa", "val_part", real_data)
    assert sizes(samples) == {1: 246, 2: 327, 3: 300, 4: 269, 5: 203, 6: 157, 7: 109, 8: 706}
    first = samples[0]  # 90 s, a frame each 2.8125 s from 1.40625 s on; the window is 13.8 to 29.8 s
    assert first.id == "nextgqa-4882821564_1" and first.evidence["gold_frames"] == [5, 6, 7, 8, 9, 10]
    assert first.evidence["gold_times"][0] == 15.46875 and first.evidence["windows"] == [[13.8, 29.8]]


def test_qvhighlights_moments(real_data: Path) -> None:
    samples = labelled("qvhighlights_train", "train_part", real_data)
    assert sizes(samples) == {2: 5, 3: 291, 4: 264, 5: 333, 6: 315, 7: 211, 8: 1122}
    first = samples[0]  # seven windows between 72 and 146 s of 150; a frame each 4.6875 s
    assert first.id == "qvhighlights_train-9769" and first.evidence["windows"][0] == [72.0, 82.0]
    assert first.evidence["gold_frames"] == [15, 18, 20, 21, 23, 24, 27, 30]


def test_real_clips_give_the_times_of_their_frames(real_data: Path) -> None:
    pytest.importorskip("av", reason="clips are read with PyAV: pip install 'mmreason[video]'")
    samples = labelled("annotated_clips", "test", real_data, media=True)
    first = samples[0]
    assert len(samples) == 29 and first.id == "annotated_clips-bottles-0" and first.evidence["windows"] == [[0.0, 5.5]]
    assert first.evidence["gold_frames"] == [0, 1, 2, 3], "39.8 s, a frame each 1.24 s from 0.62 s on"
    assert first.evidence["gold_times"] == pytest.approx([0.62, 1.87, 3.11, 4.36], abs=0.05)
