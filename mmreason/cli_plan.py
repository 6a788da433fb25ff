"""The full plan of a run, printed by --dry-run: settings, stages, steps, files, launch commands. Imports no torch."""

from __future__ import annotations

import sys
from dataclasses import replace

import yaml

from mmreason.cli_job import Job
from mmreason.config.stages import stage_recipe
from mmreason.project import load_module, project_dir


def launch_command(job: Job, stage: str) -> list[str]:
    """`accelerate launch` of one training stage as the recipe's launch settings say; torchrun for one plain process."""
    launch = job.recipe.launch
    if launch.processes == 1 and launch.deepspeed is None:  # accelerate would start it without a rank
        words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1", "-m"]
        return [*words, "mmreason.cli", stage, *job.arguments()]
    words = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(launch.processes)]
    words += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]  # model.dtype decides
    words += ["--main_process_port", "0"]  # any free one, so that two runs do not meet
    if launch.deepspeed is not None:
        config = project_dir() / "training" / "launch" / launch.deepspeed
        words += ["--use_deepspeed", "--deepspeed_config_file", str(config)]
    else:
        words.append("--multi_gpu")
    return [*words, "--module", "mmreason.cli", stage, *job.arguments()]


def needs_launch(job: Job) -> bool:
    """Whether training runs in processes of its own; with vLLM too, which gives memory back only when it ends."""
    launch, grpo = job.recipe.launch, job.recipe.grpo
    return launch.processes > 1 or launch.deepspeed is not None or (grpo is not None and grpo.engine == "vllm")


def _data_lines(job: Job) -> list[str]:
    teacher = job.recipe.data.teacher
    by = "none: chains come from the sets' own programs and explanations"
    if teacher is not None and teacher.endpoint is not None:
        by = f"{teacher.endpoint.model} at {teacher.endpoint.base_url}, {teacher.attempts} attempts"
    elif teacher is not None and teacher.solver is not None:
        by = f"solver {teacher.solver}, {teacher.attempts} attempts, {teacher.options}"
    where = str(job.data_dir) if job.data_dir else "embedded, made by programs"
    return [f"data sets  {', '.join(job.pipelines)} ({where})", f"teacher    {by}"]


def _training_lines(job: Job) -> list[str]:
    recipe = job.recipe
    lines = []
    if (sft := recipe.sft) is not None:
        length = f"{sft.max_steps} steps" if sft.max_steps is not None else f"{sft.epochs} epochs"
        lines.append(f"sft        {length} of {sft.batch} sequences, lr {sft.optim.lr:g}, target {sft.target}")
    if (grpo := recipe.grpo) is not None:
        updates = -(-grpo.prompts // (grpo.prompts_per_update or grpo.prompts))
        names = [name for entry in grpo.methods for name in ([entry] if isinstance(entry, str) else entry)]
        kl = f"{grpo.kl_beta:g}" if isinstance(grpo.kl_beta, float) else "by schedule"
        lines.append(
            f"grpo       {grpo.steps} steps of {grpo.prompts} prompts x {grpo.group_size} answers, "
            f"{updates} update(s) a step, lr {grpo.optim.lr:g}, kl {kl}, reward {grpo.reward.mode}, "
            f"pool {recipe.data.rl_source}, engine {grpo.engine}, algorithm {' + '.join([grpo.algorithm, *names])}"
        )
    limit = f"{recipe.eval.limit} questions a suite" if recipe.eval.limit else "all questions"
    lines.append(f"eval       {', '.join(job.suites) or 'no suites'}: {limit}, {recipe.eval.runs} answer(s) each")
    return lines


DATA_FILES = ("sft.parquet", "rl.parquet", "rl_other.parquet", "dropped.jsonl", "report.json", "decontamination.json")


def _files(job: Job, stages: list[str]) -> list[str]:
    """Files that the stages leave, relative to the run folder."""
    files = ["manifest.json"]
    if "data" in stages:
        files += [f"data/{name}" for name in DATA_FILES]
    for stage in ("sft", "grpo"):
        if stage in stages:
            files += ["metrics.jsonl", f"checkpoints/{stage}/final/"]
    if "grpo" in stages and job.recipe.grpo is not None:
        files.append(f"rollouts/step_000001.parquet .. step_{job.recipe.grpo.steps:06d}.parquet")
    for stage in stages:
        if stage.startswith("eval_"):
            files += [f"eval/{stage.removeprefix('eval_')}/{suite}.json" for suite in job.suites]
    if "report" in stages:
        files += ["report.html", "card.md"]
    return list(dict.fromkeys(files))


def _stage_plans(job: Job) -> list[str]:
    """The plan of each stage; what it begins with is there once the stage before is."""
    plans, begin = [], None
    for number, stage in enumerate(job.recipe.stages, start=1):
        out = job.out / f"{number}_{stage.name}"
        own = stage_recipe(job.recipe, stage, begin)
        plans.append(f"stage {number}: {stage.name}\n" + plan_text(replace(job, recipe=own, out=out)))
        begin = out / "checkpoints" / stage.kind / "final"
    return plans


def plan_text(job: Job, only: list[str] | None = None) -> str:
    """Everything a run would do, for people."""
    if job.recipe.stages:
        return "\n\n".join(_stage_plans(job))
    road = load_module(project_dir() / "training" / "road.py")
    stages = only or road.stages_of(job.recipe, job.suites)
    model = job.recipe.model
    lines = [
        f"system     {job.recipe.system}, profile {job.profile} ({job.recipe_path})",
        f"run folder {job.out}",
        f"model      {model.path or 'tiny, built here'} in {model.dtype}" + (", LoRA" if model.lora else ""),
        *_data_lines(job),
        *_training_lines(job),
        "",
        "stages     " + " -> ".join(stages),
    ]
    if needs_launch(job):
        lines += ["", "launched as", *(f"  {' '.join(launch_command(job, s))}" for s in road.TRAINING if s in stages)]
    lines += ["", "files", *(f"  {name}" for name in _files(job, stages)), "", "settings"]
    text = yaml.safe_dump(job.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return "\n".join([*lines, *(f"  {line}" for line in text.splitlines())])
