"""What a recipe may say: one settings model per stage, a docstring per field."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mmreason.config.grpo import GrpoSettings, RewardSettings
from mmreason.config.parts import Endpoint, Optim, Sampling
from mmreason.config.selection import Selection
from mmreason.config.strict import Strict
from mmreason.config.task import Task

__all__ = [
    "Baseline",
    "DataSettings",
    "Endpoint",
    "EvalSettings",
    "GrpoSettings",
    "LaunchSettings",
    "Lora",
    "ModelSettings",
    "Optim",
    "Recipe",
    "RewardSettings",
    "Sampling",
    "Seeds",
    "Selection",
    "SftSettings",
    "Stage",
    "Teacher",
    "TinyModel",
]


class TinyModel(Strict):
    """A model of the real architecture, built from these sizes and trained from scratch."""

    hidden: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 384
    vocab: int = 1024
    """Size of the byte-level BPE vocabulary trained on the training texts, special tokens included."""
    init_std: float = 0.08
    """Spread of the initial weights; about 1/sqrt(hidden), where transformers' 0.02 leaves attention flat for long."""
    rope_theta: float = 10000.0
    """Base of the rotary positions; small for short texts, where it speeds up the first copying heads."""
    family: Literal["qwen2", "qwen3", "qwen2_5_vl", "qwen3_vl"] = "qwen2"
    """Architecture; those with "vl" have a small vision tower."""
    max_pixels: int = 112 * 112
    """Pixel budget of a picture under the tower."""
    vision_hidden: int = 64
    vision_layers: int = 2

    @property
    def vision(self) -> bool:
        return self.family.endswith("_vl")


class Lora(Strict):
    """Low-rank adapters (peft) in place of full fine-tuning."""

    rank: int = 64
    alpha: int = 128
    dropout: float = 0.0
    targets: str = "all-linear"


class ModelSettings(Strict):
    """Either `path` (a transformers checkpoint) or `tiny`."""

    path: str | None = None
    """Folder or hub name of a transformers checkpoint."""
    tiny: TinyModel | None = None
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    lora: Lora | None = None
    gradient_checkpointing: bool = False
    freeze_vision: bool = True
    """Keep the vision tower's weights fixed."""

    @model_validator(mode="after")
    def _one_source(self) -> ModelSettings:
        if (self.path is None) == (self.tiny is None):
            raise ValueError("set exactly one of 'path' (a checkpoint) and 'tiny' (sizes of a model built here)")
        return self


class Seeds(Strict):
    """Separate seeds, so that weights, data order and sampling vary independently."""

    weights: int = 0
    data: int = 0
    sampling: int = 0


class Teacher(Strict):
    """Who writes the chains. `endpoint`, or `solver` (an exact program that errs at set rates)."""

    endpoint: Endpoint | None = None
    solver: str | None = None
    """Reference 'file.py:function' of a solver for the embedded default."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Passed to the solver (error rates)."""
    attempts: int = 3
    """Attempts per question before it goes to the RL pool [DianJin-R1, figure]."""
    judge: Endpoint | None = None
    """Judge of answer and reasoning; None: our graders judge the answer alone."""
    verify: str | None = None
    """'file.py:function' that judges in their place: (sample, response) -> Judgement (`mmreason.data.judge`)."""


class DataSettings(Strict):
    """Which pipelines build the training sets, and their bounds."""

    pipelines: list[str]
    """Data-set YAMLs used when `--data` names a folder of real files."""
    embedded: list[str]
    """Data-set YAMLs of the embedded default, used without `--data`."""
    dir: str | None = None
    """Folder of the real data sets; `--data` sets it."""
    teacher: Teacher | None = None
    rl_source: Literal["teacher_failed", "passrate", "variance", "all"] = "teacher_failed"
    """RL pool: what the teacher failed (DianJin-R1); 0 < passes < k under the start model (reconstructed); by the
    spread of its answers, see `selection` (Temporal-R1); or all."""
    rl_kinds: list[str] = Field(default_factory=lambda: ["choice"])
    """Answer kinds that enter the RL pool; the paper trains on multiple choice alone."""
    passrate_k: int = 4
    selection: Selection = Selection()
    """Which questions `variance` keeps."""
    max_prompt_tokens: int = 1024
    """Longer prompts are dropped with a reason, never cut."""
    eval_fraction: float = 0.1
    """Share of documents held out where a set has no released test split."""


