"""What several tests share: the command as a process, the real data sets, a small domain of one's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that needs the network is a mistake
os.environ.setdefault("OMP_NUM_THREADS", "1")

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def mmreason(cwd: Path, *words: str, package: Path = ROOT, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run `mmreason` as a process in `cwd`; `package` holds the package, this checkout or an installed copy."""
    command = [sys.executable, "-m", "mmreason.cli", *words]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds, or leaves, decoded frames and pulled models in the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMREASON_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout without network."""
    pytest.importorskip("hatchling", reason="the wheel is built with hatchling: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content as it lies in site-packages."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture(scope="session")
def command() -> Cli:
    """`mmreason` in a folder that the test names."""
    return mmreason


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """`mmreason` in an empty folder."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    return partial(mmreason, cwd)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    folder = Path(os.environ.get("MMREASON_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: set MMREASON_DATA, or put them at {folder}")
    return folder


DOMAIN_YAML = """\
name: shop
title: Counting and colours
intended_use: A test; it knows nothing of the world.
prompts: {default: prompt.txt}
rewards:
  - {term: "rewards.py:right_and_brief"}
"""

SOURCES_YAML = """\
own:
  title: Twenty rows made for a test
  licence: Apache-2.0
  commercial: true
  use: train
  reader: mmreason.data.own:read
  files: {train: [rows.jsonl]}
"""

PROMPT = """\
{question}
{options}
Think between <think> and </think>, then answer as <answer>\\boxed{...}</answer>.
"""

REWARDS_PY = '''\
"""The one reward of this domain."""

from mmreason.rewards.grade import grade


def right_and_brief(rollout, sample):
    """1 for the right answer, and a tenth for at most 40 characters."""
    right = grade(rollout.text, sample.answer).score
    return right + (0.1 if len(rollout.text) <= 40 else 0.0)
'''

COLOURS = {"A": "red", "B": "green", "C": "blue"}


def own_rows(folder: Path) -> list[dict[str, object]]:
    """12 sums in words and 8 questions about a picture, whose PNG files are drawn into `folder`/pictures."""
    sums = [
        {"id": f"sum-{n}", "question": f"A shop sells {n} red and {n + 2} green apples. How many in all?"}
        for n in range(12)
    ]
    rows: list[dict[str, object]] = [{**row, "answer": str(2 * n + 2)} for n, row in enumerate(sums)]
    (folder / "pictures").mkdir()
    for n in range(8):
        letter, colour = list(COLOURS.items())[n % 3]
        Image.new("RGB", (56 + 28 * (n % 2), 56), colour).save(folder / "pictures" / f"{n}.png")
        rows.append(
            {
                "id": f"picture-{n}",
                "question": f"Which colour has picture {n}?",
                "answer": letter,
                "options": COLOURS,
                "images": [f"pictures/{n}.png"],
            }
        )
    return rows


def make_domain(folder: Path) -> Path:
    """A whole domain folder: declaration, sources, prompt, one reward, 20 rows, 8 of them with a picture."""
    folder.mkdir()
    files = {"domain.yaml": DOMAIN_YAML, "sources.yaml": SOURCES_YAML, "prompt.txt": PROMPT, "rewards.py": REWARDS_PY}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    lines = [json.dumps(row) for row in own_rows(folder)]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def own_domain(tmp_path: Path) -> Path:
    """A fresh domain folder of one's own, see `make_domain`."""
    return make_domain(tmp_path / "shop")


@dataclass(frozen=True)
class OwnRun:
    """A finished run of a domain of one's own, and the command that made it."""

    domain: Path
    folder: Path
    words: tuple[str, ...]
    done: subprocess.CompletedProcess[str]


TINY = ("sft.max_steps=4", "grpo.steps=2", "grpo.prompts=2", "grpo.group_size=2", "launch.threads=1")
TINY += ("grpo.sampling.max_new_tokens=12", "eval.sampling.max_new_tokens=12")


@pytest.fixture(scope="module")
def own_run(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> OwnRun:
    """One run of the installed copy, end to end, with as few steps as show that each stage did something."""
    place = tmp_path_factory.mktemp("own")
    domain = make_domain(place / "shop")
    words = ("run", str(domain), "--out", str(place / "out"), *TINY)
    return OwnRun(domain, place / "out", words, mmreason(place, *words, package=installed))
