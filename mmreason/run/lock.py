"""One process a run folder: a lock that a dead process cannot keep."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from mmreason.errors import UserError


def _me() -> dict[str, Any]:
    process = psutil.Process()
    return {"pid": process.pid, "host": socket.gethostname(), "started": process.create_time()}


def _alive(owner: dict[str, Any]) -> bool:
    """Whether the process that wrote the lock still runs; another machine's cannot be asked and counts as alive."""
    if owner["host"] != socket.gethostname():
        return True
    try:
        process = psutil.Process(owner["pid"])
        # A process id is used again after a reboot, and a killed process nobody waited for lingers as a zombie.
        same = abs(process.create_time() - float(owner["started"])) < 1.0
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _owner(path: Path) -> dict[str, Any] | None:
    """Who holds the lock; None when it is gone or was cut while it was written."""
    try:
        owner: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return owner
    except (FileNotFoundError, json.JSONDecodeError):
        return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder`/.lock for the block. Raises UserError while another live process holds it."""
    path = folder / ".lock"
    owner = _owner(path)
    if owner is not None and _alive(owner):
        raise UserError(
            f"{folder} is in use by process {owner['pid']} on {owner['host']}: wait for it, choose another --out, "
            f"or remove {path} if that process is not mmreason"
        )
    path.unlink(missing_ok=True)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        raise UserError(f"{folder} was taken by another process this moment; choose another --out") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(_me(), file)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
