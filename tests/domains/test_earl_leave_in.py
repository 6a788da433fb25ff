"""Gold frames by the leave-in test: the dialogue by itself, with an engine that sees scenes, with a tiny model."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.data.step import Drop
from mmreason.errors import UserError
from mmreason.media.frame_rules import FrameRule
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.project import load_module
from mmreason.records import Rollout, Sample, Stop

rows = load_module(Path(__file__).parent / "earl_rows.py")
test = load_module(rows.EARL / "data_leave_in.py")
sights = load_module(rows.EARL / "data_sights.py")


def played(size: int, right: Callable[[set[int]], bool], most_kept: int = 8, questions: int = 200) -> Any:
    """What the dialogue leaves with a model that is right on these sets of frames."""
    game = test.removal(size, most_kept, questions)
    asked = next(game)
    while True:
        try:
            asked = game.send(right(set(asked)))
        except StopIteration as stopped:
            return stopped.value


@pytest.mark.parametrize("needed", [{0}, {31}, {3, 17}, {4, 5, 6, 7}, {0, 5, 11, 12, 20, 25, 28, 31}])
def test_the_frames_that_are_needed_are_left(needed: set[int]) -> None:
    left = played(32, needed.issubset)
    assert set(left.kept) == needed and left.minimal and not left.reason and left.questions <= 90


def test_a_single_frame_takes_few_questions() -> None:
    assert played(32, {13}.issubset).questions <= 2 + 5 * 2 + 1


def test_no_single_frame_of_what_is_left_can_go() -> None:
    rng = random.Random(0)
    for _ in range(30):
        ways = [set(rng.sample(range(16), rng.randint(1, 4))) for _ in range(3)]

        def right(shown: set[int], ways: list[set[int]] = ways) -> bool:
            return any(way <= shown for way in ways)

        kept = set(played(16, right).kept)
        assert right(kept) and not any(right(kept - {one}) for one in kept)


def test_what_needs_no_frame_all_frames_or_too_many() -> None:
    assert played(8, lambda shown: True) == test.Left((), 1, True, "answered_blind")
    assert played(8, lambda shown: False) == test.Left((), 2, True, "not_answered")
    many = played(32, set(range(0, 32, 3)).issubset)
    assert many.reason == "needs_more_frames" and len(many.kept) == 11


def test_the_number_of_questions_is_bounded() -> None:
    left = played(32, {3, 17, 30}.issubset, questions=7)
    assert left.questions == 7 and not left.minimal and {3, 17, 30} <= set(left.kept)


class Seer:
    """An engine that answers right if the frames show the answer, sure of it in `sure` of 8 draws, else nothing."""

    codec = SimpleNamespace(opens_think=False)

    def __init__(self, sure: int = 8) -> None:
        self.sure, self.calls = sure, 0

    def generate(self, samples: Sequence[Sample], sampling: Sampling, n: int = 1, seed: int = 0) -> Any:
        self.calls += 1
        return [[self._said(sample, draw) for draw in range(n)] for sample in samples]

    def _said(self, sample: Sample, draw: int) -> Rollout:
        shown = FrameRule.parse(sample.media[0].frame_rule).frames if sample.media else ()
        seen = sights.look(sample, shown).answer if draw < self.sure else None
        return Rollout((), (), (), f"\\boxed{{{seen or 'nothing'}}}", Stop.EOS)


def trial(engine: Any) -> Any:
    return test.Trial(engine, Sampling())


def test_a_frozen_model_leaves_the_frame_that_shows_the_shape(tmp_path: Path) -> None:
    samples = rows.scenes(tmp_path, 6)
    grid = tuple(range(0, 256, 4))  # every flash of four frames falls on exactly one of these
    engine = Seer()
    lefts = test.leave_in(samples, [grid] * len(samples), trial(engine))
    for sample, left in zip(samples, lefts, strict=True):
        (place,) = left.kept
        assert sights.look(sample, [grid[place]]).answer == sample.answer.gold and left.minimal
    assert engine.calls == max(left.questions for left in lefts), "all samples of a round share one call"


@pytest.mark.parametrize(("sure", "reason"), [(6, ""), (5, "not_answered")])
def test_six_of_eight_answers_must_be_right(tmp_path: Path, sure: int, reason: str) -> None:
    (sample,) = rows.scenes(tmp_path, 1)
    (left,) = test.leave_in([sample], [tuple(range(0, 256, 4))], trial(Seer(sure)))
    assert left.reason == reason


def test_a_question_without_frames_shows_no_clip(tmp_path: Path) -> None:
    (sample,) = rows.scenes(tmp_path, 1)
    blind = test.showing(sample, ())
    assert not blind.media and [part.type for part in blind.messages[0].parts] == ["text"]
    assert test.showing(sample, (3, 9)).media == (replace(sample.media[0], frame_rule="at:3+9"),)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"hidden": 32, "layers": 1, "heads": 2, "kv_heads": 1, "ffn": 32, "vocab": 320, "vision_hidden": 32}
    tiny = TinyModel(family="qwen2_5_vl", max_pixels=28 * 28, vision_layers=1, **sizes)
    path = tmp_path_factory.mktemp("frozen") / "model"
    build_tiny(tiny, train_tokenizer(["which shape while the border is red ?"], tiny.vocab), 0, path)
    return path


def test_the_step_asks_a_tiny_model_the_same_way_twice(tmp_path: Path, model: Path) -> None:
    pytest.importorskip("av", reason="clips are read with PyAV: pip install 'mmreason[video]'")
    samples = rows.scenes(tmp_path, 2, drawn=True)
    options = {"model": str(model), "sampling": {"max_new_tokens": 2}, "draws": 2, "needed": 1, "grid": 4}
    before = Drop("x", "read", "empty")
    first, *dropped = test.from_frozen_model([before, *samples], rows.context(tmp_path), **options)
    assert first == before and {one.reason for one in dropped} == {"not_answered"}  # it was never trained
    assert dropped == list(test.from_frozen_model(samples, rows.context(tmp_path), **options))


def test_what_the_step_needs(tmp_path: Path, model: Path) -> None:
    for options, line in (
        ({"needed": 9}, "9 of 8 answers"),
        ({"questions": 1}, "1 questions"),
        ({}, "give the option `sampling`"),
        ({"sampling": {"heat": 1}}, "heat"),
    ):
        with pytest.raises(UserError, match=line):
            list(test.from_frozen_model([], rows.context(tmp_path), str(model), **options))
