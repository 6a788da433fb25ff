"""Answers are saved as they are drawn, so that an evaluation that was stopped continues where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmreason.config.recipe import EvalSettings
from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.rollout.engine import Engine
from mmreason.run.files import file_sha256, write_jsonl
from mmreason.run.progress import progress
from mmreason.suites.scoring import Output

Saved = dict[str, list[Output]]
"""Sample id -> its answers."""


def model_hash(model: Path | str) -> str:
    """16 hex digits over the names and bytes of a checkpoint's weights, settings and tokenizer.

    What is not a folder (a hub name) is hashed by its name: its bytes are not at hand.
    """
    path = Path(model)
    if not path.is_dir():
        return hashlib.sha256(str(model).encode()).hexdigest()[:16]
    files = sorted(file for file in path.iterdir() if file.suffix in (".safetensors", ".json", ".jinja", ".txt"))
    if not files:
        raise UserError(f"{path} holds no checkpoint (no .safetensors or .json); finish its training stage first")
    lines = [f"{file.name} {file_sha256(file)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def samples_hash(samples: Sequence[Sample]) -> str:
    """16 hex digits over ids, prompts and gold answers, in order."""
    texts = [json.dumps([s.id, [m.text for m in s.prompt], s.answer.gold], ensure_ascii=False) for s in samples]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def read_saved(path: Path, key: Mapping[str, Any]) -> Saved:
    """The saved answers, or none when they were drawn under another key (model, protocol, suite, sampling)."""
    if not path.is_file():
        return {}
    header, *rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    if header["key"] != key:
        return {}
    return {row["id"]: [Output(**output) for output in row["outputs"]] for row in rows}


def _write_saved(path: Path, key: Mapping[str, Any], saved: Saved) -> None:
    rows = [{"id": name, "outputs": [asdict(output) for output in outputs]} for name, outputs in saved.items()]
    write_jsonl(path, [{"key": dict(key)}, *rows])


def draw_answers(
    engine: Engine,
    samples: Sequence[Sample],
    settings: EvalSettings,
    seed: int,
    path: Path,
    key: Mapping[str, Any],
    title: str,
) -> list[list[Output]]:
    """`settings.runs` answers for each sample, in order; chunks of `settings.batch` are saved at `path`.

    A chunk is seeded by its position, so a resumed evaluation draws what an uninterrupted one would.
    """
    saved = read_saved(path, key)
    with progress(title, len(samples) * settings.runs, len(saved) * settings.runs) as tick:
        for start in range(0, len(samples), settings.batch):
            chunk = samples[start : start + settings.batch]
            if all(sample.id in saved for sample in chunk):
                continue
            answers = engine.generate(chunk, settings.sampling, settings.runs, seed + start, tick)
            for sample, generations in zip(chunk, answers, strict=True):
                saved[sample.id] = [Output(g.text, g.stop.value, len(g.ids)) for g in generations]
            _write_saved(path, key, saved)
    return [saved[sample.id] for sample in samples]
