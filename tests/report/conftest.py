"""A whole run folder, built by the real evaluation and manifest code; only the model is a table of answers."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmreason.config import Recipe, load_domain
from mmreason.config.recipe import Sampling
from mmreason.models.codec import Encoded
from mmreason.project import load_module, project_dir
from mmreason.records import Rollout, Sample, Stop
from mmreason.records.io import write_samples
from mmreason.rollout.engine import Request
from mmreason.run import manifest
from mmreason.run.folder import RunFolder
from mmreason.run.metrics import Metrics
from mmreason.suites.reading import suite_samples
from mmreason.suites.suite import load_suite

SKILL = {"base": (0.02, 0.05), "sft": (0.46, 0.93), "grpo": (0.58, 0.98)}
"""Stage -> (share right, share in form)."""


class TextCodec:
    """Characters as ids."""

    visual_ids: tuple[int, ...] = ()
    merge = 1

    def encode(self, sample: Sample) -> Encoded:
        return Encoded([ord(letter) for letter in sample.question])

    def media_counts(self) -> dict[str, int]:
        return {}


class SkilledEngine:
    """Answers at set rates, seeded by the question."""

    codec = TextCodec()

    def __init__(self, stage: str, extra: str = "") -> None:
        self.stage, self.extra = stage, extra

    def extend(self, requests: Sequence[Request], sampling: Sampling, n: int = 1, seed: int = 0) -> list[list[Rollout]]:
        return [[self._answer(request.sample) for _ in range(n)] for request in requests]

    def _answer(self, sample: Sample) -> Rollout:
        right, formed = SKILL[self.stage]
        rng = random.Random(sample.id)
        answer = (
            sample.answer.gold
            if rng.random() < right
            else rng.choice(["A", "D"] if sample.answer.options else ["7", "14%"])
        )
        if rng.random() > formed:
            return Rollout(
                (1,), (2,) * 48, (-0.5,) * 48, f"the rent may is {self.extra} rent the rent the", Stop.LENGTH
            )
        text = (
            f"<think>rent jan is 4 ; rent may is 6 ; 6 - 4 = 2{self.extra}</think><answer>\\boxed{{{answer}}}</answer>"
        )
        return Rollout((1,), (2,) * 30, (-0.1,) * 30, text, Stop.EOS)


def make_recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "system": "dianjin-r1",
            "paper": "arXiv 2504.15716",
            "model": {"tiny": {}},
            "data": {"pipelines": ["finqa"], "embedded": ["ledger_mcq", "ledger_open"]},
            "sft": {"optim": {"lr": 2e-3}, "max_steps": 300, "batch": 64},
            "grpo": {"optim": {"lr": 1e-4}, "steps": 60, "group_size": 4, "prompts": 3},
            "eval": {"suites": ["finqa"], "embedded_suites": ["ledger_mcq", "ledger_open"], "limit": 120},
            "options": {"reconstructed": {"eval.limit": "questions a suite on the cpu profile"}},
        }
    )


def _log(folder: RunFolder) -> None:
    rng = random.Random(0)
    sft = Metrics(folder.metrics, "sft", 0)
    for step in range(1, 301):
        loss = 3.2 * math.exp(-step / 60) + 0.32 + rng.gauss(0, 0.03)
        values: dict[str, float | int | str] = {"loss": loss, "grad_norm": 0.8 + rng.random() / 3, "lr": 2e-3}
        sft.log(step, values, {"step": 0.1})
    sft.close()
    grpo = Metrics(folder.metrics, "grpo", 0)
    for step in range(1, 61):
        reward = 0.45 + 0.15 * step / 60 + rng.gauss(0, 0.04)
        values = {
            "reward": reward,
            "format": min(0.93 + step / 1000, 1.0),
            "kl_ref": 0.0004 * step,
            "entropy": 0.6 - step / 200,
        }
        grpo.log(step, values, {"step": 1.0})
    grpo.close()


def _rollout_rows(step: int, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    rows = []
    for group, sample in enumerate(samples):
        for index in range(4):
            right = (step + group + index) % 3 > 0 or group == 2
            answer = sample.answer.gold if right else "8"
            rows.append(
                {
                    "step": step,
                    "sample_id": sample.id,
                    "group": group,
                    "question": sample.question,
                    "gold": sample.answer.gold,
                    "prompt_ids": [1, 2],
                    "ids": [5, 6, 7],
                    "logprobs": [-0.1, -0.2, -0.3],
                    "text": f"<think>rent jan is 4 ; 6 - 4 = 2</think><answer>\\boxed{{{answer}}}</answer>",
                    "stop": "eos",
                    "reward": float(right),
                    "format": 1.0,
                    "accuracy": float(right),
                    "outcome": "right" if right else "wrong",
                    "read": answer,
                    "why": f"{answer} against {sample.answer.gold}",
                    "advantage": 0.0 if group == 2 else (0.7 if right else -1.2),
                }
            )
    return rows


def _data(folder: RunFolder, samples: Sequence[Sample]) -> None:
    write_samples(folder.data / "rl.parquet", samples[:3])
    common = {"licence": "Apache-2.0", "commercial": True, "use": "train", "skipped": {}, "files": {}}
    datasets = [
        {**common, "name": "ledger_mcq", "read": 1500, "kept": 1391, "sft": 1100, "rl": 291}
        | {"dropped": {"duplicate": {"duplicate": 97}, "decontaminate": {"same_text": 12}}},
        {**common, "name": "ledger_open", "read": 1500, "kept": 1466, "sft": 1180, "rl": 0}
        | {"dropped": {"duplicate": {"duplicate": 34}}},
    ]
    report = {"datasets": datasets, "totals": {"read": 3000, "kept": 2857, "sft": 2280, "rl": 291}}
    (folder.data / "report.json").write_text(json.dumps(report), encoding="utf-8")
    kinds = {"same_text": 12, "same_question": 0, "twin": 0, "near_text": 0, "reworded": 0}
    shared = {"documents": 3, "train_rows": 4, "eval_rows": 3, "eval_rows_without": 237}
    leaks = {"train": 2869, "eval": 240, "dropped": 12, "kinds": kinds, "same_document": shared, "pairs": []}
    (folder.data / "decontamination.json").write_text(json.dumps(leaks), encoding="utf-8")
    documents = {sample.source.document: 1 for sample in samples[:3]}
    (folder.data / "train_documents.json").write_text(json.dumps(documents), encoding="utf-8")


def build_run(path: Path, stages: Sequence[str] = ("base", "sft", "grpo"), extra: str = "") -> RunFolder:
    """A finished run, or with fewer `stages` one whose evaluation stopped early; `extra` is put into model text."""
    folder, recipe = RunFolder(path), make_recipe()
    domain = load_domain(project_dir() / "domains" / "finance")
    manifest.start(folder, recipe, domain, None, ["mmreason", "run", "dianjin-r1"])
    samples = suite_samples(load_suite("ledger_open"), domain, None, 12)
    folder.data.mkdir()
    _data(folder, samples)
    _log(folder)
    folder.rollouts.mkdir()
    for step in (1, 15, 30, 45, 60):
        pq.write_table(
            pa.Table.from_pylist(_rollout_rows(step, samples[:3])), folder.rollouts / f"step_{step:06d}.parquet"
        )
    flow = load_module(project_dir() / "eval" / "run.py")
    for stage in stages:
        model = folder.final(stage)
        model.mkdir(parents=True)
        (model / "config.json").write_text(json.dumps({"stage": stage}), encoding="utf-8")
        engine = SkilledEngine(stage, extra)
        flow.evaluate(recipe, domain, folder, stage, engine, recipe.eval.embedded_suites, None)
        folder.mark_done(stage)
    return folder


def encode(path: Path, seconds: int = 8, fps: int = 8) -> None:
    """A real mp4 of 64 x 48 pixels in which a white square moves to the right and is red from second 3 to 4."""
    av = pytest.importorskip("av", reason="clips are made with PyAV")
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(seconds * fps):
            picture = np.full((48, 64, 3), 30, np.uint8)
            left = 52 * number // (seconds * fps)
            picture[16:32, left : left + 12] = (220, 30, 30) if 3 * fps <= number < 4 * fps else (230, 230, 230)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


@pytest.fixture(scope="session")
def clip_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one clip of 8 seconds and 64 frames, clip.mp4."""
    root = tmp_path_factory.mktemp("clips")
    encode(root / "clip.mp4")
    return root


@pytest.fixture(scope="session")
def make_run() -> Callable[..., RunFolder]:
    """`build_run`, for tests that need a run of their own."""
    return build_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return build_run(tmp_path_factory.mktemp("runs") / "dianjin-r1")
