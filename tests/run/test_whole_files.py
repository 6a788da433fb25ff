"""A file is whole or it is not there, also on a full disk."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mmreason.errors import UserError
from mmreason.run.files import is_disk_full, replacing, replacing_folder, write_jsonl, write_text

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full, a disk that is always full")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_text(path, "old")
    with pytest.raises(ValueError, match="broken"), replacing(path) as beside:
        beside.write_text("half", encoding="utf-8")
        raise ValueError("broken")
    assert path.read_text(encoding="utf-8") == "old"
    assert [found.name for found in path.parent.iterdir()] == ["b.txt"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with replacing_folder(path) as beside:
        (beside / "one").write_text("1", encoding="utf-8")
    with pytest.raises(ValueError, match="broken"), replacing_folder(path) as beside:
        (beside / "two").write_text("2", encoding="utf-8")
        raise ValueError("broken")
    assert [found.name for found in path.iterdir()] == ["one"]
    with replacing_folder(path) as beside:
        (beside / "two").write_text("2", encoding="utf-8")
    assert [found.name for found in path.iterdir()] == ["two"]
    assert [found.name for found in tmp_path.iterdir()] == ["model"]


def test_rows_are_counted(tmp_path: Path) -> None:
    assert write_jsonl(tmp_path / "rows.jsonl", ({"n": n, "text": "\u5458"} for n in range(3))) == 3
    assert (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()[2] == '{"n": 2, "text": "\u5458"}'


@needs_full
def test_a_full_disk_is_one_line_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_text(path, "old")
    with pytest.raises(UserError, match=r"no space left to write .*state\.json"), replacing(path) as beside:
        beside.symlink_to(FULL)
        beside.write_text("new", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["state.json"]


@needs_full
def test_a_full_disk_under_weights_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no space left"), replacing_folder(tmp_path / "model") as beside:
        with (beside / "full").open("wb"), FULL.open("wb") as full:
            full.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_safetensors_full_disk_words_are_known() -> None:
    words = "Error while serializing: I/O error: No space left on device (os error 28)"  # seen on a full tmpfs
    assert is_disk_full(RuntimeError(words))
    assert is_disk_full(OSError(errno.ENOSPC, "No space left on device"))
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))
