"""Questions a second of our model class against lm-eval's `hf-multimodal`, in lm-eval's own evaluator.

    python benchmarks/eval_throughput.py --data DIR [--threads N] [--questions 200] [--save]

One task of lm-eval (a ConfigurableTask over VQA-RAD, pictures in `visual`), one tiny Qwen2.5-VL checkpoint, greedy,
answers of at most 16 tokens; both sides put the chat template themselves and make the same prompt. The sides take
turns; medians. `hf-multimodal` runs at several batch sizes, the quickest counts. Its processor is the checkpoint's own
without the video part, which would need torchvision. Samples are not logged: lm-eval would write each picture as a PNG
to hash it, as long on both sides.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch
from datasets import Dataset
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.models.hf_vlms import HFMultimodalLM
from PIL import Image
from transformers import AutoTokenizer, Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.rollout.transformers_engine import TransformersEngine
from mmreason.suites.lm import MmreasonLM

DEMANDED, REPEATS, NEW_TOKENS = 2.0, 2, 16
SIZES = TinyModel(
    family="qwen2_5_vl", hidden=256, layers=6, heads=4, kv_heads=2, ffn=768, vocab=1024, max_pixels=448 * 448
)


class Processor(Qwen2_5_VLProcessor):
    """The real one without its video part; a processor has the parts that its signature names."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        super().__init__(image_processor, tokenizer, None, chat_template=chat_template)


class Theirs(HFMultimodalLM):
    """lm-eval's class; only the loading of the processor is changed."""

    def _create_tokenizer(self, pretrained: Any, tokenizer: Any, **_: Any) -> None:
        name = self.model.name_or_path
        made = AutoTokenizer.from_pretrained(name)
        self.processor = Processor(Qwen2VLImageProcessorPil.from_pretrained(name), made, made.chat_template)
        self.tokenizer = made


def rows_of(data: Path, count: int) -> list[dict[str, Any]]:
    """The first questions of VQA-RAD's val part, in its own order."""
    found = json.loads((data / "vqa_rad" / "val.json").read_text(encoding="utf-8"))
    return [
        {"question": row["question"], "answer": str(row["answer"]), "image": row["image_name"]} for row in found[:count]
    ]


def task_of(data: Path, rows: list[dict[str, Any]]) -> ConfigurableTask:
    """VQA-RAD as any lm-eval task with pictures."""
    folder = data / "vqa_rad" / "images"
    return ConfigurableTask(
        config={
            "task": "vqa_rad_plain",
            "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": lambda doc: f"<image>{doc['question']}",
            "doc_to_image": lambda doc: [Image.open(folder / doc["image"]).convert("RGB")],
            "doc_to_target": lambda doc: doc["answer"],
            "generation_kwargs": {"until": [], "max_gen_toks": NEW_TOKENS, "do_sample": False},
            "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        }
    )


def run(lm: Any, task: ConfigurableTask) -> tuple[float, list[str]]:
    """Seconds, and the answers in order."""
    begun = time.perf_counter()
    tasks = {"tasks": {"vqa_rad_plain": task}, "groups": {}}
    evaluate(lm, tasks, apply_chat_template=True, bootstrap_iters=0, log_samples=False)
    return time.perf_counter() - begun, [instance.resps[0] for instance in task.instances]


def sides(folder: Path) -> dict[str, Callable[[], Any]]:
    """Name -> a fresh model object of that side."""
    model = load_model(folder).eval()

    def ours(shared: bool) -> MmreasonLM:
        codec = Codec.load(folder)
        engine = TransformersEngine(load_model(folder).eval(), codec)
        sampling = Sampling(temperature=0.0, max_new_tokens=NEW_TOKENS)
        return MmreasonLM(engine, codec, sampling, batch=32, share_prompts=shared)

    def theirs(size: int) -> Theirs:
        return Theirs(pretrained=model, backend="causal", batch_size=size, max_length=4096)

    found: dict[str, Callable[[], Any]] = {f"hf-multimodal, batch {size}": lambda s=size: theirs(s) for size in (1, 32)}
    return {**found, "mmreason": lambda: ours(True), "mmreason, each prompt by itself": lambda: ours(False)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = rows_of(given.data, given.questions)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        tokenizer = train_tokenizer([row["question"] for row in rows], SIZES.vocab)
        build_tiny(SIZES, tokenizer, 0, folder)
        seconds: dict[str, list[float]] = {}
        answers: dict[str, list[str]] = {}
        counts: dict[str, int] = {}
        for _ in range(REPEATS):
            for name, make in sides(folder).items():
                lm = make()
                took, answers[name] = run(lm, task_of(given.data, rows))
                seconds.setdefault(name, []).append(took)
                counts = dict(lm.counts) if name == "mmreason" else counts
    middle = {name: median(values) for name, values in seconds.items()}
    best = min((name for name in middle if name.startswith("hf")), key=lambda name: middle[name])
    same = sum(a == b for a, b in zip(answers["mmreason"], answers[best], strict=True))
    result = {
        "date": date.today().isoformat(),
        "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip(),
        "command": f"python benchmarks/eval_throughput.py --data DIR --threads {given.threads} --questions {len(rows)}",
        "hardware": f"{platform.processor() or platform.machine()}, {given.threads} threads",
        "questions": len(rows),
        "images": len({row["image"] for row in rows}),
        "seconds": {name: round(value, 3) for name, value in middle.items()},
        "questions_per_second": {name: round(len(rows) / value, 2) for name, value in middle.items()},
        "peer": best,
        "ratio": round(middle[best] / middle["mmreason"], 2),
        "ratio_without_sharing": round(middle[best] / middle["mmreason, each prompt by itself"], 2),
        "demanded": DEMANDED,
        "same_answers": f"{same} of {len(rows)}",
        "prompts": counts,
    }
    print(json.dumps(result, indent=1))
    if given.save:
        path = Path(__file__).parent / "results" / f"eval_throughput_{result['date']}.json"
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
