"""A retriever that asks a search service: time-outs, retries with growing waits, a cache, one line when it is down."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
from pydantic import Field

from mmreason.config.strict import Strict
from mmreason.data.reply_cache import ReplyCache, request_key
from mmreason.errors import UserError
from mmreason.retrieval.passages import Hit, Passage, check_k
from mmreason.retrieval.wire import Asked, BadWire, read_result

MAX_WAIT_S = 30.0


class ServiceSettings(Strict):
    """Where the service is and how patiently it is asked."""

    url: str = Field(pattern=r"^https?://")
    """The whole address, path included: http://127.0.0.1:8000/retrieve."""
    timeout_s: float = Field(default=20.0, gt=0)
    """For connecting, and between two pieces of an answer. Med-R3's client waits 20 s (8023looker/Med-R3)."""
    retries: int = Field(default=4, ge=0)
    """Tries after the first; Med-R3's client tries 5 times in all."""
    backoff_s: float = Field(default=0.5, ge=0)
    """Wait before the first retry, doubled each time, up to 30 s, with a random half taken off."""
    batch: int = Field(default=64, ge=1)
    """Queries in one request."""
    corpus: str = ""
    """Any word for the corpus behind the address: another word, and cached answers count no more."""


class ServiceDown(UserError):
    """The service could not be brought to answer. What it answered before is cached."""


class _Failed(Exception):
    def __init__(self, fault: str, detail: str, again: bool = True) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault, self.again = fault, again


class HttpRetriever:
    """A `Retriever` over HTTP. `cached`: queries answered from the cache; `faults`: calls that failed, by kind."""

    def __init__(
        self, settings: ServiceSettings, cache: Path | None = None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.settings, self.calls, self.cached = settings, 0, 0
        self.faults: Counter[str] = Counter()
        self._cache = ReplyCache(cache) if cache else None  # empty, it is false: compare with None
        self._sleep = sleep
        self._client = httpx.Client(timeout=httpx.Timeout(settings.timeout_s))

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See `Retriever.search`. A query that occurs twice, or that the cache knows, is not sent.

        Raises ServiceDown when the retries are spent and where the service refuses the request.
        """
        check_k(k)
        found: dict[str, list[Hit]] = {query: [] for query in queries if not query.strip()}
        for query in dict.fromkeys(queries):
            known = None if query in found else self._known(query, k)
            if known is not None:
                found[query] = known
        missing = [query for query in dict.fromkeys(queries) if query not in found]
        for start in range(0, len(missing), self.settings.batch):
            asked = missing[start : start + self.settings.batch]
            for query, hits in zip(asked, self._retry(Asked(asked, k, True)), strict=True):
                found[query] = hits
                self._keep(query, k, hits)
        return [list(found[query]) for query in queries]

    def close(self) -> None:
        """Close connections and cache."""
        self._client.close()
        if self._cache is not None:
            self._cache.close()

    def _key(self, query: str, k: int) -> str:
        where = {"url": self.settings.url, "corpus": self.settings.corpus}
        return request_key(where | {"query": query, "topk": k}, 0)

    def _known(self, query: str, k: int) -> list[Hit] | None:
        reply = None if self._cache is None else self._cache.get(self._key(query, k))
        if reply is None:
            return None
        self.cached += 1
        return [Hit(Passage(**hit["passage"]), hit["score"], hit["rank"]) for hit in reply["hits"]]

    def _keep(self, query: str, k: int, hits: list[Hit]) -> None:
        if self._cache is not None:
            self._cache.put(self._key(query, k), {"hits": [asdict(hit) for hit in hits]})

    def _retry(self, asked: Asked) -> list[list[Hit]]:
        for trial in range(self.settings.retries + 1):
            try:
                return self._call(asked)
            except _Failed as failed:
                self.faults[failed.fault] += 1
                if trial == self.settings.retries or not failed.again:
                    raise ServiceDown(self._stop_line(failed, trial + 1)) from failed
                self._sleep(min(MAX_WAIT_S, self.settings.backoff_s * 2**trial) * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable: the last trial returns or raises")

    def _call(self, asked: Asked) -> list[list[Hit]]:
        self.calls += 1
        try:
            response = self._client.post(self.settings.url, json=asked.body())
        except httpx.TimeoutException as error:
            raise _Failed("timeout", f"no answer within {self.settings.timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise _Failed("connection", str(error) or type(error).__name__) from error
        _check_status(response)
        try:
            return read_result(_json(response), len(asked.queries), asked.k)
        except BadWire as error:
            raise _Failed("garbage", str(error)) from None

    def _stop_line(self, failed: _Failed, trials: int) -> str:
        where = f"search service {self.settings.url}"
        if not failed.again:
            return f"{where} refuses the request ({failed}); check the address and the format it expects"
        return f"{where} failed {trials} times ({failed}); start it or correct its address, then run again"


def _check_status(response: httpx.Response) -> None:
    status, text = response.status_code, " ".join(response.text[:200].split())
    if status in (408, 429) or status >= 500:
        raise _Failed("status", f"{status} {text}")
    if status != 200:
        raise _Failed("refused", f"{status} {text}", again=False)


def _json(response: httpx.Response) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        raise BadWire(f"the answer is not JSON; it starts {response.text[:60]!r}") from None
