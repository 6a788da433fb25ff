"""One process a run folder."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mmreason.errors import UserError
from mmreason.run.lock import locked


def write_lock(folder: Path, **changes: object) -> None:
    me = psutil.Process()
    owner = {"pid": me.pid, "host": socket.gethostname(), "started": me.create_time(), **changes}
    (folder / ".lock").write_text(json.dumps(owner), encoding="utf-8")


def test_a_lock_is_held_and_given_back(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(UserError, match="in use by process"), locked(tmp_path):
            pass
        assert (tmp_path / ".lock").is_file()
    assert not (tmp_path / ".lock").exists()


def test_a_lock_is_given_back_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), locked(tmp_path):
        raise ValueError("broken")
    assert not (tmp_path / ".lock").exists()


def test_a_dead_process_keeps_nothing(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    write_lock(tmp_path, pid=child.pid)
    with locked(tmp_path):
        pass


def test_a_zombie_keeps_nothing(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = psutil.Process(child.pid).create_time()
    child.kill()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    write_lock(tmp_path, pid=child.pid, started=started)
    with locked(tmp_path):
        pass
    child.wait()


def test_a_number_used_again_by_another_process_keeps_nothing(tmp_path: Path) -> None:
    write_lock(tmp_path, started=psutil.Process().create_time() - 1000)
    with locked(tmp_path):
        pass


def test_a_lock_cut_while_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text('{"pid": 1', encoding="utf-8")
    with locked(tmp_path):
        pass


def test_another_machine_is_believed(tmp_path: Path) -> None:
    write_lock(tmp_path, host="elsewhere", pid=1)
    with pytest.raises(UserError, match=r"on elsewhere.*remove"), locked(tmp_path):
        pass
