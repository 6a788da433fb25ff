"""Publishing to and pulling from a Hub on loopback, through huggingface_hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.release.listing import FILE, read_kept
from mmreason.release.names import pull_named
from mmreason.release.publish import publish

server: Any = load_module(Path(__file__).with_name("hub_server.py"))
PLACE = "hub:team/m"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty Hub; huggingface_hub may use the network for it, and plain LFS."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_TOKEN", server.TOKEN)
    with server.serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_pull_gives_back_every_byte(run: Path, hub: Any) -> None:
    release, written = publish(run, PLACE, label="v1")
    assert written and hub.private
    assert hub.tags == {release.revision: hub.head, "v1": hub.head}
    assert set(hub.commits[hub.head]) == {entry.path for entry in release.files} | {FILE, ".gitattributes"}
    weights = (run / "checkpoints" / "grpo" / "final" / "model.safetensors").read_bytes()
    assert list(hub.objects.values()) == [weights]  # through LFS, the rest in the commit
    folder = pull_named(f"{PLACE}@v1")
    assert read_kept(folder) == release
    assert (folder / "model.safetensors").read_bytes() == weights
    assert pull_named(PLACE) == pull_named(f"{PLACE}@{release.revision}") == folder


def test_a_release_is_one_commit(run: Path, hub: Any) -> None:
    publish(run, PLACE)
    assert len(hub.commits) == 2  # the Hub's own first one, then everything at once
    posts = list(hub.posts)
    release, written = publish(run, PLACE)
    assert not written
    assert hub.posts == posts
    assert publish(run, PLACE, label="v1") == (release, True)
    assert len(hub.commits) == 2 and hub.tags["v1"] == hub.head


def test_new_content_replaces_main_and_leaves_old_revisions(run: Path, hub: Any, edit: Any) -> None:
    old, _ = publish(run, PLACE, label="v1")
    edit("eval/grpo/ledger_open.json", lambda r: r["mmreason"]["summary"].update(unread_rate=0.5))
    with pytest.raises(UserError, match="@v1 holds other content"):
        publish(run, PLACE, label="v1")
    edit("manifest.json", lambda m: m["settings"]["recipe"]["eval"].update(embedded_suites=["ledger_open"]))
    (run / "eval" / "grpo" / "ledger_mcq.json").unlink()
    new, _ = publish(run, PLACE, label="v2")
    assert "evaluation/ledger_mcq.json" not in hub.commits[hub.head]
    assert [pull_named(f"{PLACE}{ref}").name for ref in ("", "@v1", "@v2")] == [
        new.revision,
        old.revision,
        new.revision,
    ]


def test_a_broken_download_continues_where_it_was(run: Path, hub: Any) -> None:
    publish(run, PLACE)
    hub.cuts = [1000, 500]
    pull_named(PLACE)
    assert hub.ranges == [None, "bytes=1000-", "bytes=1500-"]


def test_a_server_without_ranges_is_read_from_the_beginning(run: Path, hub: Any) -> None:
    publish(run, PLACE)
    hub.cuts, hub.honours_ranges = [1000], False
    folder = pull_named(PLACE)
    assert hub.ranges == [None, "bytes=1000-"]
    assert read_kept(folder) is not None


def test_changed_bytes_are_refused(run: Path, hub: Any) -> None:
    publish(run, PLACE)
    hub.commits[hub.head]["config.json"] = b"{}"
    with pytest.raises(UserError, match=r"config.json arrives as 2 bytes with another checksum"):
        pull_named(PLACE)


def test_a_repository_of_other_things_is_left_alone(run: Path, hub: Any) -> None:
    hub.commit({".gitattributes": b"", "pytorch_model.bin": b"x"})
    with pytest.raises(UserError, match="holds other files"):
        publish(run, PLACE)
    assert len(hub.commits) == 1


def test_what_is_not_there_is_said(run: Path, hub: Any) -> None:
    with pytest.raises(UserError, match="holds no release"):
        pull_named(PLACE)
    publish(run, PLACE)
    with pytest.raises(UserError, match="holds no release 'v9'"):
        pull_named(f"{PLACE}@v9")


def test_a_wrong_token_is_said(run: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match=r"answers 401 .* the token"):
        publish(run, PLACE)


def test_offline_mode_is_kept(run: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(run, PLACE)
    folder = pull_named(PLACE)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.ranges)
    assert pull_named(PLACE) == folder
    assert len(hub.ranges) == asked


@pytest.mark.parametrize("address", ["hub:m", "hub:a/b/c", "hub:../m", "hub:a/..", "http://host/m"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="expected"):
        pull_named(address)
