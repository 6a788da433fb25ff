"""`mmreason publish`: check a run, list its files, write them to a place; half of a release never counts as one."""

from __future__ import annotations

import sys
from pathlib import Path

from mmreason.errors import UserError
from mmreason.project import project_dir
from mmreason.release.amount import amount
from mmreason.release.check import examine
from mmreason.release.contents import contents, listing
from mmreason.release.licence import OWN
from mmreason.release.listing import Release, is_name
from mmreason.release.store import Store, Unreachable, check_label, open_store


def publish(
    run: Path, dest: str, name: str | None = None, label: str | None = None, licence: str | None = None
) -> tuple[Release, bool]:
    """Publish the finished model of a run; returns the release and whether anything had to be written.

    Raises UserError for a run that lacks something, for a place that cannot be reached or refuses, and when `label`
    already names other content.
    """
    check_label(label)
    store = open_store(dest)
    name = name or store.default_name
    if not is_name(name):
        raise UserError(f"--name {name!r}: letters, digits, dot, dash and underscore are expected, at most 96")
    print(f"publish {name}: checking {run} and its checksums", file=sys.stderr)
    source = examine(run, licence)
    refuse_shipping(store, source.licence)
    files = contents(source, name)
    release = listing(files, name)
    try:
        return release, _put(store, files, release, label)
    except Unreachable as error:
        raise UserError(f"{store.address} broke off ({error}): run the same command again to continue") from error


def _put(store: Store, files: dict[str, Path | bytes], release: Release, label: str | None) -> bool:
    labelled = store.find(label) if label else None
    if labelled is not None and labelled.release.revision != release.revision:
        raise UserError(
            f"{store.address}@{label} holds other content ({labelled.release.revision}, this is {release.revision}): "
            "a published revision does not change, choose another --revision"
        )
    latest = store.find(None)
    if latest is not None and latest.release == release and (label is None or labelled is not None):
        return False
    with amount(f"publish {release.name}", release.size) as tick:
        store.put(files, release, label, tick)
    return True


def refuse_shipping(store: Store, licence: str) -> None:
    """Raise UserError when weights with limits would travel inside this package."""
    if Path(store.address).is_relative_to(project_dir() / "model_cards") and licence != OWN:
        raise UserError(f"{store.address} travels inside the package, which holds {OWN} weights alone: choose another")
