"""Answers on disk as they are drawn, so that an evaluation that was stopped continues where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.run.files import file_sha256, write_jsonl

Drawn = tuple[str, str, int, list[dict[str, Any]] | None, int]
"""Text, stop reason, the model's tokens, turns, visual tokens."""


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
    """16 hex digits over ids, prompts, media and gold answers, in order."""
    texts = [
        json.dumps(
            [s.id, [m.text for m in s.prompt], [ref.sha256 for ref in s.media], s.answer.gold], ensure_ascii=False
        )
        for s in samples
    ]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


class AnswerStore:
    """The answers of one evaluation; those drawn under another key (model, protocol, suite, sampling) are not taken.

    A file of lines that only grows: what a killed process left of its last line is not read.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self.path, self.key = path, dict(key)
        self.answers: dict[str, list[Drawn]] = self._read()
        write_jsonl(self.path, [{"key": self.key}, *map(_row, self.answers.items())])

    def add(self, drawn: Mapping[str, Sequence[Drawn]]) -> None:
        """Keep these, on disk too."""
        self.answers |= {name: list(answers) for name, answers in drawn.items()}
        lines = [json.dumps(_row(pair), ensure_ascii=False) + "\n" for pair in drawn.items()]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))

    def remove(self) -> None:
        """Delete the file, once the results hold every answer."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, list[Drawn]]:
        if not self.path.is_file():
            return {}
        *lines, _ = self.path.read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines]
        if not rows or rows[0].get("key") != self.key:
            return {}
        return {row["id"]: [tuple(drawn) for drawn in row["outputs"]] for row in rows[1:]}


def _row(pair: tuple[str, Sequence[Drawn]]) -> dict[str, Any]:
    return {"id": pair[0], "outputs": pair[1]}
