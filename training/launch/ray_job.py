"""One run on a Ray cluster: vLLM servers and training processes placed on GPUs, stages one after the other.

    python training/launch/ray_job.py plan.yaml -- dianjin-r1 --profile paper --out /shared/runs/mine launch.fsdp=true

Ray places and watches; what it starts are the same commands as anywhere (`mmreason`, torchrun, vLLM). `--out` must lie
on a disk that all nodes share, and mmreason must be installed on them. `--dry-run` before `--` prints the plan and
needs no Ray. plan.yaml holds the fields of `Plan`; leave it out for their defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from pydantic import ValidationError

from mmreason.config.strict import Strict
from mmreason.errors import USER_ERROR_EXIT, UserError, require


class Plan(Strict):
    """How many machines do what."""

    trainers: int = 1
    """Nodes that train."""
    processes: int = 8
    """Training processes of a node, on one GPU each."""
    servers: int = 8
    """vLLM servers; 0: `grpo.engine` as the recipe says."""
    server_gpus: int = 1
    """GPUs of one server, its tensor parallelism."""
    gpu: bool = True
    """False reserves a processor core in place of each GPU."""
    max_model_len: int = 12288
    """data.max_prompt_tokens + grpo.sampling.max_new_tokens."""
    checkpoint: str | None = None
    """What servers load first; None: the run's cold start."""
    port: int = 8001
    """Of the first server; the others count up. The trainers meet at `port` - 1."""
    wait_s: float = 1200.0
    """Seconds for servers to load."""

    def server_bundles(self) -> list[dict[str, float]]:
        """What each server reserves."""
        return [self._need(self.server_gpus)] * self.servers

    def trainer_bundles(self) -> list[dict[str, float]]:
        """What each training node reserves."""
        return [self._need(self.processes)] * self.trainers

    def _need(self, count: int) -> dict[str, float]:
        return {"CPU": 1.0, "GPU": float(count)} if self.gpu else {"CPU": float(count)}


def server_words(plan: Plan, host: str, port: int, checkpoint: str) -> list[str]:
    """What starts one vLLM server."""
    given = {"model": checkpoint, "host": host, "port": port, "max-model-len": plan.max_model_len}
    given |= {"tensor-parallel-size": plan.server_gpus, "logprobs-mode": "processed_logprobs"}
    given |= {"worker-extension-cls": "mmreason.rollout.vllm_worker.WeightsFromFolder"}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    module = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    return [*module, *words, "--enable-scale-out", "--no-mm-device-do-normalize"]


def stage_words(stage: str, words: list[str]) -> list[str]:
    """A stage in one process."""
    return [sys.executable, "-m", "mmreason.cli", stage, *words]


def trained_words(plan: Plan, stage: str, words: list[str], rank: int, head: str) -> list[str]:
    """A training stage on node `rank`; node 0 is `head`."""
    launch = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={plan.trainers}", f"--node-rank={rank}"]
    launch += [f"--nproc-per-node={plan.processes}", f"--master-addr={head}", f"--master-port={plan.port - 1}"]
    return [*launch, "-m", "mmreason.cli", stage, *words]


def with_settings(plan: Plan, words: list[str], urls: list[str]) -> list[str]:
    """The request with what the placement decides."""
    settings = [f"launch.processes={plan.trainers * plan.processes}"]
    if urls:
        settings += ["grpo.engine=vllm_server", f"grpo.server_urls={json.dumps(urls)}"]
    return [*words, *settings]


def out_of(words: list[str]) -> Path:
    """The run folder of a request. Raises UserError without --out, which all nodes must agree on."""
    if "--out" not in words[:-1]:
        raise UserError("no --out among the words after --: give a folder on a disk that all nodes share")
    return Path(words[words.index("--out") + 1])


def run_here(words: list[str], log: str | None = None) -> int:
    """Run a command where Ray put this task; its exit code. A cancelled task ends the command and its children."""
    out = Path(log).open("ab") if log else None
    child = subprocess.Popen(
        words, env={**os.environ, "VLLM_SERVER_DEV_MODE": "1"}, stdout=out, stderr=out, start_new_session=True
    )
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait()


def wait_healthy(urls: list[str], refs: list[Any], wait_s: float, ended: Any) -> None:
    """Until every server answers. `ended(refs)` tells whether one has stopped. Raises UserError for one that failed."""
    deadline = time.monotonic() + wait_s
    for url in urls:
        while not _healthy(url):
            if ended(refs) or time.monotonic() > deadline:
                raise UserError(f"the vLLM server {url} did not start: see server_*.log in the run folder")
            time.sleep(2.0)


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5.0).status_code == 200
    except httpx.HTTPError:
        return False


