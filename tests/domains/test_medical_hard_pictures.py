"""A set whose pictures are as hospitals, scanners and broken downloads leave them: each row is shown or counted."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmreason.config import Domain, load_domain
from mmreason.config.recipe import Recipe
from mmreason.data.pipeline import DatasetFile, build_dataset
from mmreason.data.sources import read_source
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.media.files import open_image
from mmreason.project import project_dir
from mmreason.records import Sample
from mmreason.suites.reading import read_suite
from mmreason.suites.suite import load_suite

Bytes = Callable[[], bytes]


def drawn(mode: str, size: tuple[int, int] = (30, 40), form: str = "PNG", turned: bool = False) -> bytes:
    """A picture of the mode, black with a bright left half."""
    picture, exif, file = Image.new(mode, size), Image.Exif(), io.BytesIO()
    bright = {"I;16": 4000, "CMYK": (0, 0, 0, 255), "LA": (255, 255), "RGBA": (255, 255, 255, 255)}.get(mode, 255)
    picture.paste(bright if mode != "RGB" else (255,) * 3, (0, 0, max(size[0] // 2, 1), size[1]))
    if turned:
        exif[0x0112] = 6
    picture.save(file, form, exif=exif) if turned else picture.save(file, form)
    return file.getvalue()


def sixteen() -> bytes:
    """12 of 16 bits, as CT slices are exported."""
    values = np.zeros((40, 30), np.uint16)
    values[:, :15] = 4000
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


SHOWN: dict[str, tuple[str, Bytes, tuple[int, int]]] = {
    "plain": (".png", lambda: drawn("L"), (30, 40)),
    "sixteen bits": (".png", sixteen, (30, 40)),
    "one bit": (".png", lambda: drawn("1"), (30, 40)),
    "palette": (".bmp", lambda: drawn("P", form="BMP"), (30, 40)),
    "cmyk": (".jpg", lambda: drawn("CMYK", form="JPEG"), (30, 40)),
    "grey and alpha": (".png", lambda: drawn("LA"), (30, 40)),
    "colour and alpha": (".png", lambda: drawn("RGBA"), (30, 40)),
    "lying": (".jpg", lambda: drawn("L", form="JPEG", turned=True), (40, 30)),
    "one pixel": (".png", lambda: drawn("L", (1, 1)), (1, 1)),
    "large": (".png", lambda: drawn("1", (7000, 7000)), (7000, 7000)),
    "jpeg called png": (".png", lambda: drawn("RGB", form="JPEG"), (30, 40)),
}
"""Name -> extension, bytes, size as it is shown."""

REFUSED: dict[str, tuple[str, Bytes, str, str]] = {
    "dicom": (".dcm", lambda: bytes(128) + b"DICM" + bytes(90), "dicom", "convert it to PNG"),
    "dicom called png": (".png", lambda: bytes(128) + b"DICM" + bytes(90), "dicom", "is DICOM, which is not read"),
    "nifti": (".nii.gz", lambda: b"\x1f\x8b" + bytes(90), "nifti", "is NIfTI, which is not read"),
    "tiff": (".tif", lambda: b"II*\x00" + bytes(90), "format", "has the extension '.tif'"),
    "cut jpeg": (".jpg", lambda: drawn("RGB", (300, 300), "JPEG")[:900], "damaged", "is damaged"),
    "cut png": (".png", lambda: drawn("L", (300, 300))[:-30], "damaged", "is damaged"),
    "page of an error": (".png", lambda: b"<html>404</html>", "not_a_picture", "is not a picture"),
    "empty": (".png", lambda: b"", "empty_file", "is empty"),
    "huge": (".png", lambda: drawn("1", (9000, 8000)), "too_large", "9000 x 8000 pixels, at most 64000000"),
    "thread": (".png", lambda: drawn("L", (500, 2)), "ratio", "sides in a ratio above 200"),
}
"""Name -> extension, bytes, reason of the drop, words of its detail."""


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain(project_dir() / "domains" / "medical")


def put(root: Path, pictures: dict[str, tuple[str, bytes]]) -> Path:
    """The set in PathVQA's form, one question a picture."""
    folder = root / "pathvqa"
    folder.mkdir(parents=True)
    rows = []
    for number, (name, (suffix, data)) in enumerate(pictures.items()):
        (folder / f"{number}{suffix}").write_bytes(data)
        rows.append({"id": name, "image": f"{number}{suffix}", "question": f"what is {name}?", "answer": "left"})
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pictures of both tables in one set."""
    shown = {name: (suffix, data()) for name, (suffix, data, _) in SHOWN.items()}
    refused = {name: (suffix, data()) for name, (suffix, data, _, _) in REFUSED.items()}
    return put(tmp_path_factory.mktemp("hard"), shown | refused)


@pytest.fixture(scope="module")
def items(root: Path, domain: Domain) -> dict[str, Sample | Drop]:
    read = read_source(domain, "pathvqa", "test", root, {"subset": True})
    return {item.id.removeprefix("pathvqa-"): item for item in read}


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_shown_is_upright_rgb_and_bright_where_it_should(
    name: str, items: dict[str, Sample | Drop], root: Path
) -> None:
    item = items[name]
    assert isinstance(item, Sample)
    picture = open_image(root, item.media[0])
    assert (picture.mode, picture.size) == ("RGB", SHOWN[name][2])
    if name in ("plain", "sixteen bits", "one bit", "jpeg called png"):
        assert min(picture.getpixel((5, 20))) >= 250 and max(picture.getpixel((25, 20))) <= 5
    if name == "lying":
        assert min(picture.getpixel((20, 5))) >= 250 and max(picture.getpixel((20, 25))) <= 5


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_shown_is_a_drop_with_its_reason(name: str, items: dict[str, Sample | Drop]) -> None:
    item, (suffix, _, reason, words) = items[name], REFUSED[name]
    assert isinstance(item, Drop)
    assert (item.step, item.reason) == ("read", reason)
    assert words in item.detail and suffix in item.detail and "\n" not in item.detail
    assert item.row is not None and item.row["answer"]["gold"] == "left", "nothing of the row is lost"


def test_drops_are_counted_and_kept_in_the_data_set(root: Path, domain: Domain, tmp_path: Path) -> None:
    values = {"system": "made", "model": {"tiny": {"vocab": 300}}, "eval": {"suites": []}}
    recipe = Recipe.model_validate({**values, "data": {"pipelines": [], "embedded": []}})
    dataset = DatasetFile(name="hard", source="pathvqa", split="test", options={"subset": True})
    built = build_dataset(dataset, StepContext(recipe, domain, root, tmp_path))
    reasons = dict(Counter(reason for _, _, reason, _ in REFUSED.values()))
    assert built.facts["dropped"] == {"read": dict(sorted(reasons.items()))}
    assert (built.facts["read"], built.facts["kept"]) == (len(SHOWN) + len(REFUSED), len(SHOWN))
    lines = [json.loads(line) for line in built.dropped.read_text().splitlines()]
    assert [line["id"] for line in lines] == [f"pathvqa-{name}" for name in REFUSED]


def test_an_evaluation_says_what_it_left_out(root: Path, domain: Domain) -> None:
    suite = load_suite("pathvqa")
    with pytest.raises(
        UserError, match=rf"{len(SHOWN)} of the 6719 released .* \(2 dropped: damaged, 2 dropped: dicom"
    ):
        read_suite(suite, domain, root)
    data = read_suite(suite, domain, root, subset=True)
    assert len(data.samples) == len(SHOWN) and data.dropped["dicom"] == 2


def test_a_set_without_any_picture_that_can_be_shown_is_an_error(domain: Domain, tmp_path: Path) -> None:
    root = put(tmp_path, {"one": (".dcm", b"x"), "two": (".png", b"")})
    with pytest.raises(UserError, match=r"the pictures of all 2 rows cannot be shown, the first: .*'pathvqa/0\.dcm'"):
        list(read_source(domain, "pathvqa", "test", root, {"subset": True}))
