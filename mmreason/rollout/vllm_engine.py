"""Sampling with vLLM in this process; the trained weights are handed over after each update.

One engine a training process, on the process's own device and without tensor parallelism: the answers of a step are
shared by the processes as its prompts are, so that no request leaves its process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.media.files import open_image
from mmreason.models.codec import Codec, Encoded
from mmreason.records import Rollout, Sample, Stop
from mmreason.run import processes

MEMORY_SHARE = 0.35
"""Share of the GPU's memory for vLLM's weights and cache; the rest is the trained model's."""
CPU_CACHE_GIB = "1"
_SEED_SPACE = 2**62


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
        distributed_executor_backend="external_launcher" if processes.size() > 1 else "uni",
        disable_log_stats=True,
    )


def _refresh_heads(model: torch.nn.Module) -> None:
    """A head tied to the embedding is not reloaded itself; where it is kept packed (CPU) the packed copy is old."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for layer in model.modules():
        if isinstance(layer, ParallelLMHead):
            layer.quant_method.process_weights_after_loading(layer)


class VllmEngine:
    """Samples with `vllm.LLM`.

    Its log-probabilities are those after the top-p cut, where the protocol asks for those before: with `top_p` below
    1 they lie up to -log(top_p) above. Training never uses them; it computes its own from the exact ids.
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
        self.llm.apply_model(_refresh_heads)
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
        """See `rollout.engine.Engine`. Every answer has a seed of its own, however many processes share the batch."""
        encoded = [self.codec.encode(sample) for sample in samples]
        requests = [self._request(*pair) for pair in zip(samples, encoded, strict=True)]
        places = (index * processes.size() + processes.rank() for index in range(len(samples)))
        chosen = [self._sampling(sampling, n, seed * 1_000_003 + place * n) for place in places]
        outputs = self.llm.generate(requests, chosen, use_tqdm=False)
        self.prefills += len(samples)
        if on_done is not None:
            on_done(len(samples) * n)
        return [self._group(*triple) for triple in zip(samples, encoded, outputs, strict=True)]

    def _request(self, sample: Sample, prompt: Encoded) -> dict[str, Any]:
        """Exact ids; vLLM puts as many placeholders as a picture makes tokens, so it is given one a picture."""
        room = self.longest - len(prompt.ids)
        if room <= 0:
            raise UserError(f"sample {sample.id}: {len(prompt.ids)} prompt tokens, the engine has {self.longest}")
        if not sample.media:
            return {"prompt_token_ids": prompt.ids}
        assert self.codec.media_root is not None
        order = [part.media for message in sample.prompt for part in message.parts if part.type == "image"]
        pictures = [open_image(self.codec.media_root, sample.media[index]) for index in order]
        visual = set(self.codec.visual_ids)
        ids = [i for token, run in groupby(prompt.ids) for i in ([token] if token in visual else run)]
        return {"prompt_token_ids": ids, "multi_modal_data": {"image": pictures}}

    def _sampling(self, sampling: Sampling, n: int, seed: int) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            n=n,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            seed=seed % _SEED_SPACE,
            logprobs=0,  # of the sampled token alone
            ignore_eos=True,  # the one stop is the codec's end of turn, as in every other engine
            stop_token_ids=[self.codec.eos_id],
            logit_bias=dict.fromkeys(self.codec.visual_ids, -100.0),
            detokenize=False,
        )

    def _group(self, sample: Sample, prompt: Encoded, output: Any) -> list[Rollout]:
        if list(output.prompt_token_ids) != prompt.ids:
            raise UserError(
                f"sample {sample.id}: vLLM made {len(output.prompt_token_ids)} prompt tokens, the codec "
                f"{len(prompt.ids)}: their picture processors differ, use grpo.engine=transformers"
            )
        return [self._generation(prompt, answer) for answer in output.outputs]

    def _generation(self, prompt: Encoded, answer: Any) -> Rollout:
        ids = tuple(answer.token_ids)
        logprobs = tuple(step[token].logprob for step, token in zip(answer.logprobs, ids, strict=True))
        stop = Stop.EOS if ids[-1] == self.codec.eos_id else Stop.LENGTH
        return Rollout(tuple(prompt.ids), ids, logprobs, self.codec.decode(list(ids)), stop)
