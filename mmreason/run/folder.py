"""The run folder: one place that knows where everything of a run lies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.run.files import write_json


class RunFolder:
    """Paths and stage marks of one run. Creating it makes the folder; a file in its place is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise UserError(f"cannot make the run folder {self.path}: {error.strerror}; choose another --out") from None
        if not os.access(self.path, os.W_OK):
            raise UserError(f"the run folder {self.path} is not writable; choose another --out")

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def data(self) -> Path:
        """sft.parquet, sft_unverified.parquet, rl.parquet, dropped.jsonl, report.json, decontamination.json,
        train_documents.json, cache/, made/."""
        return self.path / "data"

    @property
    def made(self) -> Path:
        """Pictures of generated sets; the media root of runs without a data folder."""
        return self.data / "made"

    @property
    def checkpoints(self) -> Path:
        """sft/ and grpo/, each with step folders and `final/` in transformers layout."""
        return self.path / "checkpoints"

    @property
    def rollouts(self) -> Path:
        """step_000001.parquet and on."""
        return self.path / "rollouts"

    @property
    def eval(self) -> Path:
        """<stage>/<suite>.json (results) and <stage>/<suite>.samples.jsonl; stage is base, sft or grpo."""
        return self.path / "eval"

    @property
    def media_root(self) -> Path | None:
        """Folder that picture paths of the samples are relative to, as the data stage recorded it."""
        file = self.data / "media_root.json"
        return Path(json.loads(file.read_text(encoding="utf-8"))["path"]) if file.is_file() else None

    def final(self, stage: str) -> Path:
        """The finished model of a stage ('base', 'sft', 'grpo')."""
        return self.checkpoints / stage / "final"

    def is_done(self, stage: str) -> bool:
        """A stage that finished leaves a mark; a resumed run skips it."""
        return (self.path / "stages" / f"{stage}.json").is_file()

    def mark_done(self, stage: str, **facts: Any) -> None:
        """Record that a stage finished, with what it wants to say about it."""
        write_json(self.path / "stages" / f"{stage}.json", facts)

    def facts(self, stage: str) -> dict[str, Any]:
        """What `mark_done` recorded."""
        facts: dict[str, Any] = json.loads((self.path / "stages" / f"{stage}.json").read_text(encoding="utf-8"))
        return facts
