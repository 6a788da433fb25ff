"""metrics.jsonl: one row a step; timings in a field of their own, so that resumed runs can be compared."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmreason.run.files import write_jsonl
from mmreason.run.processes import is_main


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole rows; a last line cut by a kill is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


class Metrics:
    """Appends rows {"stage", "step", "time", ...}. Opening at a step forgets what lies beyond it.

    Of several training processes the main one writes; the others check their numbers and write nothing.
    """

    def __init__(self, path: Path, stage: str, start_step: int) -> None:
        self.stage = stage
        if not is_main():
            self._handle = open(os.devnull, "a", encoding="utf-8")
            return
        rows = [row for row in read_metrics(path) if row["stage"] != stage or row["step"] <= start_step]
        write_jsonl(path, rows)
        self._handle = path.open("a", encoding="utf-8")

    def log(self, step: int, values: Mapping[str, float | int | str], seconds: Mapping[str, float]) -> None:
        """One row. Raises ValueError on NaN or infinity: a broken number must stop the run, not hide in a log."""
        for key, value in values.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{self.stage} step {step}: metric {key} is {value}")
        row = {"stage": self.stage, "step": step, **values, "time": {k: round(v, 4) for k, v in seconds.items()}}
        self._handle.write(json.dumps(row) + "\n")
        self._handle.flush()

    def close(self) -> None:
        self._handle.close()
