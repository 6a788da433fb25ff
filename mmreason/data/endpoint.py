"""Client of OpenAI-compatible /chat/completions: retries what may heal, caches what came, stops with one line."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from mmreason.config.recipe import Endpoint
from mmreason.data.reply_cache import ReplyCache, request_key
from mmreason.errors import UserError
from mmreason.records import Message

MAX_WAIT_S = 60.0
_JPEG_QUALITY = 90
"""Of pictures that are sent; a frame of 256 visual tokens takes about 40 kB."""


class Fault(StrEnum):
    """What went wrong with one call; all but REFUSED are tried again."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    """Refused, reset, or a body that stopped half-way."""
    RATE_LIMITED = "rate_limited"
    SERVER = "server"
    """Status 5xx."""
    NOT_JSON = "not_json"
    NO_CHOICES = "no_choices"
    """JSON, but not a chat completion."""
    EMPTY = "empty"
    """A completion without text."""
    REFUSED = "refused"
    """Status 4xx other than 408 and 429: the request itself is wrong, so it is not repeated."""


class EndpointStopped(UserError):
    """The endpoint cannot go on. What came before is cached."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One completion. `finish` is "length" when the endpoint cut it; `reasoning` is DeepSeek-style thinking text."""

    content: str
    reasoning: str = ""
    finish: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _CallFailed(Exception):
    def __init__(self, fault: Fault, detail: str, wait_s: float = 0.0) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault, self.wait_s = fault, wait_s


def read_reply(response: httpx.Response) -> Reply:
    """A completion from a response, or `_CallFailed` saying which way it is broken."""
    status = response.status_code
    if status == 429:
        wait = response.headers.get("retry-after", "")
        raise _CallFailed(Fault.RATE_LIMITED, "status 429", float(wait) if wait.isdigit() else 0.0)
    if status >= 500 or status == 408:
        raise _CallFailed(Fault.SERVER, f"status {status}")
    if status >= 400:
        raise _CallFailed(Fault.REFUSED, f"status {status}: {' '.join(response.text.split())[:200]}")
    try:
        body = json.loads(response.content)
    except ValueError:
        raise _CallFailed(Fault.NOT_JSON, f"body starts {response.text[:60]!r}") from None
    try:
        choice = body["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason") or "stop"
        content, reasoning = message.get("content") or "", message.get("reasoning_content") or ""
    except (KeyError, IndexError, TypeError, AttributeError):
        raise _CallFailed(Fault.NO_CHOICES, f"body starts {response.text[:60]!r}") from None
    if not isinstance(content, str) or not isinstance(reasoning, str):
        raise _CallFailed(Fault.NO_CHOICES, "message content is not text")
    if not content.strip() and finish != "length":
        raise _CallFailed(Fault.EMPTY, f"finish_reason {finish}")
    usage = body.get("usage") or {}
    tokens = [int(usage.get(key) or 0) for key in ("prompt_tokens", "completion_tokens")]
    return Reply(content, reasoning, finish, *tokens)


def chat_messages(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    """Messages for the wire. Raises UserError where pictures would be lost."""
    for message in messages:
        if any(part.type != "text" for part in message.parts):
            raise UserError("endpoints are given text only here, and this question has pictures; use a text data set")
    return [{"role": message.role.value, "content": message.text} for message in messages]


def picture_part(picture: Image.Image) -> dict[str, Any]:
    """A picture as an item of a message's content list: JPEG in a data URL, the same bytes for the same pixels."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def text_part(text: str) -> dict[str, Any]:
    """Text as an item of a message's content list."""
    return {"type": "text", "text": text}


class Chat:
    """One endpoint with its cache. Safe to call from several threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        cache: Path,
        *,
        role: str = "teacher",
        offline: bool = False,
        backoff_s: float = 1.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint, self.role, self.offline = endpoint, role, offline
        self.cache = ReplyCache(cache)
        self.faults: Counter[str] = Counter()
        self.calls = 0
        self._backoff_s, self._sleep, self._lock = backoff_s, sleep, threading.Lock()
        key = os.environ.get(endpoint.api_key_env)
        self._client = httpx.Client(
            base_url=endpoint.base_url.rstrip("/"),
            timeout=httpx.Timeout(endpoint.timeout_s),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=endpoint.concurrency),
        )

    def body(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The request, exactly as sent and as hashed."""
        e = self.endpoint
        sampling = {"temperature": e.temperature, "top_p": e.top_p, "max_tokens": e.max_tokens}
        return {"model": e.model, "messages": list(messages), **sampling}

    def ask(self, messages: Sequence[Mapping[str, Any]], attempt: int = 0) -> Reply:
        """The reply to `messages`; another `attempt` is another draw. Raises EndpointStopped when retries are spent."""
        body = self.body(messages)
        key = request_key(body, attempt)
        stored = self.cache.get(key)
        if stored is not None:
            return Reply(**stored)
        if self.offline:
            raise EndpointStopped(f"{self.role}: offline, and this request is not in {self.cache.path}")
        reply = self._retry(body)
        self.cache.put(key, asdict(reply))
        return reply

    def _retry(self, body: dict[str, Any]) -> Reply:
        for trial in range(self.endpoint.retries + 1):
            try:
                return self._call(body)
            except _CallFailed as failed:
                with self._lock:
                    self.faults[failed.fault.value] += 1
                last = trial == self.endpoint.retries
                if last and failed.fault is Fault.EMPTY:
                    return Reply("", finish="empty")  # a model that says nothing to this question: the attempt fails
                if last or failed.fault is Fault.REFUSED:
                    raise EndpointStopped(self._stop_line(failed, trial + 1)) from failed
                wait = min(MAX_WAIT_S, self._backoff_s * 2**trial) * random.uniform(0.5, 1.0)
                self._sleep(max(wait, min(failed.wait_s, MAX_WAIT_S)))
        raise AssertionError("unreachable: the last trial returns or raises")

    def _call(self, body: dict[str, Any]) -> Reply:
        with self._lock:
            self.calls += 1
        try:
            return read_reply(self._client.post("/chat/completions", json=body))
        except httpx.TimeoutException as error:
            raise _CallFailed(Fault.TIMEOUT, f"no answer within {self.endpoint.timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise _CallFailed(Fault.CONNECTION, str(error) or type(error).__name__) from error

    def _stop_line(self, failed: _CallFailed, trials: int) -> str:
        where = f"{self.role} {self.endpoint.model} at {self.endpoint.base_url}"
        if failed.fault is Fault.REFUSED:
            return f"{where} refuses the request ({failed}); check base_url, model and ${self.endpoint.api_key_env}"
        return f"{where} failed {trials} times ({failed})"

    def close(self) -> None:
        """Close connections and cache."""
        self._client.close()
        self.cache.close()
