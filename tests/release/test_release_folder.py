"""Publishing to a folder and pulling from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.release import names
from mmreason.release.listing import FILE, read_kept
from mmreason.release.names import pull_named, resolve_model
from mmreason.release.publish import publish
from mmreason.release.store_folder import FolderStore


@pytest.fixture
def place(run: Path, tmp_path: Path) -> str:
    """A folder with one release of `run`, called v1."""
    publish(run, str(tmp_path / "place"), name="m", label="v1")
    return str(tmp_path / "place")


def test_pull_gives_back_every_byte(place: str, cache: Path) -> None:
    folder = pull_named(place)
    release = read_kept(folder)
    assert release is not None
    assert folder == cache / "models" / "m" / release.revision
    for entry in release.files:
        assert (folder / entry.path).read_bytes() == (Path(place) / release.revision / entry.path).read_bytes()
    assert pull_named(f"{place}@v1") == pull_named(f"{place}@{release.revision}") == folder
    assert not list(cache.rglob("*.part"))


def test_publishing_again_does_nothing(run: Path, place: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(place).rglob("*")}
    release, written = publish(run, place, name="m", label="v1")
    assert not written
    assert {path: path.stat().st_mtime_ns for path in Path(place).rglob("*")} == before
    assert publish(run, place, name="m", label="v2") == (release, True)  # a second name for the same content


def test_other_content_under_a_name_is_refused(run: Path, place: str, edit: Any) -> None:
    old, _ = publish(run, place, name="m")
    edit("eval/grpo/ledger_open.json", lambda r: r["mmreason"]["summary"].update(unread_rate=0.5))
    with pytest.raises(UserError, match="@v1 holds other content"):
        publish(run, place, name="m", label="v1")
    new, written = publish(run, place, name="m", label="v2")
    assert written and new.revision != old.revision
    assert [pull_named(f"{place}{ref}").name for ref in ("", "@v1", "@v2")] == [
        new.revision,
        old.revision,
        new.revision,
    ]


@pytest.mark.parametrize("label", ["latest", "0123456789abcdef", "../x", "", ".v1"])
def test_a_label_that_means_something_else_is_refused(run: Path, tmp_path: Path, label: str) -> None:
    with pytest.raises(UserError, match="--revision"):
        publish(run, str(tmp_path / "place"), label=label)


def test_a_broken_publish_leaves_nothing_that_counts(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills at the third file."""
    written = []

    def full(source: Any, target: Any) -> None:
        written.append(target)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        Path(target).write_bytes(Path(source).read_bytes())

    monkeypatch.setattr("mmreason.release.store_folder.shutil.copyfile", full)
    with pytest.raises(UserError, match="no space left"):
        publish(run, str(tmp_path / "place"))
    assert FolderStore(tmp_path / "place").find(None) is None
    assert not list((tmp_path / "place").rglob(FILE))
    monkeypatch.undo()
    assert publish(run, str(tmp_path / "place"))[1]


def test_a_folder_of_other_things_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match=r"holds other files \(letter.txt\)"):
        publish(run, str(tmp_path / "home"))
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter.txt"]


def revision(place: str) -> Path:
    pointer = json.loads((Path(place) / "refs" / "latest.json").read_text(encoding="utf-8"))
    return Path(place) / str(pointer["revision"])


def test_links_in_a_place_are_not_followed(place: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_bytes((revision(place) / "config.json").read_bytes())
    (revision(place) / "config.json").unlink()
    (revision(place) / "config.json").symlink_to(secret)
    with pytest.raises(UserError, match="holds no links"):
        pull_named(place)


def test_a_listing_that_leaves_its_folder_is_refused(place: str, cache: Path) -> None:
    file = revision(place) / FILE
    listing = json.loads(file.read_text(encoding="utf-8"))
    listing["files"][0]["path"] = "../../../escaped.json"
    file.write_text(json.dumps(listing), encoding="utf-8")
    with pytest.raises(UserError, match="not a plain relative file name"):
        pull_named(place)
    assert not cache.exists()


def test_changed_bytes_are_refused_and_not_kept(place: str, cache: Path) -> None:
    weights = revision(place) / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(UserError, match=r"model.safetensors arrives .* with another checksum"):
        pull_named(place)
    assert not list(cache.rglob("model.safetensors*"))
    assert not list(cache.rglob(FILE))


def test_a_list_swapped_for_another_is_refused(place: str) -> None:
    file = revision(place) / FILE
    listing = json.loads(file.read_text(encoding="utf-8"))
    listing["files"].pop()
    file.write_text(json.dumps(listing), encoding="utf-8")
    with pytest.raises(UserError, match="the list was changed"):
        pull_named(place)


def test_what_a_model_may_be_called(place: str, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    final = run / "checkpoints" / "grpo" / "final"
    assert resolve_model(str(final)) == final
    assert resolve_model("Qwen/Qwen2.5-7B-Instruct") == Path("Qwen/Qwen2.5-7B-Instruct")
    pulled = resolve_model(place)
    assert resolve_model("m") == resolve_model(f"m@{pulled.name}") == pulled
    with pytest.raises(UserError, match="did you mean 'm'"):
        resolve_model("mm")
    with pytest.raises(UserError, match=r"with revision .*, not v9"):
        resolve_model("m@v9")
    with pytest.raises(UserError, match="neither a checkpoint folder"):
        resolve_model(str(tmp_path / "no" / "such"))
    (pulled / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config.json is damaged"):
        resolve_model("m")


def test_shipped_releases_have_a_name(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "shipped_dir", lambda: tmp_path)
    assert list(names.shipped()) == ["place"]
    assert pull_named("place").parent.name == "m"
    folder = pull_named("place")
    assert names.lines() == [
        f"place  {folder.name}  released, with the package, 0.1 MB",
        f"m  {folder.name}  pulled, {folder}",
    ]
