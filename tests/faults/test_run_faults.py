"""A run that cannot start says why in one line; a run that was stopped goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Cli

ROOT = Path(__file__).resolve().parents[2]
STEPS = 150
TINY = [f"sft.max_steps={STEPS}", "sft.batch=4", "sft.save_every=5", "grpo=null", "eval.suites=[]", "launch.threads=1"]


@pytest.fixture
def words_only(own_domain: Path) -> Path:
    """The domain without its pictures: a smaller model, faster steps."""
    rows = (own_domain / "rows.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (own_domain / "rows.jsonl").write_text("".join(row for row in rows if "images" not in row), encoding="utf-8")
    return own_domain


def begin(own_domain: Path, out: Path) -> subprocess.Popen[str]:
    """Start a run that takes long enough to be stopped, in a process group of its own."""
    command = [sys.executable, "-m", "mmreason.cli", "run", str(own_domain), "--out", str(out), *TINY]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=out.parent, env=environment, stderr=subprocess.PIPE, text=True)


def steps(out: Path) -> list[int]:
    """Steps of the cold start that the metrics hold."""
    path = out / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    return [json.loads(line)["step"] for line in lines]


def wait_for_step(process: subprocess.Popen[str], out: Path, step: int) -> None:
    """Until the run has logged `step`; fails when it ends before."""
    deadline = time.monotonic() + 120
    while len(steps(out)) < step:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sft.optim.lrr=1"], "did you mean 'lr'"),
        (["--data", "nowhere"], "no data folder nowhere"),
        (["eval.limit=-x"], "eval.limit"),
    ],
)
def test_a_wrong_request_leaves_no_folder(
    cli: Cli, own_domain: Path, tmp_path: Path, words: list[str], expected: str
) -> None:
    done = cli("run", str(own_domain), "--out", str(tmp_path / "out"), *words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_folders_place_is_refused(cli: Cli, own_domain: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    done = cli("run", str(own_domain), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "choose another --out" in done.stderr
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "rows.jsonl"),  # an empty set
        (b'{"id": "a", "question": "caf\xe9", "answer": "1"}\n', "UTF-8"),
        (
            b'{"id": "a", "question": "q", "answer": "1"}\n{"id": "a", "question": "r", "answer": "2"}\n',
            "a' occurs twice",
        ),
        (b'{"id": "a", "questoin": "q", "answer": "1"}\n', "question"),
        (b'{"id": "a", "question": "q", "answer"\n', "rows.jsonl"),
        (b'{"id": "a", "question": "q", "answer": "1", "images": ["none.png"]}\n', "none.png"),
    ],
    ids=["empty", "not UTF-8", "duplicate id", "wrong field", "broken JSON", "missing picture"],
)
def test_wrong_rows_are_one_line(cli: Cli, own_domain: Path, tmp_path: Path, content: bytes, expected: str) -> None:
    (own_domain / "rows.jsonl").write_bytes(content)
    done = cli("run", str(own_domain), "--out", str(tmp_path / "out"))
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_stopped_run_goes_on(cli: Cli, words_only: Path, tmp_path: Path) -> None:
    """Ctrl-C, then kill -9, then to the end; meanwhile nobody else gets the folder."""
    out = tmp_path / "out"
    first = begin(words_only, out)
    wait_for_step(first, out, 5)
    intruder = cli("run", str(words_only), "--out", str(out), *TINY)
    assert intruder.returncode == 2
    assert f"in use by process {first.pid}" in intruder.stderr
    first.send_signal(signal.SIGINT)
    _, stderr = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "mmreason: stopped; run the same command again to continue" in stderr
    assert "Traceback" not in stderr
    stopped = len(steps(out))
    assert 5 <= stopped < STEPS

    second = begin(words_only, out)
    wait_for_step(second, out, stopped + 10)
    second.kill()
    second.communicate(timeout=60)
    assert stopped + 10 <= len(steps(out)) < STEPS

    done = cli("run", str(words_only), "--out", str(out), *TINY)
    assert done.returncode == 0, done.stderr
    assert "data: finished before" in done.stderr
    assert steps(out) == list(range(1, STEPS + 1))
    assert (out / "report.html").is_file()


def test_a_folder_of_other_settings_is_refused(cli: Cli, words_only: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("data", str(words_only), "--out", str(out)).returncode == 0
    done = cli("data", str(words_only), "--out", str(out), "seeds.data=7")
    assert done.returncode == 2
    assert "recipe.seeds.data: 0 -> 7" in done.stderr
    assert "new --out" in done.stderr
