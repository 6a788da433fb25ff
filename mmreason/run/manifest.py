"""manifest.json: what made this run folder, so that a number in it can be traced and a resume can be trusted."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import mmreason
from mmreason.config import Domain, Recipe
from mmreason.errors import UserError
from mmreason.project import project_dir
from mmreason.run.files import file_sha256, write_json
from mmreason.run.folder import RunFolder

PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "numpy", "pyarrow", "math-verify", "peft", "vllm")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can move a number; absent ones are left out."""
    found = {"python": platform.python_version(), "mmreason": mmreason.__version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _output(*command: str, cwd: Path | None = None) -> str | None:
    """Standard output of a command, None when it is absent or fails."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=20)
    return done.stdout.strip() if done.returncode == 0 else None


def commit() -> str:
    """Git commit of the checkout ('-dirty' when files differ from it), or the installed package's version."""
    root = project_dir()
    if not (root / ".git").exists():
        return f"mmreason {mmreason.__version__}"
    head = _output("git", "rev-parse", "HEAD", cwd=root)
    if head is None:
        return f"mmreason {mmreason.__version__}"
    changed = _output("git", "status", "--porcelain", "--untracked-files=no", cwd=root)
    return f"{head}-dirty" if changed else head


def hardware() -> dict[str, Any]:
    """Processor, cores, memory and GPUs of this machine. Imports no torch."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    gpus = _output("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "gpus": gpus.splitlines() if gpus else [],
    }


def settings(recipe: Recipe, domain: Domain, data_dir: Path | None) -> dict[str, Any]:
    """Everything that must stay the same for a run folder to be continued; servers may move to other machines."""
    return {
        "recipe": recipe.model_dump(mode="json", exclude={"domain": True, "grpo": {"server_urls"}}),
        "domain": domain.file.model_dump(mode="json"),
        "data_dir": str(data_dir) if data_dir else None,
    }


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as 'a.b.c' -> value; lists are values."""
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """'key: old -> new' for every setting that differs."""
    before, after = flatten(old), flatten(new)
    keys = sorted(before.keys() | after.keys())
    return [f"{key}: {before.get(key)!r} -> {after.get(key)!r}" for key in keys if before.get(key) != after.get(key)]


def read_manifest(folder: RunFolder) -> dict[str, Any]:
    """The manifest of a run. Raises UserError when the folder has none."""
    if not folder.manifest.is_file():
        raise UserError(f"{folder.path} is not a run folder: it has no manifest.json")
    manifest: dict[str, Any] = json.loads(folder.manifest.read_text(encoding="utf-8"))
    return manifest


def check_settings(folder: RunFolder, recipe: Recipe, domain: Domain, data_dir: Path | None) -> None:
    """Refuse to continue a run that was started with other settings, naming the keys that differ."""
    if not folder.manifest.is_file():
        return
    changed = differences(read_manifest(folder)["settings"], settings(recipe, domain, data_dir))
    if changed:
        shown = "; ".join(changed[:4]) + (f"; and {len(changed) - 4} more" if len(changed) > 4 else "")
        raise UserError(f"{folder.path} was made with other settings ({shown}): choose a new --out")


def start(folder: RunFolder, recipe: Recipe, domain: Domain, data_dir: Path | None, command: list[str]) -> None:
    """Write the manifest, or add this start to the one that is there.

    Raises UserError when the folder was made with other settings.
    """
    from mmreason.protocol import Protocol

    check_settings(folder, recipe, domain, data_dir)
    begun: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "commit": commit(),
        "versions": versions(),
        "hardware": hardware(),
    }
    old = read_manifest(folder) if folder.manifest.is_file() else {}
    files = domain_hashes(domain)
    first = old.get("domain", {}).get("files", files)
    begun["changed"] = sorted(name for name in first.keys() | files.keys() if first.get(name) != files.get(name))
    if begun["changed"]:
        print(f"{domain.folder}: changed since this run began: {', '.join(begun['changed'])}", file=sys.stderr)
    manifest = {
        "system": recipe.system,
        "settings": settings(recipe, domain, data_dir),
        "seeds": recipe.seeds.model_dump(),
        "protocol": Protocol.of(domain).hash,
        "domain": {"name": domain.file.name, "folder": str(domain.folder), "files": first},
        "commit": old.get("commit", begun["commit"]),
        "versions": old.get("versions", begun["versions"]),
        "hardware": old.get("hardware", begun["hardware"]),
        "data": old.get("data", {}),
        "stages": old.get("stages", {}),
        "starts": [*old.get("starts", []), begun],
    }
    write_json(folder.manifest, manifest)


def domain_hashes(domain: Domain) -> dict[str, str]:
    """SHA-256 of every declaration, prompt and Python file of the domain folder."""
    kept = (".py", ".yaml", ".txt", ".md", ".j2")
    files = [path for path in sorted(domain.folder.rglob("*")) if path.is_file() and path.suffix in kept]
    return {path.relative_to(domain.folder).as_posix(): file_sha256(path) for path in files}


def finish_stage(folder: RunFolder, stage: str, seconds: float) -> None:
    """Add a finished stage, and after the data stage the hashes of what was built and of what it was read from."""
    manifest = read_manifest(folder)
    manifest["stages"][stage] = {
        "seconds": round(seconds, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "facts": folder.facts(stage),
    }
    if stage == "data":
        built = sorted(folder.data.glob("*.parquet"))
        manifest["data"] = {path.name: file_sha256(path) for path in built}
    write_json(folder.manifest, manifest)


def command_line() -> list[str]:
    """The command as typed, the program's own path cut to its name."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
