"""Publishing to and pulling from an S3-compatible server on loopback (moto's), through a proxy that cuts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.release.listing import FILE, read_kept
from mmreason.release.names import pull_named
from mmreason.release.publish import publish

boto3 = pytest.importorskip("boto3", reason="S3 places need boto3: pip install 'mmreason[s3]'")
moto_server = pytest.importorskip("moto.server", reason="the S3 tests need moto's server: pip install 'moto[server]'")
proxies = load_module(Path(__file__).with_name("cutting_proxy.py"))
PLACE = "s3://models/team/m"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """host:port of moto."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    threaded = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    threaded.start()
    host, port = threaded.get_host_and_port()
    yield f"{host}:{port}"
    threaded.stop()


@pytest.fixture
def proxy(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The way to an empty bucket `models`."""
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with proxies.proxied(server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        client = boto3.client("s3")
        client.create_bucket(Bucket="models")
        for item in client.list_objects_v2(Bucket="models").get("Contents", []):
            client.delete_object(Bucket="models", Key=item["Key"])
        proxy.seen.clear()
        yield proxy


def keys() -> list[str]:
    return sorted(item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket="models").get("Contents", []))


def test_pull_gives_back_every_byte(run: Path, proxy: Any) -> None:
    release, written = publish(run, PLACE, label="v1")
    assert written and release.name == "m"
    assert f"team/m/{release.revision}/model.safetensors" in keys()
    folder = pull_named(f"{PLACE}@v1")
    assert read_kept(folder) == release
    assert (folder / "model.safetensors").read_bytes() == (
        run / "checkpoints" / "grpo" / "final" / "model.safetensors"
    ).read_bytes()
    assert publish(run, PLACE, label="v1") == (release, False)


def test_the_listing_is_sent_last(run: Path, proxy: Any) -> None:
    release, _ = publish(run, PLACE, label="v1")
    sent = [path.removeprefix("/models/team/m/") for method, path, _ in proxy.seen if method == "PUT"]
    assert sent[-3:] == [f"{release.revision}/{FILE}", "refs/v1.json", "refs/latest.json"]


def test_a_publish_that_broke_off_does_not_count_and_continues(
    run: Path, proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmreason.release.store_s3 import S3Store

    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "_write", lambda self, path, data: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            publish(run, PLACE)
    assert "model.safetensors" in "".join(keys())
    with pytest.raises(UserError, match="holds no release"):
        pull_named(PLACE)
    proxy.seen.clear()
    release, _ = publish(run, PLACE)
    sent = [path.rsplit("/", 1)[-1] for method, path, _ in proxy.seen if method == "PUT"]
    assert sent == [FILE, "latest.json"]  # the files were there, with their checksums
    assert pull_named(PLACE).name == release.revision


def test_other_content_under_a_name_is_refused(run: Path, proxy: Any, edit: Any) -> None:
    publish(run, PLACE, label="v1")
    edit("eval/grpo/ledger_open.json", lambda r: r["mmreason"]["summary"].update(unread_rate=0.5))
    before = keys()
    with pytest.raises(UserError, match="@v1 holds other content"):
        publish(run, PLACE, label="v1")
    assert keys() == before


def test_a_broken_download_continues_where_it_was(run: Path, proxy: Any) -> None:
    """The server ends the connection twice inside the weights; what came is not asked for again."""
    publish(run, PLACE)
    proxy.cuts = {"model.safetensors": [1000, 500]}
    folder = pull_named(PLACE)
    assert proxy.ranges("model.safetensors") == [None, "bytes=1000-", "bytes=1500-"]
    assert not list(folder.rglob("*.part"))


def test_a_download_that_was_given_up_continues_with_the_next_command(run: Path, proxy: Any, cache: Path) -> None:
    publish(run, PLACE)
    proxy.cuts = {"model.safetensors": [1000, *[0] * 12]}
    with pytest.raises(UserError, match="broke off at 1000 of"):
        pull_named(PLACE)
    (part,) = cache.rglob("*.part")
    assert part.stat().st_size == 1000
    assert not list(cache.rglob(FILE))  # nothing counts yet
    proxy.cuts.clear()
    proxy.seen.clear()
    pull_named(PLACE)
    assert proxy.ranges("model.safetensors") == ["bytes=1000-"]
    assert len(proxy.ranges("/config.json")) == 0  # whole files are not fetched twice


def test_a_part_of_other_bytes_is_thrown_away(run: Path, proxy: Any, cache: Path) -> None:
    release, _ = publish(run, PLACE)
    folder = cache / "models" / "m" / release.revision
    folder.mkdir(parents=True)
    (folder / "model.safetensors.part").write_bytes(b"x" * 1000)
    pull_named(PLACE)
    assert proxy.ranges("model.safetensors") == ["bytes=1000-", None]


def test_no_bucket_is_said(run: Path, proxy: Any) -> None:
    with pytest.raises(UserError, match="NoSuchBucket"):
        publish(run, "s3://nowhere/m")


def test_a_server_that_is_down_is_said(run: Path, proxy: Any) -> None:
    proxy.down = True
    with pytest.raises(UserError, match="broke off"):
        publish(run, PLACE)
    with pytest.raises(UserError, match=r"cannot be reached .* the cache holds nothing from it"):
        pull_named(PLACE)