class Cluster:
    """Two placement groups, servers packed and trainers spread, and tasks in their bundles."""

    def __init__(self, plan: Plan) -> None:
        require("ray", "ray", "place processes on a Ray cluster")
        import ray
        from ray.util.placement_group import placement_group

        self.ray: Any = ray
        self.plan = plan
        ray.init(log_to_driver=True)
        groups = {"trainer": (plan.trainer_bundles(), "STRICT_SPREAD"), "server": (plan.server_bundles(), "PACK")}
        self.groups = {name: placement_group(bundles, how) for name, (bundles, how) in groups.items() if bundles}
        for name, group in self.groups.items():
            if not group.wait(timeout_seconds=plan.wait_s):
                raise UserError(f"Ray has no room for the {name}s {groups[name][0]}: {ray.cluster_resources()}")

    def start(self, kind: str, index: int, task: Any, *given: Any) -> Any:
        """Run `task` in a bundle, with all that the bundle holds."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        group = self.groups[kind]
        need = group.bundle_specs[index]
        where = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index)
        options = {"num_cpus": need["CPU"], "num_gpus": need.get("GPU", 0), "scheduling_strategy": where}
        return self.ray.remote(task).options(max_retries=0, **options).remote(*given)

    def hosts(self, kind: str) -> list[str]:
        """Address of each bundle's node."""
        address = self.ray.util.get_node_ip_address
        count = len(self.groups[kind].bundle_specs) if kind in self.groups else 0
        found: list[str] = self.ray.get([self.start(kind, index, lambda: address()) for index in range(count)])
        return found

    def finish(self, what: str, refs: list[Any]) -> None:
        """Wait for tasks; the first exit code that is not 0 cancels the others. Raises RuntimeError."""
        left = refs
        while left:
            (done,), left = self.ray.wait(left, num_returns=1)
            if (code := self.ray.get(done)) != 0:
                self.cancel(left)
                raise RuntimeError(f"{what} failed with exit code {code}")

    def ended(self, refs: list[Any]) -> bool:
        """Whether any task has stopped."""
        return bool(self.ray.wait(refs, num_returns=1, timeout=0)[0])

    def cancel(self, refs: list[Any]) -> None:
        """Interrupt tasks and wait for their commands to end."""
        for ref in refs:
            self.ray.cancel(ref)
        if refs:
            self.ray.wait(refs, num_returns=len(refs), timeout=60)

    @contextmanager
    def serving(self, urls: list[str], hosts: list[str], out: Path) -> Iterator[None]:
        """vLLM servers while the block runs."""
        checkpoint = self.plan.checkpoint or str(out / "checkpoints" / "sft" / "final")
        refs = []
        for index, host in enumerate(hosts):
            words = server_words(self.plan, host, self.plan.port + index, checkpoint)
            refs.append(self.start("server", index, run_here, words, str(out / f"server_{index:02d}.log")))
        try:
            wait_healthy(urls, refs, self.plan.wait_s, self.ended)
            yield
        finally:
            self.cancel(refs)

    def train(self, stage: str, words: list[str], head: str) -> None:
        """One training stage on all training nodes."""
        nodes = range(self.plan.trainers)
        commands = [trained_words(self.plan, stage, words, rank, head) for rank in nodes]
        self.finish(stage, [self.start("trainer", rank, run_here, commands[rank]) for rank in nodes])

    def alone(self, stage: str, words: list[str]) -> None:
        """One stage on the first training node."""
        self.finish(stage, [self.start("trainer", 0, run_here, stage_words(stage, words))])


def walk(plan: Plan, words: list[str]) -> None:
    """Data, cold start, RL with servers, then what is left: evaluation and report."""
    out = out_of(words)
    cluster = Cluster(plan)
    hosts, head = cluster.hosts("server"), cluster.hosts("trainer")[0]
    urls = [f"http://{host}:{plan.port + index}" for index, host in enumerate(hosts)]
    words = with_settings(plan, words, urls)
    cluster.alone("data", words)
    cluster.train("sft", words, head)
    with cluster.serving(urls, hosts, out):
        cluster.train("grpo", words, head)
    cluster.alone("run", words)


def plan_text(plan: Plan, words: list[str]) -> str:
    """What `walk` would start; addresses are known only to the cluster."""
    out = out_of(words)
    urls = [f"http://SERVER{index}:{plan.port + index}" for index in range(plan.servers)]
    full = with_settings(plan, words, urls)
    checkpoint = plan.checkpoint or str(out / "checkpoints" / "sft" / "final")
    servers = [server_words(plan, f"SERVER{index}", plan.port + index, checkpoint) for index in range(plan.servers)]
    trained = {
        stage: [trained_words(plan, stage, full, rank, "TRAINER0") for rank in range(plan.trainers)]
        for stage in ("sft", "grpo")
    }
    commands = [stage_words("data", full), *trained["sft"], *servers, *trained["grpo"], stage_words("run", full)]
    placed = [f"trainers {plan.trainer_bundles()}", f"servers {plan.server_bundles()}"]
    return "\n".join([*placed, *(shlex.join(command) for command in commands)])


def main() -> None:
    """Read the plan and the request, print or walk."""
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description="One run on a Ray cluster.")
    parser.add_argument("plan", nargs="?", help="YAML of Plan's fields")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and start nothing")
    given = parser.parse_args(words[:split])
    try:
        text = Path(given.plan).read_text(encoding="utf-8") if given.plan else ""
        plan = Plan.model_validate(yaml.safe_load(text) or {})
        if given.dry_run:
            print(plan_text(plan, words[split + 1 :]))
        else:
            walk(plan, words[split + 1 :])
    except (UserError, ValidationError, FileNotFoundError) as error:
        print(f"ray_job: {error}", file=sys.stderr)
        sys.exit(USER_ERROR_EXIT)


if __name__ == "__main__":
    main()
