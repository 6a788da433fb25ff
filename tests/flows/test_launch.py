"""Several processes give what one gives: gloo on CPU, summed gradients, FSDP2 and ZeRO, through the flows."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
import torch

from mmreason.config.recipe import LaunchSettings
from mmreason.errors import UserError
from mmreason.models.codec import Encoded
from mmreason.models.distributed import check_towers
from mmreason.models.encode import Example
from mmreason.models.medium import Medium
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

if TYPE_CHECKING:
    from conftest import Cli

ROOT = Path(__file__).resolve().parents[2]
SLURM, RAY = ROOT / "training" / "launch" / "slurm.sh", ROOT / "training" / "launch" / "ray_job.py"
WORKER = Path(__file__).with_name("launch_worker.py")
PAIRS = ("sft.max_steps=4", "sft.batch=8", "sft.micro_batch=3", "sft.save_every=2", "grpo.micro_tokens=100")
PAIRS += ("grpo.prompts=4", "grpo.group_size=2", "launch.threads=1", "grpo.sampling.temperature=0.7")
WITHIN_MICRO_BATCHES = {"entropy/top", "cov/top"}
"""Ranked within a micro-batch, and every process cuts its own share."""
SAME = 1e-5
"""Sums over processes are added in another order than sums over rows; nothing else may differ."""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def work(domain: Path, out: Path, processes: int, *pairs: str) -> None:
    """The worker as a process, or as several that torchrun starts."""
    words = [str(WORKER), str(domain), str(out), *PAIRS, *pairs]
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    command = [sys.executable, *launch, *words]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]


def losses(out: Path) -> dict[str, list[dict[str, float]]]:
    """Logged numbers of both trainings, timings left out."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    sft = [{key: value for key, value in row.items() if key not in ("time", "stage")} for row in rows]
    return {"sft": sft, "grpo": json.loads((out / "grpo.json").read_text(encoding="utf-8"))}


