"""The files of a checkpoint that a release takes, and what a checkpoint lacks to be one that others can load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmreason.errors import UserError

INDEX = "model.safetensors.index.json"
ONE = "model.safetensors"
SETTINGS = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
)
"""What transformers writes and reads beside the weights."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a checkpoint. Raises UserError when the file is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}): write the checkpoint again") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} holds {type(found).__name__}, expected an object: write the checkpoint again")
    return found


def has_vision(checkpoint: Path) -> bool:
    """Whether the model reads pictures."""
    config = checkpoint / "config.json"
    return config.is_file() and "vision_config" in read_json(config)


def weight_files(checkpoint: Path) -> list[str]:
    """Names of the weight files, those of the index where the weights are in shards; existing or not."""
    index = checkpoint / INDEX
    if not index.is_file():
        return [ONE]
    return [INDEX, *sorted(set(map(str, read_json(index).get("weight_map", {}).values())))]


def model_files(checkpoint: Path) -> dict[str, Path]:
    """Name -> path of every file that a release takes. Links are refused."""
    names = [*SETTINGS, *weight_files(checkpoint)]
    links = [name for name in names if (checkpoint / name).is_symlink()]
    if links or checkpoint.is_symlink():
        raise UserError(f"{checkpoint / (links or [''])[0]} is a link: a release takes files alone, copy it there")
    return {name: checkpoint / name for name in names if (checkpoint / name).is_file()}


def _broken(path: Path) -> str | None:
    """Why a weight file cannot be read; None when its header fits its length."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            return None
    except (SafetensorError, OSError) as error:
        return str(error)


def absent_weights(checkpoint: Path) -> list[str]:
    """What is wrong with the weights; pickled ones count as none."""
    if not checkpoint.is_dir():
        return [f"weights (no folder {checkpoint.name} of a finished stage)"]
    names = weight_files(checkpoint)
    absent = [name for name in names if not (checkpoint / name).is_file()]
    if absent:
        return [f"weights ({', '.join(absent)} not in {checkpoint})"]
    return [
        f"weights ({name} is broken: {why})"
        for name in names
        if name.endswith(".safetensors") and (why := _broken(checkpoint / name))
    ]


def absent_files(checkpoint: Path) -> list[str]:
    """What a checkpoint lacks beside weights, in words that name the file."""
    there = model_files(checkpoint)
    absent = [name for name in ("config.json", "generation_config.json") if name not in there]
    absent += [f"tokenizer ({name})" for name in ("tokenizer.json", "tokenizer_config.json") if name not in there]
    if "chat_template.jinja" not in there:
        inside = "tokenizer_config.json" in there and read_json(there["tokenizer_config.json"]).get("chat_template")
        absent += [] if inside else ["chat template (chat_template.jinja)"]
    if has_vision(checkpoint) and not {"preprocessor_config.json", "processor_config.json"} & there.keys():
        absent.append("preprocessor_config.json (the model reads pictures)")
    if "config.json" in there and "auto_map" in read_json(there["config.json"]):
        absent.append("a config.json without auto_map (it asks for remote code, which a release may not)")
    return absent
