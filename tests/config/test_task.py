"""What a system declares in place of its domain."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmreason.cli_job import resolve
from mmreason.config import load_domain, with_task
from mmreason.config.task import Task
from mmreason.errors import UserError
from mmreason.project import project_dir
from mmreason.protocol import Protocol

VIDEO = project_dir() / "domains" / "video"


def test_what_a_task_leaves_out_is_the_domains() -> None:
    domain = load_domain(VIDEO)
    changed = with_task(domain, Task.model_validate({"max_turns": 3, "media": {"frame_rule": "centres:8"}}))
    assert changed.file.max_turns == 3 and changed.file.media.frame_rule == "centres:8"
    assert changed.file.prompts == domain.file.prompts and changed.sources == domain.sources
    assert with_task(domain, None) is domain and with_task(domain, Task()).file == domain.file
    assert Protocol.of(changed).hash != Protocol.of(domain).hash


def test_a_system_is_resolved_with_its_task(tmp_path: Path) -> None:
    job = resolve("earl", "cpu", None, tmp_path, ["task.max_turns=2"])
    assert job.domain.file.environment == "earl/environment.py:frames" and job.domain.file.max_turns == 2
    assert not job.domain.file.system_prompt
    assert "select_frames" in (resolve("earl", "paper", None, tmp_path, []).domain.file.system_prompt or "")
    with pytest.raises(UserError, match=r"task.max_turn'.*max_turns"):
        resolve("earl", "cpu", None, tmp_path, ["task.max_turn=2"])
