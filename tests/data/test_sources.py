"""Declared sources: files found inside the data folder, ids and counts checked, eval-only sets kept out of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import Domain, load_domain
from mmreason.data.sources import check_use, read_source
from mmreason.errors import UserError
from mmreason.records import Sample


@pytest.fixture
def domain(tmp_path: Path) -> Domain:
    """A domain with own rows: `shop` for training, `exam` for evaluation only, `escape` with a path that leaves."""
    folder = tmp_path / "domain"
    folder.mkdir()
    (folder / "prompt.txt").write_text("{question}")
    (folder / "domain.yaml").write_text("name: shop\nprompts: {default: prompt.txt}\n")
    entry = "licence: MIT, commercial: true, reader: 'mmreason.data.own:read'"
    (folder / "sources.yaml").write_text(
        f"shop: {{title: t, {entry}, use: train, url: 'https://example.org/shop',\n"
        "  files: {train: [a.jsonl, b.jsonl], test: [b.jsonl]}, count: {train: 3}}\n"
        f"exam: {{title: t, {entry}, use: eval, files: {{test: [b.jsonl]}}}}\n"
        f"escape: {{title: t, {entry}, use: train, files: {{train: [../secret.jsonl]}}}}\n"
        "empty: {title: t, licence: MIT, commercial: true, reader: 'made.py:none', use: train}\n"
    )
    (folder / "made.py").write_text("def none(request):\n    return iter(())\n")
    return load_domain(folder)


def fill(folder: Path, name: str, *ids: str) -> None:
    rows = [{"id": identity, "question": f"{identity}?", "answer": "1"} for identity in ids]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def ids(domain: Domain, folder: Path | None, **options: Any) -> list[str]:
    return [item.id for item in read_source(domain, "shop", "train", folder, options)]


def test_files_of_a_split_are_read_in_order(domain: Domain, tmp_path: Path) -> None:
    fill(tmp_path, "a.jsonl", "1", "2")
    fill(tmp_path, "b.jsonl", "3")
    assert ids(domain, tmp_path) == ["shop-1", "shop-2", "shop-3"]


def test_without_a_data_folder_files_lie_in_the_domain(domain: Domain) -> None:
    fill(domain.folder, "a.jsonl", "1", "2")
    fill(domain.folder, "b.jsonl", "3")
    assert len(ids(domain, None)) == 3


def test_missing_files_are_all_named_with_where_the_set_is_had(domain: Domain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.jsonl, b\.jsonl missing under .*https://example\.org/shop"):
        ids(domain, tmp_path)


def test_a_path_may_not_leave_the_data_folder(domain: Domain, tmp_path: Path) -> None:
    fill(tmp_path.parent, "secret.jsonl", "1")
    with pytest.raises(UserError, match="leaves the data folder"):
        list(read_source(domain, "escape", "train", tmp_path))


def test_a_link_out_of_the_data_folder_is_refused(domain: Domain, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    fill(tmp_path, "outside.jsonl", "1")
    (data / "a.jsonl").symlink_to(tmp_path / "outside.jsonl")
    with pytest.raises(UserError, match="leaves the data folder"):
        ids(domain, data)


def test_duplicate_ids_are_refused(domain: Domain, tmp_path: Path) -> None:
    fill(tmp_path, "a.jsonl", "1", "2")
    fill(tmp_path, "b.jsonl", "2")
    with pytest.raises(UserError, match="id 'shop-2' occurs twice"):
        ids(domain, tmp_path)


def test_a_part_of_a_release_must_be_declared(domain: Domain, tmp_path: Path) -> None:
    fill(tmp_path, "a.jsonl", "1")
    fill(tmp_path, "b.jsonl", "2")
    with pytest.raises(UserError, match="2 rows, the release has 3"):
        ids(domain, tmp_path)
    assert len(ids(domain, tmp_path, subset=True)) == 2
    fill(tmp_path, "a.jsonl", "1", "3", "4")
    with pytest.raises(UserError, match="4 rows, the release has 3"):
        ids(domain, tmp_path, subset=True)


def test_unknown_names_are_told_with_the_nearest(domain: Domain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no split 'tset' \(did you mean 'test'\?\)"):
        list(read_source(domain, "shop", "tset", tmp_path))
    with pytest.raises(UserError, match=r"no source 'shp' \(did you mean 'shop'\?\)"):
        list(read_source(domain, "shp", "train", tmp_path))
    fill(tmp_path, "a.jsonl", "1")
    fill(tmp_path, "b.jsonl", "2")
    with pytest.raises(UserError, match="unknown option 'colour'"):
        ids(domain, tmp_path, colour="red")


def test_a_reader_that_yields_nothing_is_an_error(domain: Domain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no rows in the generated set"):
        list(read_source(domain, "empty", "train", tmp_path))


def test_training_on_an_evaluation_set_is_refused(domain: Domain, tmp_path: Path) -> None:
    check_use(domain, ["shop"])
    with pytest.raises(UserError, match="exam: declared 'use: eval'"):
        check_use(domain, ["shop", "exam"])
    fill(tmp_path, "b.jsonl", "1")
    assert all(isinstance(item, Sample) for item in read_source(domain, "exam", "test", tmp_path))
