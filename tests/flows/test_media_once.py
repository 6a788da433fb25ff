"""Training on real clips: each frame is decoded once over epochs, flows and processes; afterwards none is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmreason.media import guard
from mmreason.media.files import media_ref
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Sample, Source
from mmreason.records.io import write_samples
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder

pytest.importorskip("av", reason="clips are made and read with PyAV")

HERE = Path(__file__).parent
small = load_module(HERE / "small_grpo.py")
clips = load_module(HERE.parent / "media" / "clip_files.py")

CLIPS = 3
SOURCE = Source("own", "train", "Apache-2.0", "0")
SIZES = {"hidden": 32, "layers": 1, "heads": 2, "kv_heads": 2, "ffn": 32, "vocab": 320, "vision_hidden": 32}
WORDS = (
    *(f"model.tiny.{key}={value}" for key, value in SIZES.items()),
    *("model.tiny.family=qwen2_5_vl", "model.tiny.vision_layers=1", "model.tiny.max_pixels=3136"),
    *(
        "launch.threads=1",
        "sft.target=chain",
        "sft.batch=3",
        "sft.micro_batch=3",
        "sft.max_steps=4",
        "sft.save_every=2",
    ),
    *("grpo.steps=2", "grpo.prompts=3", "grpo.group_size=2", "grpo.sampling={max_new_tokens: 4}", "eval.suites=[]"),
)


def question(ref: MediaRef, name: str) -> Sample:
    answer = Answer(AnswerKind.NUMBER, "1")
    return Sample(name, SOURCE, (Message.about(f"how many in {name} ?", (ref,)),), answer, media=(ref,))


@dataclass(frozen=True)
class Project:
    root: Path
    domain: Path
    refs: tuple[MediaRef, ...]

    def prepare(self, out: Path, rules: Sequence[dict[str, Any]]) -> RunFolder:
        """A run folder with a question for each clip and rule, as the data stage leaves it."""
        folder = RunFolder(out)
        asked = [
            question(replace(ref, **rule), f"clip{clip} rule{number}")
            for clip, ref in enumerate(self.refs)
            for number, rule in enumerate(rules)
        ]
        write_samples(folder.data / "sft.parquet", [one.with_response("one <answer>1</answer>") for one in asked])
        write_samples(folder.data / "rl.parquet", asked)
        write_json(folder.data / "media_root.json", {"path": str(self.root)})
        return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("media_once")
    (root / "scenes").mkdir()
    files = {"domain.yaml": small.DOMAIN, "sources.yaml": small.SOURCES, "prompt.txt": "{question}"}
    row = json.dumps({"id": "a", "question": "1 + 1 ?", "answer": "2"})
    for name, text in (files | {"rows.jsonl": row + "\n"}).items():
        (root / "scenes" / name).write_text(text, encoding="utf-8")
    for clip in range(CLIPS):
        clips.encode_noise(root / f"{clip}.mp4", clip)
    refs = tuple(media_ref(root, f"{clip}.mp4", "video") for clip in range(CLIPS))
    return Project(root, root / "scenes", refs)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counter[tuple[str, int]]:
    """How often each frame of each clip was really read, counted at the reader; the store begins empty."""
    seen: Counter[tuple[str, int]] = Counter()
    read = guard.read_frames

    def counting(path: Path, indices: Sequence[int], take: Callable[[np.ndarray], Any]) -> list[Any]:
        seen.update((path.name, index) for index in set(indices))
        return read(path, indices, take)

    monkeypatch.setattr(guard, "read_frames", counting)
    monkeypatch.setenv("MMREASON_CACHE", str(tmp_path / "cache"))
    return seen


AGAIN = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import small_grpo, test_media_once as once
from mmreason.cli_job import resolve
from mmreason.config.recipe import Sampling
from mmreason.project import load_module, project_dir
from mmreason.records.io import read_samples
from mmreason.run.folder import RunFolder
domain, out = Path(sys.argv[2]), Path(sys.argv[3])
small_grpo.run_flow("training/grpo.py", domain, out, *once.WORDS)
folder, recipe = RunFolder(out), resolve(str(domain), "cpu", None, out, list(once.WORDS)).recipe
load_engine = load_module(project_dir() / "eval" / "run.py").load_engine
engine = load_engine(recipe, folder.final("grpo"), folder.media_root)
engine.generate(read_samples(folder.data / "rl.parquet"), Sampling(max_new_tokens=2))
print(json.dumps(engine.codec.media_counts()))
"""


def train(project: Project, folder: RunFolder) -> list[dict[str, Any]]:
    """Rows of the cold start's metrics."""
    small.run_flow("training/sft.py", project.domain, folder.path, *WORDS)
    return [row for row in small.metrics(folder.path) if row["stage"] == "sft"]


def test_fixed_rules_decode_each_clip_once_and_never_again(
    project: Project, decoded: Counter[tuple[str, int]], tmp_path: Path
) -> None:
    """Four epochs of the cold start; then RL and the evaluation's engine in another process."""
    folder = project.prepare(tmp_path / "run", [{"frame_rule": "uniform:4"}])
    rows = train(project, folder)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]  # three questions a step
    assert rows[-1]["media/decodes"] == CLIPS and rows[-1]["media/decoded_frames"] == 4 * CLIPS
    assert set(decoded) == {(f"{clip}.mp4", index) for clip in range(CLIPS) for index in (0, 8, 15, 23)}
    assert set(decoded.values()) == {1}
    command = [sys.executable, "-c", AGAIN, str(HERE), str(project.domain), str(folder.path)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    grpo = [row for row in small.metrics(folder.path) if row["stage"] == "grpo"]
    assert len(grpo) == 2
    assert [row["media/decodes"] for row in grpo] == [row["media/misses"] for row in grpo] == [0, 0]
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["decodes"], told["decoded_frames"], told["misses"]) == (0, 0, 0) and told["hits"] > 0


def test_rules_that_take_the_same_frames_share_them(
    project: Project, decoded: Counter[tuple[str, int]], tmp_path: Path
) -> None:
    """Two epochs, two questions on each clip, one in single frames: a frame that both take is decoded once."""
    both = [{"frame_rule": "centres:6", "caption": "{number} "}, {"frame_rule": "at:2+3+6+14"}]
    rows = train(project, project.prepare(tmp_path / "run", both))
    expected = {2, 6, 10, 14, 18, 22} | {2, 3, 6, 14}
    assert set(decoded) == {(f"{clip}.mp4", index) for clip in range(CLIPS) for index in expected}
    assert set(decoded.values()) == {1}
    assert rows[-1]["media/decoded_frames"] == len(expected) * CLIPS


def test_a_run_without_clips_leaves_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMREASON_CACHE", str(tmp_path / "cache"))
    project = small.make_project(tmp_path / "text")
    assert not any(key.startswith("media/") for row in small.metrics(project / "cold") for key in row)
    assert not (tmp_path / "cache").exists()
