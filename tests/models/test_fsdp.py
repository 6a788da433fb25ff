"""FSDP2 in two gloo processes: gradients summed, LoRA, a whole tower, exact resume, whole weights handed over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from mmreason.config.recipe import LaunchSettings, Lora, ModelSettings, Optim, TinyModel
from mmreason.models.codec import Codec, Encoded
from mmreason.models.distributed import make_learner
from mmreason.models.learner import Learner
from mmreason.models.load import load_model, prepare_for_training
from mmreason.models.medium import Medium
from mmreason.models.policy import Policy
from mmreason.models.rows import make_rows
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.run import processes

ROOT = Path(__file__).resolve().parents[2]
STEPS = 4
SIZES = {"hidden": 32, "layers": 2, "heads": 2, "kv_heads": 1, "ffn": 48, "vocab": 300, "vision_hidden": 32}
CASES: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"lora": Lora(rank=4, alpha=8), "gradient_checkpointing": True},
    "tower": {"freeze_vision": False},
    "bfloat16": {"dtype": "bfloat16"},
}


def learner_of(case: str, base: Path, folder: Path) -> tuple[Learner, PreTrainedModel, Codec]:
    settings = ModelSettings(path=str(base / ("seeing" if case == "tower" else "text")), **CASES[case])
    assert settings.path is not None
    codec = Codec.load(settings.path)
    model = prepare_for_training(load_model(settings.path, settings.dtype), settings).train()
    learner = make_learner(Policy(model, codec), Optim(lr=0.02), STEPS, folder, LaunchSettings(fsdp=True))
    return learner, model, codec


def row(number: int, case: str, codec: Codec) -> tuple[Encoded, list[int]]:
    """Row of the batch; of each four under the tower, the first alone has a picture, so one process sees none."""
    draw = torch.Generator().manual_seed(number)
    ids = torch.randint(20, 250, (10,), generator=draw).tolist()
    if case != "tower" or number % 4 > 0:
        return Encoded(ids[:5]), ids[5 : 7 + number % 3]
    medium = Medium(torch.randn(4, 1176, generator=draw), (1, 2, 2))
    return Encoded([*ids[:3], codec.visual_ids[0], ids[3]], (medium,)), ids[5:8]


def train(case: str, base: Path, folder: Path) -> list[dict[str, float]]:
    """From the newest checkpoint to STEPS: four rows an update, two micro-batches over all processes."""
    learner, model, codec = learner_of(case, base, folder)
    logs: list[dict[str, float]] = []
    start, _ = learner.resume()
    for step in range(start + 1, STEPS + 1):
        rows = [row(4 * step + place, case, codec) for place in range(4)]
        if case == "lora":  # as a reference without adapters does, before anything was gathered for training
            with torch.no_grad(), model.disable_adapter():  # type: ignore[operator]
                learner.model(make_rows([rows[0][0]], [rows[0][1]], codec.pad_id, model.device))
        loss_sum = 0.0
        for prompt, answer in processes.share(rows):
            made = learner.model(make_rows([prompt], [answer], codec.pad_id, model.device))
            loss = -made["logp"].sum() / sum(len(ids) for _, ids in rows)
            learner.backward(loss)
            loss_sum += float(loss.detach())
        logs.append({"loss": processes.total(loss_sum), **learner.step(step)})
        learner.save(step, step)
    learner.export(codec, folder / "final")
    return logs


def run(case: str, base: Path, folder: Path) -> dict[str, Any]:
    """What `main` found in two processes."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [*launch, case, str(base), str(folder)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = train_tokenizer(["one and two make three"], SIZES["vocab"])
    build_tiny(TinyModel.model_validate(SIZES), tokenizer, 0, folder / "text")
    build_tiny(TinyModel.model_validate({**SIZES, "family": "qwen2_5_vl"}), tokenizer, 0, folder / "seeing")
    return folder


@pytest.mark.parametrize("case", ["tower", *(pytest.param(case, marks=pytest.mark.slow) for case in ("lora", "full"))])
def test_two_processes_learn_what_one_learns_and_resume_bit_for_bit(case: str, base: Path, tmp_path: Path) -> None:
    found = run(case, base, tmp_path / "two")
    for ours, theirs in zip(train(case, base, tmp_path / "one"), found["logs"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5)
    alone, whole = (load_file(tmp_path / name / "final" / "model.safetensors") for name in ("one", "two"))
    assert alone.keys() == whole.keys()
    for name, tensor in alone.items():  # Adam turns a gradient near 0 into a step of its sign: compared coarsely
        torch.testing.assert_close(tensor, whole[name], rtol=0, atol=2e-3, msg=name)
    assert found["again"] == found["logs"][-1:]
    assert found["same_bits"]


@pytest.mark.slow
def test_bfloat16_is_kept_in_float32_and_exported_as_it_computes(base: Path, tmp_path: Path) -> None:
    assert run("bfloat16", base, tmp_path)["same_bits"]
    kept = load_file(tmp_path / f"step_{STEPS:06d}" / "piece_0001.safetensors")
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}
    final = load_file(tmp_path / "final" / "model.safetensors")
    assert {tensor.dtype for tensor in final.values()} == {torch.bfloat16}


def test_one_process_spreads_nothing(base: Path, tmp_path: Path) -> None:
    learner, _, _ = learner_of("full", base, tmp_path)
    assert type(learner) is Learner
    assert learner.whole


def test_two_ways_to_spread_are_refused() -> None:
    with pytest.raises(ValueError, match="set one of them"):
        LaunchSettings(fsdp=True, deepspeed="zero3.json")


def main(case: str, base: str, out: str) -> None:
    """One of two processes: train, lose the last checkpoint, go on from the one before."""
    torch.set_num_threads(1)
    processes.connect()
    folder, found = Path(out), {}
    final = folder / "final" / "model.safetensors"
    found["logs"] = train(case, Path(base), folder)
    bits = final.read_bytes()
    processes.barrier()
    if processes.is_main():
        shutil.rmtree(folder / f"step_{STEPS:06d}")
    processes.barrier()
    found["again"] = train(case, Path(base), folder)
    if processes.is_main():
        (folder / "found.json").write_text(json.dumps({**found, "same_bits": final.read_bytes() == bits}))


if __name__ == "__main__":
    main(*sys.argv[1:])
