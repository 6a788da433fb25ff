"""TRL's side of `grpo_step_trl.py`: its own GRPOTrainer and its own loop.

    python benchmarks/step_trl.py FOLDER

In its quickest setting for this task: answers sampled by transformers in one batch of 8 rows, no log-probabilities of
the old policy (it leaves them out where a step updates once), no checkpointing of activations, which is its default and
would cost another pass.

The environment: a venv that also sees this one's packages (a .pth file), then `pip install --no-deps trl==1.16`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from PIL import Image
from step_side import (
    CLIP,
    GROUP,
    LENGTH,
    RATE,
    Line,
    Tower,
    digest,
    facts_of,
    given,
    peak_mib,
    reward_of,
    sample_of,
    task_of,
    tower_seconds,
)
from transformers import Qwen2_5_VLProcessor, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from mmreason.models.codec import Codec
from mmreason.models.load import load_model


class Processor(Qwen2_5_VLProcessor):
    """The real one, whose video part needs torchvision; a processor has the parts that its signature names."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        super().__init__(image_processor, tokenizer, None, chat_template=chat_template)


class Timed(GRPOTrainer):
    """TRL's trainer with a clock around its own parts."""

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        made = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        self.generating = time.perf_counter() - begun
        self.prompt, self.tokens = digest(list(prompt_ids[0])), sum(map(len, made[0]))
        return made

    def _prepare_inputs(self, batch: Any) -> Any:
        begun = time.perf_counter()
        made = super()._prepare_inputs(batch)
        self.preparing = time.perf_counter() - begun
        return made


class Gate(TrainerCallback):
    """Holds the loop between two steps. The clock runs over data loading too, which TRL's user waits for."""

    def __init__(self, line: Line, tower: Tower, facts: dict[str, Any]) -> None:
        self.line, self.tower, self.facts = line, tower, facts
        self.trainer: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.line.tell(self.facts)
        self.wait(control)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        seconds, cpu = time.perf_counter() - self.begun, time.process_time() - self.begun_cpu
        preparing, generating = self.trainer.preparing, self.trainer.generating
        phases = {"rollout": generating, "processor and reward": preparing - generating, "update": seconds - preparing}
        took = {"seconds": seconds, "cpu_seconds": cpu, "phases": phases, "tokens": self.trainer.tokens}
        self.line.tell({**took, **self.tower.take()})
        self.wait(control)

    def wait(self, control: Any) -> None:
        control.should_training_stop = not self.line.wait()
        self.begun, self.begun_cpu = time.perf_counter(), time.process_time()


def settings(folder: Path, banned: list[int]) -> GRPOConfig:
    return GRPOConfig(
        str(folder / "trl"),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        per_device_train_batch_size=GROUP,
        num_generations=GROUP,
        max_completion_length=LENGTH,
        generation_kwargs={"suppress_tokens": banned},
        learning_rate=RATE,
        lr_scheduler_type="constant",
        epsilon=CLIP,
        beta=0.0,
        loss_type="dapo",
        max_steps=1000,
        logging_steps=1000,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def trl(line: Line, folder: Path) -> None:
    """Take steps for as long as they are asked for."""
    codec = Codec.load(folder / "model", folder)
    model: Any = load_model(folder / "model")
    text, pictures = task_of(folder)
    gate = Gate(line, Tower(model), facts_of(model, "trl", "torch", "transformers", "datasets"))
    row = {"prompt": [{"role": "user", "content": text}], "images": [Image.open(path) for path in pictures]}
    gate.trainer = trainer = Timed(
        model=model,
        reward_funcs=lambda completions, **_: [reward_of(answer[0]["content"]) for answer in completions],
        args=settings(folder, [*codec.visual_ids, codec.eos_id]),
        train_dataset=Dataset.from_list([row, row]),
        processing_class=Processor(codec.images, codec.tokenizer, codec.tokenizer.chat_template),
        callbacks=[gate],
    )
    trainer.train()
    seconds = tower_seconds(model, codec, sample_of(folder), GROUP)
    line.tell({"prompt": trainer.prompt, "peak_mib": peak_mib(), "tower_seconds": seconds})


if __name__ == "__main__":
    trl(*given())