class SftSettings(Strict):
    """Cold start: next-token loss on the response alone."""

    optim: Optim
    target: Literal["chain", "answer"] = "chain"
    """What is learnt: the verified chain, or the bare answer (control arm)."""
    unverified: bool = False
    """Learn the teacher's first attempt even where verification removed it (control arm)."""
    epochs: float = 3.0
    max_steps: int | None = None
    """Overrides epochs."""
    batch: int = 32
    """Sequences per update, over all processes."""
    micro_batch: int = 8
    """Sequences per forward, per process."""
    max_tokens: int = 16384
    """Longer sequences are refused when the data are loaded, never cut."""
    save_every: int = 50


Baseline = Literal["constants", "question_only"]
"""What needs no look at a picture. Constants: the best single answer to all questions, and the commonest of each kind.
Question only: the same model asked the same questions without pictures and clips, with the same sampling, answers a
question, limits and engine, so that it costs one more pass over the suite less the visual tokens."""


class EvalSettings(Strict):
    """What is evaluated and how answers are drawn."""

    suites: list[str]
    """Suites used when `--data` names a folder."""
    embedded_suites: list[str] = Field(default_factory=list)
    """Suites of the embedded default."""
    sampling: Sampling = Sampling(temperature=0.0)
    """Temperature 0 is greedy."""
    runs: int = 1
    """Answers per question; the score is their mean."""
    batch: int = 128
    limit: int | None = Field(default=None, gt=0)
    """Questions per suite; results then say 'subset n of N'."""
    subset: bool = False
    """Take a part of a released split where no more is there; results then say 'subset n of N'."""
    prompt: Literal["own", "official"] = "own"
    """Put questions as the domain does, or as the authors of each suite do."""
    judge: Endpoint | None = None
    """Grades replies by rubric, and free answers that are not equal to the gold; the latter stand beside the score."""
    engine: Literal["transformers", "vllm"] = "transformers"
    share_prompts: bool = True
    """Prefill what the prompts of several questions have in common (a clip, an image, a report) once."""
    baselines: list[Baseline] | None = None
    """What stands beside each score; None: what each suite names."""
    base: bool = True
    """Evaluate the model before any training too; one drawn at random says nothing, until each answer's limit."""
    controls: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name -> options over the recipe's own: each stage's model is evaluated under them too, as <stage>_<name>."""


class LaunchSettings(Strict):
    """How training processes are started."""

    processes: int = 1
    deepspeed: str | None = None
    """DeepSpeed JSON relative to training/launch/, for accelerate."""
    fsdp: bool = False
    """Spread weights, gradients and optimiser over the processes with FSDP2."""
    threads: int | None = None
    """torch CPU threads; fixed so that a resumed run equals an uninterrupted one."""

    @model_validator(mode="after")
    def _one_way(self) -> LaunchSettings:
        if self.fsdp and self.deepspeed is not None:
            raise ValueError("fsdp and deepspeed both spread the model: set one of them")
        return self


class Stage(Strict):
    """One training stage of a chain."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$")
    kind: Literal["sft", "grpo"]
    settings: dict[str, Any] = Field(default_factory=dict)
    """Over the recipe's own, by dotted key, for this stage alone."""


class Recipe(Strict):
    """A whole run: data, cold start, RL, evaluation."""

    system: str
    domain: str = ".."
    """Folder of domain.yaml, relative to the recipe's folder."""
    paper: str = ""
    task: Task | None = None
    """What this system declares in place of its domain."""
    seeds: Seeds = Seeds()
    model: ModelSettings
    data: DataSettings
    sft: SftSettings | None = None
    grpo: GrpoSettings | None = None
    eval: EvalSettings
    launch: LaunchSettings = LaunchSettings()
    stages: list[Stage] = Field(default_factory=list)
    """Training stages in order, each a run of its own that begins at the model of the one before, with its own data and
    evaluation; empty: cold start, then RL, on the same data."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of the system's own parts: environment, reward terms, reproduction."""

    @model_validator(mode="after")
    def _chained(self) -> Recipe:
        names = [stage.name for stage in self.stages]
        if len(names) != len(set(names)):
            raise ValueError(f"stages are named {', '.join(names)}: give each a name of its own")
        for stage in self.stages:
            if getattr(self, stage.kind) is None:
                raise ValueError(f"stage {stage.name} is {stage.kind}, but there is no section {stage.kind!r}")
        return self
