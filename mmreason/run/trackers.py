"""Where a step's numbers go besides metrics.jsonl: tensorboard, wandb, trackio, and one line on the terminal.

Nothing leaves this machine unless the environment asks for it: wandb runs offline without WANDB_MODE, trackio writes
to its local data base (TRACKIO_DIR).
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mmreason.errors import UserError, nearest, require
from mmreason.run.files import write_text
from mmreason.run.processes import is_main

Values = Mapping[str, Any]
"""A row of metrics; words go where a tracker takes words, else they are left out."""


class Tracker(Protocol):
    """One service that draws curves."""

    def log(self, step: int, values: Values) -> None:
        """One step."""

    def close(self) -> None:
        """Write out what is held back."""


def open_trackers(names: Sequence[str], folder: Path, config: dict[str, Any], start: int = 0) -> list[Tracker]:
    """Open the trackers `names` for the run in `folder`, to log the steps after `start`.

    The main process alone has any; the others get an empty list.
    Raises UserError for an unknown name, and with the pip line for one that is not installed.
    """
    for name in names:
        if name not in OPENERS:
            raise UserError(f"no tracker is called {name!r}{nearest(name, OPENERS)}")
        require(name, "track", f"log to {name}")
    return [OPENERS[name](folder, config, start) for name in dict.fromkeys(names)] if is_main() else []


def numbers(values: Values) -> dict[str, float]:
    """The entries that a curve can be drawn of."""
    return {key: value for key, value in values.items() if isinstance(value, int | float)}


class _Tensorboard:
    def __init__(self, folder: Path, config: dict[str, Any], start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # purge_step hides what a killed run had logged beyond the checkpoint it goes on from.
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1 if start else None)
        self._writer.add_text("config", f"```\n{json.dumps(config, indent=1, default=str)}\n```", start)

    def log(self, step: int, values: Values) -> None:
        for key, value in numbers(values).items():
            self._writer.add_scalar(key, value, step)
        for key in values.keys() - numbers(values).keys():
            self._writer.add_text(key, str(values[key]), step)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    """Steps that an earlier, killed run has already logged are kept as they were: they are the same numbers."""

    def __init__(self, folder: Path, config: dict[str, Any], start: int) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "mmreason"),
            id=_kept_id(folder / "wandb" / "run_id"),
            name=folder.name,
            dir=str(folder),
            config=config,
            mode=os.environ.get("WANDB_MODE", "offline"),
            resume="allow" if start else None,
        )

    def log(self, step: int, values: Values) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


def _kept_id(path: Path) -> str:
    """The same for all attempts at one run, so that a sync joins them; gone with the folder."""
    if not path.is_file():
        write_text(path, secrets.token_hex(8) + "\n")
    return path.read_text(encoding="utf-8").strip()


class _Trackio:
    def __init__(self, folder: Path, config: dict[str, Any], start: int) -> None:
        import trackio

        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", "mmreason"),
            name=folder.name,
            config=config,
            resume="allow" if start else "never",
        )

    def log(self, step: int, values: Values) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


OPENERS: dict[str, Callable[[Path, dict[str, Any], int], Tracker]] = {
    "tensorboard": _Tensorboard,
    "wandb": _Wandb,
    "trackio": _Trackio,
}


SHOWN = (
    ("reward", "reward", ".3f"),
    ("accuracy", "acc", ".3f"),
    ("length", "len", ".0f"),
    ("entropy", "H", ".3f"),
    ("mismatch/gap_mean", "gap", ".1e"),
)
"""Metric, its label and its form in `line`."""


def line(values: Values, seconds: Mapping[str, float] | None = None) -> str:
    """A step in one line, for example 'reward 0.512  acc 0.480  len 231  H 0.83  gap 1.2e-05  410 tok/s'.

    tok/s are the tokens generated over all `seconds` of the step; alarms stand behind an exclamation mark.
    """
    parts = [f"{label} {values[key]:{form}}" for key, label, form in SHOWN if key in values]
    spent = sum((seconds or {}).values())
    if spent and "tokens/generated" in values:
        parts.append(f"{values['tokens/generated'] / spent:.0f} tok/s")
    return "  ".join(parts) + (f"  ! {values['alarms']}" if values.get("alarms") else "")
