"""What the cache is good for: no connection, damaged files, one answer for one pin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmreason.errors import UserError
from mmreason.release import pull
from mmreason.release.listing import Entry, Release, content_hash, read_kept
from mmreason.release.names import pull_named
from mmreason.release.publish import publish
from mmreason.release.store import Found, Unreachable
from mmreason.release.store_folder import FolderStore


class Far(FolderStore):
    """A folder behind a line that can fail, and that counts questions."""

    up = True
    asked = 0

    def find(self, ref: str | None) -> Found | None:
        """Found, while the line is up."""
        type(self).asked += 1
        if not type(self).up:
            raise Unreachable("no route")
        return super().find(ref)

    def chunks(self, where: str, path: str, start: int) -> Iterator[bytes]:
        """Bytes, counted."""
        type(self).asked += 1
        yield from super().chunks(where, path, start)


@pytest.fixture
def place(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A release called v1 behind the line."""
    publish(run, str(tmp_path / "place"), name="m", label="v1")
    monkeypatch.setattr(pull, "open_store", lambda text: Far(Path(text)))
    Far.up, Far.asked = True, 0
    return str(tmp_path / "place")


def test_a_pinned_release_asks_nobody(place: str) -> None:
    folder = pull_named(f"{place}@v1")
    Far.asked = 0
    assert pull_named(f"{place}@v1") == pull_named(f"{place}@{folder.name}") == folder
    assert Far.asked == 0


def test_without_a_pin_the_newest_serves_and_is_named(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pull_named(place)
    Far.up = False
    capsys.readouterr()
    assert pull_named(place) == folder
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{place} cannot be reached: using revision {folder.name}, the newest in the cache"]


def test_what_was_never_pulled_cannot_be_had_without_a_connection(place: str) -> None:
    Far.up = False
    for text in (place, f"{place}@v1"):
        with pytest.raises(UserError, match=r"cannot be reached \(no route\), and the cache holds nothing"):
            pull_named(text)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "link"])
def test_a_damaged_file_is_fetched_again(place: str, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = pull_named(f"{place}@v1") / "model.safetensors"
    whole = file.read_bytes()
    if damage == "flip":
        file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    elif damage == "cut":
        file.write_bytes(whole[:-1])
    else:
        file.rename(file.with_name("elsewhere"))
    if damage == "link":
        file.symlink_to("elsewhere")
    Far.asked = 0
    assert pull_named(f"{place}@v1") / "model.safetensors" == file
    assert file.read_bytes() == whole and not file.is_symlink()
    assert Far.asked == 2  # one question, one file
    assert "model.safetensors is damaged, fetched again" in capsys.readouterr().err


def test_a_damaged_file_is_not_used_without_a_connection(place: str) -> None:
    (pull_named(f"{place}@v1") / "model.safetensors").write_bytes(b"")
    Far.up = False
    with pytest.raises(UserError, match=r"model.safetensors is damaged: pull it again with a connection"):
        pull_named(f"{place}@v1")


def test_a_cache_that_cannot_be_written_is_said(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMREASON_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set MMREASON_CACHE"):
        pull_named(place)


def test_a_full_disk_is_said_before_the_first_byte(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmreason.release.pull.shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    Far.asked = 0
    with pytest.raises(UserError, match=r"0\.0 GB free"):
        pull_named(place)
    assert Far.asked == 1


class Endless:
    """A place whose one file never ends."""

    address, default_name = "endless", "endless"
    digest = "0" * 64

    def release(self) -> Release:
        files = [Entry(path="config.json", size=10, sha256=self.digest)]
        return Release(name="endless", revision=content_hash(files), files=files)

    def find(self, ref: str | None) -> Found:
        """Its one release."""
        return Found(self.release(), "here")

    def chunks(self, where: str, path: str, start: int) -> Iterator[bytes]:
        """Forever."""
        while True:
            yield b"x" * 1000


def test_a_file_without_end_stops_at_its_size(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(pull, "open_store", lambda text: Endless())
    with pytest.raises(UserError, match="arrives as 11 bytes"):
        pull_named("s3://any/where")
    assert not list(cache.rglob("config.json*"))


def test_an_empty_file_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty(Endless):
        digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

        def release(self) -> Release:
            files = [Entry(path="config.json", size=0, sha256=self.digest)]
            return Release(name="empty", revision=content_hash(files), files=files)

    monkeypatch.setattr(pull, "open_store", lambda text: Empty())
    folder = pull_named("s3://any/where")
    assert (folder / "config.json").read_bytes() == b""
    assert read_kept(folder) is not None
