"""`mmreason doctor`: what this machine can run, and the line that mends what it cannot."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

TRANSFORMERS_RANGE = ((5, 16), (5, 20))
TORCH_RANGE = ((2, 11), (2, 14))
EXTRAS = {
    "vllm": ("vllm", "fast sampling on a GPU"),
    "deepspeed": ("deepspeed", "ZeRO training on several GPUs"),
    "video": ("av", "reading video"),
    "eval": ("lm_eval", "lm-eval's own tasks"),
    "retrieval": ("bm25s", "retrieval environments"),
    "report": ("matplotlib", "figures outside the HTML report"),
    "dev": ("pytest", "running the tests"),
}
MIN_FREE_GIB = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `state` is ok, note (an optional thing is absent) or bad (the core cannot work)."""

    name: str
    state: str
    text: str

    @property
    def fatal(self) -> bool:
        return self.state == "bad"

    def line(self) -> str:
        return f"{self.state:<5}{self.name:<14}{self.text}"


def _version(package: str) -> tuple[int, int] | None:
    try:
        major, minor = metadata.version(package).split("+")[0].split(".")[:2]
        return int(major), int(minor)
    except metadata.PackageNotFoundError:
        return None


def _in_range(package: str, bounds: tuple[tuple[int, int], tuple[int, int]]) -> Check:
    found = _version(package)
    low, high = (".".join(map(str, bound)) for bound in bounds)
    pip = f"pip install '{package}>={low},<{high}'"
    if found is None:
        return Check(package, "bad", f"absent: {pip}")
    text = metadata.version(package)
    if not bounds[0] <= found < bounds[1]:
        return Check(package, "bad", f"{text} is outside {low} to {high}: {pip}")
    return Check(package, "ok", text)


def python() -> Check:
    """Python 3.11 or newer."""
    text = f"{sys.version.split()[0]} at {sys.executable}"
    return Check("python", "ok" if sys.version_info >= (3, 11) else "bad", text)


def torch() -> Check:
    """Version in range, and whether it sees a GPU."""
    check = _in_range("torch", TORCH_RANGE)
    if check.fatal:
        return check
    import torch as module

    if module.cuda.is_available():
        return Check("torch", "ok", f"{check.text}, {module.cuda.device_count()} x {module.cuda.get_device_name(0)}")
    return Check("torch", "ok", f"{check.text}, CPU only, {module.get_num_threads()} threads")


def transformers() -> Check:
    """The range that current vLLM accepts too."""
    return _in_range("transformers", TRANSFORMERS_RANGE)


def torchvision() -> Check:
    """Not needed. Where it is there, its import must not die, since transformers and vLLM try it."""
    if importlib.util.find_spec("torchvision") is None:
        return Check("torchvision", "ok", "absent; not needed, pictures are read with Pillow")
    command = [sys.executable, "-c", "import torchvision"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode == 0:
        return Check("torchvision", "ok", metadata.version("torchvision"))
    if "torchvision::nms" in done.stderr:
        text = (
            "its import dies: it was built for another torch, so its operators (nms, qnms) are not registered. "
            "Mend: pip uninstall torchvision (it is not needed), or install the build that matches torch: "
            "the CPU index on PyTorch's install page has one for the CPU"
        )
    else:
        text = f"its import dies: {(done.stderr.strip().splitlines() or ['no message'])[-1]}; pip uninstall torchvision"
    return Check("torchvision", "bad", text)


def ffmpeg() -> Check:
    """Needed by video readers alone."""
    found = shutil.which("ffmpeg")
    return Check("ffmpeg", "ok" if found else "note", found or "absent; needed only to cut and convert video")


def disk() -> Check:
    """Free space where runs go by default."""
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    text = f"{free:.1f} GiB free in {Path.cwd()}"
    return Check("disk", "ok" if free >= MIN_FREE_GIB else "bad", text)


def data() -> Check:
    """MMREASON_DATA names the folder of real data sets that tests and recipes may read."""
    value = os.environ.get("MMREASON_DATA")
    if not value:
        return Check("MMREASON_DATA", "note", "unset; tests on real data are skipped, runs use the embedded default")
    if not Path(value).is_dir():
        return Check("MMREASON_DATA", "bad", f"names {value}, which is not a folder")
    return Check("MMREASON_DATA", "ok", value)


def extra(name: str) -> Check:
    """One optional part, with the pip line that brings it."""
    module, purpose = EXTRAS[name]
    if importlib.util.find_spec(module) is None:
        return Check(name, "note", f"absent ({purpose}): pip install 'mmreason[{name}]'")
    return Check(name, "ok", purpose)


CHECKS: tuple[Callable[[], Check], ...] = (python, torch, transformers, torchvision, ffmpeg, disk, data)


def examine() -> list[Check]:
    """All findings, the core first."""
    return [*(check() for check in CHECKS), *(extra(name) for name in EXTRAS)]