def assert_same(here: Path, there: Path) -> None:
    ours, theirs = losses(here), losses(there)
    for stage in ("sft", "grpo"):
        assert len(ours[stage]) == 4
        for one, other in zip(ours[stage], theirs[stage], strict=True):
            one, other = ({k: v for k, v in row.items() if k not in WITHIN_MICRO_BATCHES} for row in (one, other))
            assert one == pytest.approx(other, rel=SAME, abs=SAME), stage


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A domain of 20 sums in words, of unequal length and without pictures."""
    folder = tmp_path_factory.mktemp("domain") / "sums"
    folder.mkdir()
    files = {
        "domain.yaml": "name: sums\nprompts: {default: prompt.txt}\n",
        "prompt.txt": "{question}\nAnswer as <answer>\\boxed{...}</answer>.\n",
        "sources.yaml": "own: {title: Sums, licence: Apache-2.0, commercial: true, use: train,\n"
        "  reader: 'mmreason.data.own:read', files: {train: [rows.jsonl]}}\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    rows = [{"id": f"sum-{n}", "question": "Add. " * (n % 4) + f"{n} + {n + 2} = ?"} for n in range(20)]
    lines = [json.dumps({**row, "answer": str(2 * n + 2)}) for n, row in enumerate(rows)]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def alone(sums: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    out = tmp_path_factory.mktemp("alone")
    command = [sys.executable, "-m", "mmreason.cli", "data", str(sums), "--out", str(out), *PAIRS]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    work(sums, out, 1)
    return out


@pytest.fixture
def fresh(alone: Path, tmp_path: Path) -> Path:
    """A run folder with the same data and nothing else."""
    shutil.copytree(alone / "data", tmp_path / "out" / "data")
    return tmp_path / "out"


def test_two_processes_give_the_losses_of_one(sums: Path, alone: Path, fresh: Path) -> None:
    work(sums, fresh, 2)
    assert_same(alone, fresh)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fsdp=true", "deepspeed=zero2.json", "deepspeed=zero3.json"])
def test_a_spread_model_gives_the_losses_of_one_and_resumes_exactly(
    way: str, sums: Path, alone: Path, fresh: Path
) -> None:
    if way.startswith("deepspeed"):
        pytest.importorskip("deepspeed", reason="pip install 'mmreason[deepspeed]'")
    way = f"launch.{way}"
    work(sums, fresh, 2, way)
    assert_same(alone, fresh)
    weights = fresh / "checkpoints" / "sft" / "final" / "model.safetensors"
    whole, logged = weights.read_bytes(), losses(fresh)["sft"]
    shutil.rmtree(fresh / "checkpoints" / "sft" / "step_000004")
    weights.unlink()
    work(sums, fresh, 2, way)
    assert losses(fresh)["sft"] == logged
    assert weights.read_bytes() == whole


@pytest.mark.slow
def test_the_command_launches_and_joins_what_the_processes_wrote(cli: Cli, sums: Path, tmp_path: Path) -> None:
    words = ("run", str(sums), "--out", str(tmp_path / "run"), *PAIRS, "grpo.steps=2", "launch.processes=2")
    done = cli(*words, "grpo.sampling.max_new_tokens=8", "eval.sampling.max_new_tokens=8", "sft.max_steps=2")
    assert done.returncode == 0, done.stderr[-4000:]
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["step"]) for row in rows] == [("sft", 1), ("sft", 2), ("grpo", 1), ("grpo", 2)]
    assert rows[-1]["prefills"] == 4
    assert sorted(path.name for path in (tmp_path / "run" / "rollouts").iterdir()) == [
        "step_000001.parquet",
        "step_000002.parquet",
    ]
    groups = pq.read_table(tmp_path / "run" / "rollouts" / "step_000001.parquet")["group"].to_pylist()
    assert groups == [0, 0, 1, 1, 2, 2, 3, 3]


def test_rows_with_and_without_pictures_do_not_meet_under_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without a picture would skip the tower that the others wait in."""
    source = Source("own", "train", "Apache-2.0", "0")
    sample = Sample("bare", source, (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1"))
    bare = Example(sample, Encoded([1]), [2])
    seen = Example(sample, Encoded([1], (Medium(torch.zeros(4, 8), (1, 2, 2)),)), [2])
    zero = LaunchSettings(processes=2, deepspeed="zero2.json")
    check_towers([bare, seen], zero)  # one process: nobody waits
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_towers([bare, seen], LaunchSettings(processes=2))  # summed gradients: each process sums what it has
    check_towers([seen, seen], zero)
    with pytest.raises(UserError, match="sample bare has no picture and 1 others have"):
        check_towers([bare, seen], zero)


def test_a_batch_that_cannot_be_shared_is_refused(cli: Cli, sums: Path) -> None:
    done = cli("run", str(sums), "grpo.prompts=3", "launch.processes=2", "--dry-run")
    assert done.returncode == 2
    assert "grpo.prompts is 3, which 2 processes cannot share equally" in done.stderr


def test_the_large_profiles_resolve_and_say_how_they_are_launched(cli: Cli) -> None:
    paper = cli("run", "dianjin-r1", "--profile", "paper", "--dry-run")
    assert paper.returncode == 0, paper.stderr
    launched = [line for line in paper.stdout.splitlines() if "accelerate.commands.launch" in line]
    assert len(launched) == 2
    assert all("--num_processes 8" in line and "zero3.json" in line for line in launched)
    single = cli("run", "dianjin-r1", "--profile", "gpu1", "--dry-run")
    assert single.returncode == 0, single.stderr
    assert "Qwen2.5-7B-Instruct in bfloat16, LoRA" in single.stdout
    assert "engine vllm" in single.stdout
    launched = [line for line in single.stdout.splitlines() if "torch.distributed.run" in line]
    assert [" sft dianjin-r1 " in launched[0], " grpo dianjin-r1 " in launched[1]] == [True, True]
    assert all("--nproc-per-node=1" in line for line in launched)


def test_the_slurm_file_puts_servers_on_the_last_nodes(tmp_path: Path) -> None:
    given = {"DRY_RUN": "1", "GPUS": "4", "SERVER_GPUS": "2", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-3]"}
    script = f"scontrol() {{ printf 'n1\nn2\nn3\n'; }}; export -f scontrol; bash {SLURM} sums --out {tmp_path}"
    done = subprocess.run(["bash", "-c", script], env={**os.environ, **given}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [shlex.split(line) for line in done.stdout.splitlines()]
    stages = [line[line.index("mmreason.cli") + 1] if "mmreason.cli" in line else "server" for line in lines]
    assert stages == ["data", "sft", "server", "server", "grpo", "run"]
    servers = [line for line in lines if "vllm.entrypoints.openai.api_server" in line]
    ports = [("--nodelist=n3" in line, line[line.index("--port") + 1]) for line in servers]
    assert ports == [(True, "8001"), (True, "8002")]
    assert ["CUDA_VISIBLE_DEVICES=0,1" in servers[0], "CUDA_VISIBLE_DEVICES=2,3" in servers[1]] == [True, True]
    assert all("--nodelist=n1,n2" in lines[index] and "--nproc-per-node=4" in lines[index] for index in (1, 4))
    settings = lines[4][-3:]
    urls = 'grpo.server_urls=["http://n3:8001","http://n3:8002"]'
    assert settings == ["launch.processes=8", "grpo.engine=vllm_server", urls]


def test_the_slurm_file_keeps_a_node_for_training(tmp_path: Path) -> None:
    given = {"DRY_RUN": "1", "SERVER_NODES": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n1"}
    script = f"scontrol() {{ echo n1; }}; export -f scontrol; bash {SLURM} sums --out {tmp_path}"
    done = subprocess.run(["bash", "-c", script], env={**os.environ, **given}, capture_output=True, text=True)
    assert done.returncode == 2
    assert "SERVER_NODES=1 leaves none of 1 nodes to train" in done.stderr


def test_the_ray_file_prints_its_plan(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("trainers: 2\nprocesses: 4\nservers: 2\nserver_gpus: 2\n", encoding="utf-8")
    command = [sys.executable, str(RAY), str(plan), "--dry-run", "--", "sums", "--out", str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "trainers [{'CPU': 1.0, 'GPU': 4.0}, {'CPU': 1.0, 'GPU': 4.0}]"
    assert [f"--node-rank={rank}" in line for line, rank in zip(lines[3:5], (0, 1), strict=True)] == [True, True]
    assert sum("vllm.entrypoints" in line for line in lines) == 2
    assert all("launch.processes=8" in line for line in lines if "mmreason.cli" in line)
    bare = subprocess.run([*command[:-2]], env=environment(), capture_output=True, text=True)
    assert bare.returncode == 2
    assert "no --out among the words" in bare.stderr
