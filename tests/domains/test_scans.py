"""The made-up scans: metadata say what the pixels show, and answers in other words are told from wrong ones."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmreason.config import Domain, load_domain
from mmreason.data.filters import gold_response
from mmreason.data.sources import read_source
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import AnswerKind, Outcome, Sample
from mmreason.rewards.grade import grade
from mmreason.suites.reading import read_suite
from mmreason.suites.suite import load_suite

MEDICAL = project_dir() / "domains" / "medical"
scans = load_module(MEDICAL / "scans.py")
world = load_module(MEDICAL / "scans_world.py")
pictures = load_module(MEDICAL / "scans_draw.py")
answers = load_module(MEDICAL / "scans_answers.py")
teacher = load_module(MEDICAL / "scans_teacher.py")
what_is_seen = load_module(MEDICAL / "scans_seen.py")

EVERY = dict.fromkeys([family for family in scans.QUESTIONS if family != scans.PLATE], 1.0)


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain(MEDICAL)


def named(domain: Domain, root: Path, split: str = "train", seed: int = 0, **options: Any) -> list[Sample]:
    """Questions without pictures."""
    found = read_source(domain, "scans", split, root, options, seed, root, need_media=False)
    return [item for item in found if isinstance(item, Sample)]


def lesion(shape: str, zone: str, size: str = "large", shade: str = "bright") -> Any:
    row, column = zone.split()
    side, grey = (0.85 if size == "large" else 0.5), (240 if shade == "bright" else 30)
    return world.Lesion(shape, size, shade, row, column, side, grey)


def scene(*lesions: Any, modality: str = "ct", organ: str = "chest") -> Any:
    return world.Scene("s", world.World(), modality, organ, lesions, 110)


def test_the_lexicon_has_no_word_twice() -> None:
    words = [word for kind in world.KINDS.values() for synonyms in kind.values() for word in synonyms]
    assert len(words) == len(set(words))
    assert all(word == synonyms[0] for kind in world.KINDS.values() for word, synonyms in kind.items())
    asked = {word for forms in scans.QUESTIONS.values() for form in forms for word in form.split() if "{" not in word}
    assert 110 <= len({*words, *asked, *answers.FILLERS}) <= 150


def test_a_lesion_lies_in_its_zone_and_nowhere_else() -> None:
    plain = np.asarray(pictures.draw(scene()), dtype=int)
    for shape, (row, column) in itertools.product(world.SHAPES, world.ZONES):
        drawn = np.asarray(pictures.draw(scene(lesion(shape, f"{row} {column}"))), dtype=int)
        changed = np.argwhere(drawn != plain) // 28
        assert {tuple(place) for place in changed} == {divmod(world.ZONES.index((row, column)), 3)}


def test_shapes_sizes_and_shades_differ_in_pixels() -> None:
    """Cover of a 24-pixel square: a full square 0.84^2, a disc pi/4, a triangle half, a ring the disc less its hole."""
    cover = {shape: np.asarray(pictures.mask(shape, 24), dtype=float).mean() / 255 for shape in world.SHAPES}
    expected = {"block": 0.706, "nodule": 0.785, "wedge": 0.5, "ring": 0.66, "band": 0.36, "cross": 0.54}
    assert cover == pytest.approx(expected, abs=0.05)
    large, small = (pictures.draw(scene(lesion("nodule", "middle centre", size))) for size in world.SIZES)
    middle = (slice(30, 56), slice(30, 56))  # clear of the rule
    assert (np.asarray(large)[middle] > 200).sum() > 2 * (np.asarray(small)[middle] > 200).sum()
    dark = np.asarray(pictures.draw(scene(lesion("nodule", "middle centre", shade="dark"))))
    assert dark[42, 42] == 30 and np.asarray(large)[42, 42] == 240


def test_kinds_of_pictures_differ_in_every_zone() -> None:
    """Within the middle of each zone: CT is flat, MRI varies along rows alone, a radiograph along columns alone."""
    for (row, column), modality in itertools.product(itertools.product(range(3), repeat=2), world.MODALITIES):
        ground = np.asarray(pictures.draw(scene(modality=modality)), dtype=float)
        zone = ground[row * 28 + 4 : row * 28 + 24, column * 28 + 4 : column * 28 + 24]
        across, down = zone.std(axis=1).max() > 5, zone.std(axis=0).max() > 5
        assert (across, down) == {
            "ct": (False, False),
            "mri": (True, False),
            "radiograph": (False, True),
            "ultrasound": (True, True),
        }[modality]


def test_held_out_and_rare_pairs() -> None:
    """Each zone withholds one shape; every shape and zone still occurs."""
    assert len(world.HELD_OUT) == len(world.RARE) == 9 and not world.HELD_OUT & world.RARE
    assert {shape for shape, _, _ in world.HELD_OUT} == set(world.SHAPES)

    def pairs(**options: Any) -> Counter[Any]:
        made = (world.make_scene(f"{n}", world.World(**options)) for n in range(600))
        return Counter(one.pair for scan in made for one in scan.lesions)

    seen, unseen, rare = pairs(pairs="seen"), pairs(pairs="held_out"), pairs(rare=0.1)
    assert len(seen) == 45 and not set(seen) & world.HELD_OUT
    assert set(unseen) == world.HELD_OUT
    share = sum(rare[pair] for pair in world.RARE) / rare.total()
    assert share == pytest.approx(0.9 / 45.9, abs=0.012)  # 9 of weight 0.1 beside 45 of weight 1


def test_files_are_kept_and_mended(domain: Domain, tmp_path: Path) -> None:
    def paths() -> list[Path]:
        found = read_source(domain, "scans", "train", tmp_path, {"scans": 4}, 0, tmp_path)
        return [tmp_path / sample.media[0].path for sample in found]

    files = paths()
    before = [path.stat().st_mtime_ns for path in files]
    with Image.open(files[0]) as picture:
        assert picture.format == "PNG" and picture.size == (84, 84)
    files[1].write_bytes(b"cut")
    assert paths() == files
    after = [path.stat().st_mtime_ns for path in files]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True]


def test_questions_say_what_metadata_says(domain: Domain, tmp_path: Path) -> None:
    for sample in named(domain, tmp_path, scans=300, per_scan=3, families=EVERY, closed=0.3):
        facts = sample.metadata
        hits = [one for one in facts["lesions"] if all(one[kind] == word for kind, word in facts["asked"].items())]
        said = dict(facts["meaning"])
        if facts["family"] == "presence":
            assert said["polarity"] == ("yes" if hits else "no")
        elif facts["family"] in ("what", "where", "side", "size", "shade"):
            assert len(hits) == 1 and all(hits[0][kind] == word for kind, word in said.items())
        elif facts["family"] == "count":
            assert list(world.COUNTS).index(said["count"]) + 1 == len(facts["lesions"])
        elif facts["family"] == "abnormal":
            assert len(facts["lesions"]) == 1 and facts["answer"].split()[2:] == facts["zone"].split()
        assert facts["answer_type"] == ("closed" if facts["form"] != "open" else "open")
        assert grade(gold_response(sample), sample.answer).outcome is Outcome.RIGHT


def test_presence_is_even_and_its_no_is_near(domain: Domain, tmp_path: Path) -> None:
    asked = named(domain, tmp_path, scans=600, families={"presence": 1.0}, options=False)
    assert {sample.answer.kind for sample in asked} == {AnswerKind.JUDGEMENT}
    no = [sample.metadata for sample in asked if sample.answer.gold == "no"]
    assert len(no) / len(asked) == pytest.approx(0.5, abs=0.06)
    mirrored = sum(any(one["shape"] == facts["asked"]["shape"] for one in facts["lesions"]) for facts in no)
    assert mirrored / len(no) == pytest.approx(0.5, abs=0.09)  # the shape is there, on another side


def test_options_and_candidates(domain: Domain, tmp_path: Path) -> None:
    every = named(domain, tmp_path, scans=450, closed=1.0)
    lettered = [sample for sample in every if sample.metadata["answer_type"] == "closed"]
    golds = Counter(sample.answer.gold for sample in lettered if len(sample.answer.options) == 4)
    assert set(golds) == set("ABCD") and min(golds.values()) > 0.6 * golds.total() / 4
    for sample in lettered:
        assert len(set(sample.answer.options.values())) == len(sample.answer.options)
        assert sample.answer.options[sample.answer.gold] == sample.metadata["answer"]
    worded = named(domain, tmp_path, scans=100, closed=1.0, options=False, families={"side": 1.0})
    assert all(sample.metadata["answer"] in sample.question.split(" : ")[1] for sample in worded)
    assert worded[0].question.count("right") == worded[0].question.count("left") == 1


def test_answers_in_other_words(domain: Domain, tmp_path: Path) -> None:
    sample = next(
        one
        for one in named(domain, tmp_path, scans=100, closed=0.0, families={"where": 1.0})
        if one.answer.gold == "upper left"
    )
    right = ["upper left", "top left", "left, superior", "on the left side at the top", "<answer>left upper</answer>"]
    assert [answers.right_with_synonyms(one, sample) for one in right] == [True] * 5
    wrong = [
        "upper right",
        "left",
        "upper left right",
        "upper left purple",
        "",
        "upper left lower",
        "<answer></answer>",
    ]
    assert [answers.right_with_synonyms(one, sample) for one in wrong] == [False] * 7
    assert [answers.wrong_side(one, sample) for one in wrong] == [True] + [False] * 6
    assert sample.metadata["synonyms"] == [
        *("upper left", "top left", "superior left"),
        *("left upper", "left top", "left superior"),
    ]
    said = ["top left", "upper right", "upper left"]
    assert answers.rates(said, [sample] * 3) == {
        "count": 3,
        "exact": pytest.approx(1 / 3),
        "synonyms": pytest.approx(2 / 3),
        "sided": 3,
        "wrong_side": pytest.approx(1 / 3),
    }


def test_sides_of_letters(domain: Domain, tmp_path: Path) -> None:
    for sample in named(domain, tmp_path, scans=60, closed=1.0, families={"side": 1.0}):
        letters = {text: letter for letter, text in sample.answer.options.items()}
        reply = f"<think>x</think><answer>{letters['right']}</answer>"
        assert answers.wrong_side(reply, sample) == (sample.metadata["answer"] == "left")
        assert answers.right_with_synonyms(reply, sample) == (sample.metadata["answer"] == "right")


def test_references_in_other_words(domain: Domain, tmp_path: Path) -> None:
    plain = named(domain, tmp_path, scans=200, closed=0.0, families={"what": 1.0})
    other = named(domain, tmp_path, scans=200, closed=0.0, families={"what": 1.0}, reworded=1.0, accept=True)
    assert not any(a.answer.gold == b.answer.gold for a, b in zip(plain, other, strict=True))
    assert not plain[0].answer.aliases and len(other[0].answer.aliases["also"]) == 8  # 3 x 3 wordings
    for sample in other:
        assert answers.right_with_synonyms(sample.answer.gold, sample)


def test_the_teacher_sees_well_and_slips_as_often_as_asked(domain: Domain, tmp_path: Path) -> None:
    samples = named(domain, tmp_path, scans=500, closed=0.0, families={"where": 1.0})
    replies = [teacher.solver({"slip": 0.4, "mirror": 0.5, "reword": 0.0})(sample, 0) for sample in samples]
    found = answers.rates(replies, samples)
    assert found["synonyms"] == found["exact"] == pytest.approx(0.6, abs=0.06)
    assert found["wrong_side"] == pytest.approx(0.4 * (0.5 + 0.5 * 3 / 8), abs=0.08)
    assert all(f"so {sample.metadata['answer']}</think>" in one for one, sample in zip(replies, samples, strict=True))
    reworded = [teacher.solver({"slip": 0.0, "reword": 1.0})(sample, 0) for sample in samples]
    found = answers.rates(reworded, samples)
    assert (found["synonyms"], found["exact"], found["wrong_side"]) == (1.0, 0.0, 0.0)
    with pytest.raises(UserError, match="slips"):
        teacher.solver({"slips": 1.0})


def test_thoughts_repeat_what_is_asked(domain: Domain, tmp_path: Path) -> None:
    shown = scene(lesion("ring", "upper left", "small"), lesion("wedge", "lower right", shade="dark"), modality="mri")
    facts = {
        "family": "presence",
        "modality": "mri",
        "organ": "chest",
        "asked": {"shape": "ring", "column": "left"},
        "lesions": [scans.told_of(one) for one in shown.lesions],
        "meaning": [["polarity", "yes"]],
    }
    (sample,) = named(domain, tmp_path, scans=1, families={"presence": 1.0}, options=False)
    told = teacher.seen(sample.with_meta(**facts))
    assert told == (
        "mri chest . upper left small bright ring ring left here , lower right large dark wedge ring left not . so yes"
    )
    assert teacher.seen(sample.with_meta(**facts), every_zone=True).count(teacher.CLEAR) == 7
    assert scans.caption(shown) == ("mri chest . upper left small bright ring . lower right large dark wedge . two")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"families": {"wher": 1.0}}, "wher"),
        ({"families": {"where": -1}}, "share"),
        ({"families": {"where": 0.0}}, "above 0"),
        ({"per_scan": 2, "families": {"where": 1.0}}, "per_scan"),
        ({"pairs": "some"}, "all, seen or held_out"),
        ({"cell": 27}, "even number"),
        ({"closed": 1.5}, "closed"),
        ({"most": 4}, "1 to 3"),
        ({"families": {"plate": 1.0, "where": 1.0}}, "a source of their own"),
    ],
)
def test_wrong_options_are_told(domain: Domain, tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        named(domain, tmp_path, **options)


@pytest.mark.parametrize("name", ["scans_closed", "scans_open", "scans_ood"])
def test_suites_are_whole_and_apart_from_training(domain: Domain, tmp_path: Path, name: str) -> None:
    asked = read_suite(load_suite(name), domain, None, prompted=False, made=tmp_path, need_media=False).samples
    assert len(asked) == 200
    trained = named(domain, tmp_path, scans=300, pairs="seen")
    assert not {str(one.metadata["lesions"]) for one in asked} & {str(one.metadata["lesions"]) for one in trained}
    assert {one.metadata["pair"] == "held_out" for one in asked} == {name == "scans_ood"}
    for sample in asked:
        assert grade(gold_response(sample), sample.answer).outcome is Outcome.RIGHT
        if sample.metadata["answer_type"] == "open":
            other = sample.metadata["synonyms"][-1]
            assert grade(f"<answer>{other}</answer>", sample.answer).outcome is Outcome.RIGHT


def test_a_plate_shows_one_shape_wherever_training_may_see_it(domain: Domain, tmp_path: Path) -> None:
    rows = named(domain, tmp_path, scans=120, families={"plate": 1.0}, pairs="seen")
    for row in rows:
        shown = row.metadata["lesions"]
        (look,) = {(one["size"], one["shape"]) for one in shown}
        free = [zone for zone in world.ZONES if (look[1], *zone) not in world.HELD_OUT]
        assert [(one["row"], one["column"]) for one in shown] == free
        told = f"{row.metadata['modality']} {row.metadata['organ']} . {' '.join(look)}"
        assert row.answer.gold == told == teacher.seen(row, every_zone=True)
        assert row.answer.kind is AnswerKind.FREE
    shades = [frozenset(one["shade"] for one in row.metadata["lesions"]) for row in rows]
    assert min(map(shades.count, map(frozenset, ({"bright"}, {"dark"}, {"bright", "dark"})))) > 20


def test_plates_and_scans_of_a_run_are_files_of_their_own(domain: Domain, tmp_path: Path) -> None:
    plates = named(domain, tmp_path, scans=5, families={"plate": 1.0})
    scans_ = named(domain, tmp_path, scans=5)
    assert not {row.media[0].path for row in plates} & {row.media[0].path for row in scans_}
    assert not {row.source.document for row in plates} & {row.source.document for row in scans_}


def test_what_a_thought_tells_is_counted(domain: Domain, tmp_path: Path) -> None:
    (sample,) = named(domain, tmp_path, scans=1, families={"count": 1.0})
    right = {
        "row": "upper",
        "column": "left",
        "zone": "upper left",
        "size": "small",
        "shade": "bright",
        "shape": "ring",
    }
    other = right | {"row": "lower", "zone": "lower left"}
    thought = "mri chest . upper left small dark ring , lower right large dark wedge . so two"
    runs = [{"output": f"<think>{thought}</think><answer>{said}</answer>"} for said in ("two", "pair")]
    record = {"doc": {"metadata": {**sample.metadata, "lesions": [right, other]}}, "runs": runs}
    expected = {"answers": 2, "lesions": 4, "found": 2, "size": 2, "shape": 2, "invented": 2, "as concluded": 1}
    assert what_is_seen.seen([record]) == Counter(expected)
    path = tmp_path / "run" / "2_cold" / "eval" / "sft" / "scans_open.samples.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record) + "\n")
    row = what_is_seen.table(tmp_path / "run").splitlines()[-1]
    assert row == "| 2_cold/sft | scans_open | 4 | 50 % | 50 % | 0 % | 50 % | 50 % | 50 % |"


def test_every_zone_can_be_told_from_the_picture_alone() -> None:
    """Lines of the rule: no two zones of an empty scan have the same ones."""
    empty = np.asarray(pictures.draw(scene()), dtype=int)
    seen = {(empty[row * 28, column * 28 + 14], empty[row * 28 + 14, column * 28]) for row, column in np.ndindex(3, 3)}
    assert seen == set(itertools.product(pictures.RULE, repeat=2))
