from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from chat_server import Log, completion, say, send_bytes, send_json, serve
from making import endpoint, sample

from mmreason.config.recipe import Endpoint
from mmreason.data.endpoint import Chat, EndpointStopped, Reply, chat_messages
from mmreason.data.reply_cache import ReplyCache, request_key
from mmreason.errors import UserError
from mmreason.records import Message, Role

HELLO = [{"role": "user", "content": "hello"}]


def client(log: Log, folder: Path, **settings: Any) -> Chat:
    return Chat(Endpoint(**endpoint(log.url, **settings)), folder / "cache.sqlite", backoff_s=0.001)


def test_reply_with_reasoning_and_usage(tmp_path: Path) -> None:
    with serve(say("the answer", reasoning="because")) as log:
        assert client(log, tmp_path).ask(HELLO) == Reply("the answer", "because", "stop", 3, 5)


def test_same_request_is_asked_once_and_survives_the_process(tmp_path: Path) -> None:
    with serve(say("x")) as log:
        first = client(log, tmp_path)
        assert first.ask(HELLO) == first.ask(HELLO)
        first.ask(HELLO, attempt=1)
        first.close()
        again = client(log, tmp_path)
        again.ask(HELLO)
        again.ask(HELLO, attempt=1)
        assert len(log.bodies) == 2 and again.calls == 0


def test_key_depends_on_model_sampling_and_attempt(tmp_path: Path) -> None:
    with serve(say("x")) as log:
        bodies = [client(log, tmp_path, **more).body(HELLO) for more in ({}, {"model": "b"}, {"temperature": 0.1})]
    keys = {request_key(body, attempt) for body in bodies for attempt in (0, 1)}
    assert len(keys) == 6


def fail_first(times: int, how: Any) -> Any:
    def script(body: Any, seen: int, handler: Any) -> None:
        if seen < times:
            how(handler)
        else:
            send_json(handler, completion("fine"))

    return script


def stop_half_way(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def reset(handler: Any) -> None:
    handler.connection.close()
    handler.close_connection = True


FAULTS = [
    ("server", lambda h: send_json(h, {"error": "x"}, status=500), "status 500"),
    ("server", lambda h: send_json(h, {"error": "x"}, status=503), "status 503"),
    ("rate_limited", lambda h: send_json(h, {}, status=429, Retry_After="0"), "status 429 with Retry-After"),
    ("not_json", lambda h: send_bytes(h, b"<html>gateway</html>"), "a proxy's page"),
    ("not_json", lambda h: send_bytes(h, b"\xff\xfe\x00"), "bytes that are no text"),
    ("no_choices", lambda h: send_json(h, {"choices": []}), "no choice"),
    ("no_choices", lambda h: send_json(h, {"error": {"message": "overloaded"}}), "error with status 200"),
    ("no_choices", lambda h: send_json(h, [1, 2]), "a list"),
    ("empty", lambda h: send_json(h, completion("  ")), "spaces only"),
    ("connection", stop_half_way, "body stops half-way"),
    ("connection", reset, "connection closed without a response"),
]


@pytest.mark.parametrize(("fault", "how", "origin"), FAULTS)
def test_faults_are_told_apart_and_healed_by_retries(tmp_path: Path, fault: str, how: Any, origin: str) -> None:
    with serve(fail_first(2, how)) as log:
        chat = client(log, tmp_path)
        assert chat.ask(HELLO).content == "fine", origin
        assert chat.faults == {fault: 2} and len(log.bodies) == 3


def test_timeout_is_retried(tmp_path: Path) -> None:
    with serve(fail_first(1, lambda handler: time.sleep(2.5))) as log:
        chat = client(log, tmp_path, timeout_s=0.8)
        assert chat.ask(HELLO).content == "fine" and chat.faults == {"timeout": 1}


def test_spent_retries_stop_with_the_fault(tmp_path: Path) -> None:
    with serve(fail_first(99, lambda h: send_json(h, {}, status=500))) as log:
        with pytest.raises(
            EndpointStopped, match=r"teacher test-model at http.* failed 3 times \(server: status 500\)"
        ):
            client(log, tmp_path).ask(HELLO)
        assert len(log.bodies) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_refusals_are_not_repeated(tmp_path: Path, status: int) -> None:
    with serve(lambda b, s, h: send_json(h, {"error": "no such model"}, status=status)) as log:
        with pytest.raises(EndpointStopped, match=r"refuses the request .*no such model.*check base_url"):
            client(log, tmp_path).ask(HELLO)
        assert len(log.bodies) == 1


def test_a_cut_completion_is_a_reply_not_a_fault(tmp_path: Path) -> None:
    with serve(say("<think>I was just", finish="length")) as log:
        chat = client(log, tmp_path)
        assert chat.ask(HELLO).finish == "length" and not chat.faults


def test_silence_to_one_question_is_a_failed_attempt_not_a_stop(tmp_path: Path) -> None:
    with serve(say("")) as log:
        chat = client(log, tmp_path)
        assert chat.ask(HELLO).finish == "empty"
        chat.ask(HELLO)
        assert len(log.bodies) == 3  # one try, two retries, then cached


def test_waits_grow_are_jittered_and_obey_retry_after(tmp_path: Path) -> None:
    waits: list[float] = []
    script = fail_first(3, lambda h: send_json(h, {}, status=429, Retry_After="7"))
    with serve(script) as log:
        Chat(Endpoint(**endpoint(log.url, retries=3)), tmp_path / "c.sqlite", backoff_s=8.0, sleep=waits.append).ask(
            HELLO
        )
    assert 7 <= waits[0] <= 8 and 8 <= waits[1] <= 16 and 16 <= waits[2] <= 32


def test_key_is_sent_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADE_KEY", "secret")
    seen: list[str | None] = []

    def script(body: Any, count: int, handler: Any) -> None:
        seen.append(handler.headers.get("Authorization"))
        send_json(handler, completion("x"))

    with serve(script) as log:
        client(log, tmp_path, api_key_env="MADE_KEY").ask(HELLO)
        client(log, tmp_path / "other", api_key_env="UNSET_KEY").ask(HELLO)
    assert seen == ["Bearer secret", None]
    assert b"secret" not in (tmp_path / "cache.sqlite").read_bytes()


def test_pictures_are_refused_not_lost() -> None:
    with pytest.raises(UserError, match="pictures"):
        chat_messages((Message.of(Role.USER, "what is this?", images=1),))
    assert chat_messages(sample().messages) == [{"role": "user", "content": sample().question}]


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(UserError, match="not a usable reply cache"):
        ReplyCache(path)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "cache.sqlite")
    cache.put("small", {"content": "x"})
    cache._db.execute("PRAGMA max_page_count = 4")  # SQLite's own limit, the same error as a full disk
    with pytest.raises(UserError, match=r"cannot write the reply cache .*full"):
        cache.put("large", {"content": "x" * 100_000})
    assert cache.get("small") == {"content": "x"} and cache.get("large") is None


def test_offline_answers_from_the_cache_alone(tmp_path: Path) -> None:
    with serve(say("x")) as log:
        client(log, tmp_path).ask(HELLO)
        cached = Chat(Endpoint(**endpoint(log.url)), tmp_path / "cache.sqlite", offline=True)
        assert cached.ask(HELLO).content == "x"
        with pytest.raises(EndpointStopped, match="offline, and this request is not in"):
            cached.ask(HELLO, attempt=1)
        assert len(log.bodies) == 1
