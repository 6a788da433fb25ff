"""The two commands as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmreason.cli import app
from mmreason.errors import UserError

runner = CliRunner()


def printed(*words: str) -> list[str]:
    """Standard output of a command that succeeds."""
    done = runner.invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout.splitlines()


def test_publish_and_pull_say_what_to_do_next(run: Path, tmp_path: Path) -> None:
    place = str(tmp_path / "place")
    first = printed("publish", str(run), place, "--name", "m", "--revision", "v1")
    assert first[0].startswith("published: m ")
    assert first[1] == f"pull it with: mmreason pull {place}@v1"
    assert printed("publish", str(run), place, "--name", "m")[0].endswith("already: nothing to publish")
    (folder,) = printed("pull", f"{place}@v1")
    assert (Path(folder) / "release.json").is_file()
    assert f"m  {Path(folder).name}  pulled, {folder}" in printed("list", "models")


def test_a_refusal_is_one_line(run: Path, tmp_path: Path) -> None:
    (run / "report.html").unlink()
    with pytest.raises(UserError, match=r"cannot be published, it lacks: evaluation report \(report.html\)"):
        runner.invoke(app, ["publish", str(run), str(tmp_path / "place")], catch_exceptions=False)
