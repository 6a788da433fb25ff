from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from leak_making import cut, jpeg, row, rows, scaled, scene
from PIL import Image, ImageOps

from mmreason.leaks.media import UNREAD, compare_media, identities
from mmreason.leaks.overlay import correlation
from mmreason.leaks.pictures import alike, print_of

Change = Callable[[Image.Image], Image.Image]

COPIES: dict[str, Change] = {
    "JPEG 80": lambda p: jpeg(p, 80),
    "JPEG 40": lambda p: jpeg(p, 40),
    "90 %": lambda p: scaled(p, 0.9),
    "half and JPEG 60": lambda p: jpeg(scaled(p, 0.5), 60),
    "square": lambda p: p.resize((224, 224)),
    "2 % off each side": lambda p: cut(p, 0.02, 0.02, 0.02, 0.02),
    "5 % off each side": lambda p: cut(p, 0.05, 0.05, 0.05, 0.05),
    "5 % off the left": lambda p: cut(p, 0.05, 0, 0, 0),
    "uneven": lambda p: jpeg(cut(p, 0.03, 0.01, 0.05, 0), 80),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_found(name: str) -> None:
    for seed in range(4):
        picture = scene(seed)
        found = alike([print_of(picture, "a"), print_of(COPIES[name](picture), "b")])
        assert [one.how for one in found] == ["near"], (name, seed)


def test_different_pictures_are_not() -> None:
    assert alike([print_of(scene(seed, coloured=seed % 2 == 0), str(seed)) for seed in range(60)]) == []


def test_a_mirrored_picture_and_another_colour_are_other_pictures() -> None:
    picture = scene(1)
    red, green, blue = picture.split()
    changed = [ImageOps.mirror(picture), Image.merge("RGB", (blue, green, red))]
    assert alike([print_of(picture, "a"), *(print_of(one, str(k)) for k, one in enumerate(changed))]) == []


def test_blank_pictures_are_alike_by_pixels_alone() -> None:
    grey, same, larger = (Image.new("RGB", size, "grey") for size in ((64, 64), (64, 64), (65, 64)))
    found = alike([print_of(grey, "a"), print_of(same, "b"), print_of(larger, "c")])
    assert [(one.a, one.b, one.how) for one in found] == [(0, 1, "pixels")]
    assert correlation(print_of(grey, "a").small, print_of(larger, "c").small) == 0.0


def save(root: Path, name: str, picture: Image.Image, **how: int) -> str:
    picture.save(root / name, **how)  # type: ignore[arg-type]
    return name


def test_identities_over_two_folders(tmp_path: Path) -> None:
    """One picture under four names is one; another under the same name is another; nothing read equals nothing."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    save(here, "a.png", scene(1))
    save(here, "b.png", scene(2))
    (there / "copy.png").write_bytes((here / "a.png").read_bytes())
    save(there, "a.bmp", scene(1))
    save(there, "small.jpg", scaled(scene(1), 0.9), quality=80)
    save(there, "b.png", scene(3))
    (there / "broken.png").write_bytes((here / "a.png").read_bytes()[:500])
    names = ("copy.png", "a.bmp", "small.jpg", "b.png", "broken.png", "gone.png")
    train = rows(
        "train", here, row("1", "q", "x", "a.png"), row("2", "q", "x", "b.png"), row("3", "q", "x", "gone.png")
    )
    known = rows("eval", there, *(row(name, "q", "x", name) for name in names))

    compared = compare_media([train, known])
    shown = {s.id: s.media[0].sha256 for one in compared.sets for s in one.samples}
    assert shown["1"] == shown["copy.png"] == shown["a.bmp"] == shown["small.jpg"]
    assert len({shown[id] for id in ("1", "2", "3", "b.png", "broken.png", "gone.png")}) == 6
    assert {(pair.b[1], pair.how) for pair in compared.alike} == {
        ("copy.png", "file"),
        ("a.bmp", "pixels"),
        ("small.jpg", "near"),
    }
    assert {Path(path).name for _, path in compared.faults} == {"gone.png", "broken.png"}
    assert all(identities(s) == frozenset() for one in compared.sets for s in one.samples if "gone" in s.media[0].path)
    assert shown["gone.png"].startswith(UNREAD)
    assert (
        "missing" in compared.faults[str(here), "gone.png"] and "damaged" in compared.faults[str(there), "broken.png"]
    )


REAL = (("vqa_rad", 254, []), ("covid_cxr", 56, []), ("bccd", 290, [("BloodImage_00037", "BloodImage_00038")]))


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "count", "expected"), REAL)
def test_real_pictures_of_one_kind_are_told_apart(
    real_data: Path, folder: str, count: int, expected: list[tuple[str, str]]
) -> None:
    """All pictures of a set against each other: two smears in a row show the same cells, no two radiographs do."""
    paths = sorted((real_data / folder / "images").rglob("*.*"))
    assert len(paths) == count
    found = alike([print_of(Image.open(path).convert("RGB"), path.stem) for path in paths])
    assert [(paths[one.a].stem, paths[one.b].stem) for one in found] == expected


def test_real_radiographs_and_their_copies(real_data: Path) -> None:
    paths = sorted((real_data / "vqa_rad" / "images").glob("*.jpg"))[:12]
    pictures = [Image.open(path).convert("RGB") for path in paths]
    prints = [print_of(picture, str(k)) for k, picture in enumerate(pictures)]
    changes = list(COPIES.values())
    copies = [print_of(changes[k % len(changes)](picture), f"copy {k}") for k, picture in enumerate(pictures)]
    found = alike([*prints, *copies])
    assert [(one.a, one.b) for one in found] == [(k, k + len(paths)) for k in range(len(paths))]
