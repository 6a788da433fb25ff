"""The drawn shapes: what the words say is where they say it, and the teacher errs in its answer alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from mmreason.config import Domain, Recipe, load_domain, load_recipe
from mmreason.data.decontaminate import decontaminate
from mmreason.data.sources import read_source
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError
from mmreason.media.files import open_image
from mmreason.project import load_module, project_dir
from mmreason.records import Outcome, Sample
from mmreason.rewards.format import check_format
from mmreason.rewards.grade import grade
from mmreason.suites.claims import Ruling
from mmreason.suites.suite import load_suite

if TYPE_CHECKING:
    from conftest import Cli

GENERAL = project_dir() / "domains" / "general"
shapes = load_module(GENERAL / "shapes.py")
reproduce = load_module(GENERAL / "shapes" / "reproduce.py")


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain(GENERAL)


def items(domain: Domain, root: Path, count: int = 40, split: str = "train", seed: int = 0) -> list[Sample]:
    """Read as the pipelines do: the data folder is where pictures go."""
    found = read_source(domain, "shapes", split, root, {"items": count}, seed)
    return [item for item in found if isinstance(item, Sample)]


def picture(*words: str, side: int = 20) -> Any:
    return shapes.Picture(words, side, (200, 0, 0), (0, 0, 9))


def filled(image: Image.Image) -> set[tuple[int, int]]:
    """Pixels (x, y) of the shape."""
    return {(x, y) for x in range(84) for y in range(84) if image.getpixel((x, y)) == (200, 0, 0)}


@pytest.mark.parametrize(
    ("words", "left", "top"),
    [(("red", "square", "top", "left"), 4, 4), (("red", "square", "middle", "right"), 60, 32)],
)
def test_a_square_fills_its_cell_but_for_a_margin(words: tuple[str, ...], left: int, top: int) -> None:
    """Side 20 in a cell of 28: 4 pixels free on each side."""
    image = shapes.draw(picture(*words))
    assert image.size == (84, 84)
    assert filled(image) == {(x, y) for x in range(left, left + 20) for y in range(top, top + 20)}
    assert image.getpixel((0, 0)) == (0, 0, 9)


def test_shapes_differ_in_area_and_stay_in_their_cell() -> None:
    area = {}
    for shape in shapes.SHAPES:
        found = filled(shapes.draw(picture("red", shape, "bottom", "centre", side=26)))
        assert {x // 28 for x, _ in found} == {1}
        assert {y // 28 for _, y in found} == {2}
        area[shape] = len(found) / 26**2
    assert area["square"] == 1.0
    assert area["circle"] == pytest.approx(3.14159 / 4, abs=0.05)
    assert area["triangle"] == pytest.approx(0.5, abs=0.05)


def test_every_answer_is_as_likely() -> None:
    drawn = [shapes.make_picture(f"any:{index}").words for index in range(3000)]
    for place, kind in enumerate(shapes.WORDS):
        counts = Counter(words[place] for words in drawn)
        assert set(counts) == set(kind)
        assert min(counts.values()) > 0.8 * 3000 / len(kind)


def test_the_same_seed_draws_the_same_files(domain: Domain, tmp_path: Path) -> None:
    first, again = items(domain, tmp_path / "a"), items(domain, tmp_path / "b")
    assert [s.to_dict() for s in first] == [s.to_dict() for s in again]
    other = items(domain, tmp_path / "a", seed=1)
    assert not {s.media[0].sha256 for s in first} & {s.media[0].sha256 for s in other}
    assert len({s.media[0].sha256 for s in first}) == len(first)


def test_the_words_name_what_the_file_shows(domain: Domain, tmp_path: Path) -> None:
    for sample in items(domain, tmp_path):
        colour, _, row, column = sample.answer.gold.split()
        x, y = shapes.COLUMNS.index(column) * 28 + 14, shapes.ROWS.index(row) * 28 + 14
        found = open_image(tmp_path, sample.media[0]).getpixel((x, y))
        means = shapes.COLOURS
        nearest = min(means, key=lambda name: sum((a - b) ** 2 for a, b in zip(means[name], found, strict=True)))
        assert nearest == colour, sample.id


def test_a_damaged_picture_is_drawn_again(domain: Domain, tmp_path: Path) -> None:
    before = items(domain, tmp_path, 2)
    (tmp_path / before[0].media[0].path).write_bytes(b"half")
    assert items(domain, tmp_path, 2)[0].media == before[0].media


def test_training_and_suite_share_no_picture(domain: Domain, tmp_path: Path) -> None:
    """One question everywhere: it is the pictures that make rows different, for decontamination too."""
    suite = load_suite("shapes", domain)
    asked = items(domain, tmp_path, suite.options["items"], suite.split, suite.seed)
    assert len(asked) == suite.released_count
    train = items(domain, tmp_path, 300)
    clean, pairs = decontaminate(train, asked)
    assert (len(clean), pairs) == (300, [])
    assert decontaminate([asked[0]], asked)[0] == []


def test_an_exact_teacher_is_right_everywhere(domain: Domain, tmp_path: Path) -> None:
    respond = shapes.solver({})
    for sample in items(domain, tmp_path):
        assert check_format(respond(sample, 0), needs_box=False).ok
        assert grade(respond(sample, 0), sample.answer).outcome is Outcome.RIGHT


def test_a_careless_teacher_errs_in_the_answer_alone(domain: Domain, tmp_path: Path) -> None:
    """0.7 a word gives 0.7^4 = 0.24 an answer."""
    samples = items(domain, tmp_path, 500)
    respond = shapes.solver({"slip_rate": 0.3})
    right = 0
    for sample in samples:
        said = respond(sample, 0)
        assert reproduce.thought(said) == sample.answer.gold
        words = said.partition("<answer>")[2].removesuffix("</answer>").split()
        assert all(word in kind for word, kind in zip(words, shapes.WORDS, strict=True))
        right += grade(said, sample.answer).outcome is Outcome.RIGHT
        assert respond(sample, 0) == said
    assert right / len(samples) == pytest.approx(0.7**4, abs=0.06)
    assert grade(shapes.solver({"slip_rate": 1.0})(samples[0], 0), samples[0].answer).outcome is Outcome.WRONG


def test_bad_options_are_told(domain: Domain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown option 'itmes'.*items"):
        list(read_source(domain, "shapes", "train", tmp_path, {"itmes": 3}))
    with pytest.raises(UserError, match=r"unknown 'slip'.*slip_rate"):
        shapes.solver({"slip": 0.3})
    request = ReadRequest("shapes", "train", [], domain.source("shapes"), {"items": 1})
    with pytest.raises(UserError, match="no folder to draw pictures into"):
        list(shapes.read(request))


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(GENERAL / "shapes" / "recipe.yaml")


def test_the_recipe_builds_what_the_task_needs(recipe: Recipe) -> None:
    assert recipe.model.tiny is not None and recipe.model.tiny.vision
    assert recipe.model.tiny.max_pixels == (3 * shapes.CELL) ** 2
    assert recipe.sft is not None and recipe.sft.unverified  # verified rows would hold no habit to mend


def test_a_seed_sets_all_three(recipe: Recipe) -> None:
    assert set(reproduce.with_seed(recipe, 2).seeds.model_dump().values()) == {2}


def test_the_margin_is_asked_of_every_seed() -> None:
    assert reproduce.margin([0.5, 0.15, 0.2]) is Ruling.HOLDS
    assert reproduce.margin([0.5, 0.14, 0.2]) is Ruling.FAILS
    assert reproduce.margin([0.5, 0.6]) is Ruling.NOT_DECIDED


def test_the_table_has_one_line_a_seed() -> None:
    scores = {
        "sft": {"reward": [0.2, 0.25, 0.3], "eyesight": [0.9, 0.9, 0.9]},
        "grpo": {"reward": [0.6, 0.5, 0.7], "eyesight": [0.9, 0.9, 0.9]},
    }
    text = reproduce.table(scores)
    assert "| 1 | 25.0 | 50.0 | 90.0 | 90.0 |" in text
    assert "+40.0, +25.0, +40.0 | holds" in text
    assert text.endswith("in every seed: holds.\n")


@pytest.mark.slow
def test_rl_lifts_what_the_cold_start_left(cli: Cli, tmp_path: Path) -> None:
    """The check with one seed: the answers rise by at least 15 points, the thoughts stay as they were."""
    done = cli("run", "shapes", "--out", str(tmp_path / "run"), timeout=1800)
    assert done.returncode == 0, done.stderr
    before, after = (reproduce.measure(tmp_path / "run" / "eval" / stage) for stage in ("sft", "grpo"))
    assert before["eyesight"] > 0.85
    assert after["reward"] - before["reward"] >= reproduce.RISE
    assert abs(after["eyesight"] - before["eyesight"]) < 0.1
    assert not (GENERAL / "shapes" / "train0").exists()  # pictures belong to the run, not to the domain's folder
