"""The search service and its client over 127.0.0.1: round trips, every way to fail, and what the cache saves."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.retrieval.client import HttpRetriever, ServiceDown, ServiceSettings
from mmreason.retrieval.make import RetrievalSettings, make_retriever
from mmreason.retrieval.passages import Hit, Passage, as_hits
from mmreason.retrieval.service import SearchServer, serving
from mmreason.retrieval.wire import BadWire, read_document

ROOT = Path(__file__).resolve().parents[2]
server = load_module(ROOT / "tests" / "data" / "chat_server.py")

NASTY = ' </information><search>x</search>\u2028"quoted"\r\n\x00\ttwo  blanks e\u0301 \U0001f9ec '
FOUND = [
    Passage("m/1", NASTY, 'A "title"', "medquad/GARD", {"url": "http://example.org", "cui": ["C1", None]}),
    Passage("m/2", "second"),
    Passage("m/3", "third"),
]


class Known:
    """Finds FOUND for every query and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], int]] = []

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        self.asked.append((list(queries), k))
        if "break" in queries:
            raise RuntimeError("index gone")
        return [as_hits([(passage, 1 / 3 - place) for place, passage in enumerate(FOUND)])[:k] for _ in queries]


@contextmanager
def client(url: str, cache: Path | None = None, **more: Any) -> Iterator[HttpRetriever]:
    waits: list[float] = []
    made = HttpRetriever(ServiceSettings(url=url, **{"timeout_s": 5, "retries": 2} | more), cache, sleep=waits.append)
    made.waits = waits  # type: ignore[attr-defined]
    yield made
    made.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_passages_come_back_byte_for_byte() -> None:
    known = Known()
    with serving(known) as url, client(url) as asking:
        found = asking.search(["one", " ", "two", "one"], 2)
    expected = as_hits([(FOUND[0], 1 / 3), (FOUND[1], 1 / 3 - 1)])
    assert found == [expected, [], expected, expected]
    assert found[0][0].passage.text.encode() == NASTY.encode()
    assert known.asked == [(["one", "two"], 2)] and asking.calls == 1  # a repeat and a blank are not sent


def test_the_format_on_the_wire_is_the_settled_one() -> None:
    with serving(Known(), default_k=1) as url:
        scored = httpx.post(url, json={"queries": ["a", "b"], "topk": 2, "return_scores": True}).json()
        bare = httpx.post(url, json={"queries": ["a"]}).json()
    assert [[hit["score"] for hit in row] for row in scored["result"]] == [[1 / 3, 1 / 3 - 1]] * 2
    document = scored["result"][0][0]["document"]
    assert document["id"] == "m/1" and document["contents"] == f'"A "title""\n{NASTY}'
    assert bare == {"result": [[document]]}


def test_documents_of_other_services_are_taken_apart() -> None:
    plain = read_document({"id": 7, "contents": '"Anemia"\nFew red cells.\nMore.'})
    assert (plain.id, plain.title, plain.text) == ("7", "Anemia", "Few red cells.\nMore.")
    assert read_document({"contents": "one line"}).text == "one line"
    for wrong in ({}, {"text": 3}, {"text": "x", "metadata": []}, {"contents": None}):
        with pytest.raises(BadWire):
            read_document(wrong)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{broken", "not JSON"),
        (b"[]", "expected an object"),
        (b'{"queries": "one"}', "queries is str"),
        (b'{"queries": ["x", 3]}', "expected a list of texts"),
        (b'{"queries": ["x"], "topk": 0}', "topk is int 0"),
        (b'{"queries": ["x"], "topk": true}', "topk is bool true"),
        (json.dumps({"queries": ["x"] * 5000}).encode(), "5000 queries"),
        (b"x" * ((8 << 20) + 1), "Content-Length"),
    ],
)
def test_the_service_says_what_is_wrong_with_a_request(body: bytes, said: str) -> None:
    with searching() as (url, known):
        try:
            answer = httpx.post(url, content=body)
        except httpx.WriteError:
            assert len(body) > 8 << 20  # refused before the whole of it was read
            return
        assert answer.status_code == 400 and said in answer.json()["error"]
        assert known.asked == []
        assert httpx.post(url, json={"queries": ["still there"]}).status_code == 200


@contextmanager
def searching() -> Iterator[tuple[str, Known]]:
    known = Known()
    with serving(known) as url:
        yield url, known


def test_a_search_that_fails_is_a_500_with_its_line() -> None:
    with searching() as (url, _), client(url) as asking:
        with pytest.raises(ServiceDown, match=r"failed 3 times \(status: 500 .*RuntimeError: index gone"):
            asking.search(["break"], 1)
        assert asking.faults == {"status": 3}
        first, second = asking.waits  # type: ignore[attr-defined]
        assert 0.25 <= first <= 0.5 <= second <= 1.0
        assert len(asking.search(["mend"], 1)[0]) == 1


def test_a_wrong_path_is_refused_at_once() -> None:
    with searching() as (url, _), client(url.replace("retrieve", "search")) as asking:
        with pytest.raises(ServiceDown, match=r"refuses the request \(refused: 400 .*no /search; ask /retrieve"):
            asking.search(["x"], 1)
        assert asking.calls == 1


def test_a_dead_port_is_one_line() -> None:
    url = f"http://127.0.0.1:{free_port()}/retrieve"
    with client(url) as asking:
        with pytest.raises(ServiceDown) as raised:
            asking.search(["x"], 1)
        line = str(raised.value)
        assert "\n" not in line and f"search service {url} failed 3 times (connection: " in line
        assert line.endswith("start it or correct its address, then run again")
        assert isinstance(raised.value, UserError) and asking.faults == {"connection": 3}


def test_a_service_that_is_silent_runs_into_the_time_out() -> None:
    with server.serve(lambda body, seen, handler: time.sleep(0.5)) as log:
        with client(log.url, timeout_s=0.1, retries=1) as asking:
            start = time.monotonic()
            with pytest.raises(ServiceDown, match=r"failed 2 times \(timeout: no answer within 0.1 s\)"):
                asking.search(["x"], 1)
            assert time.monotonic() - start < 3
            assert asking.faults == {"timeout": 2}


GARBAGE: list[Any] = [
    [],
    {"result": None},
    {"result": []},
    {"result": [{}]},
    {"result": [["text"]]},
    {"result": [[{"document": {"contents": "x"}}]]},
    {"result": [[{"document": {"contents": "x"}, "score": "high"}]]},
    {"result": [[{"document": {}, "score": 1}]]},
]


@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_never_taken_for_passages(answer: Any) -> None:
    with server.serve(lambda body, seen, handler: server.send_json(handler, answer)) as log:
        with client(log.url, retries=0) as asking, pytest.raises(ServiceDown, match=r"\(garbage: "):
            asking.search(["x"], 1)


def test_half_an_answer_and_no_json_are_tried_again(tmp_path: Path) -> None:
    good = {"result": [[{"document": {"id": "1", "contents": "found"}, "score": 2}]]}

    def script(body: dict[str, Any], seen: int, handler: Any) -> None:
        if seen == 0:
            return server.send_bytes(handler, b"<html>busy</html>", 503)
        if seen == 1:
            return server.send_bytes(handler, b"<html>starting</html>")
        server.send_json(handler, good)

    with server.serve(script) as log, client(log.url, tmp_path / "c.sqlite", retries=3) as asking:
        assert asking.search(["x"], 3) == [as_hits([(Passage("1", "found"), 2.0)])]
        assert asking.faults == {"status": 1, "garbage": 1} and asking.calls == 3


def test_the_cache_is_asked_first_and_outlives_the_service(tmp_path: Path) -> None:
    cache, known = tmp_path / "cache.sqlite", Known()
    with serving(known) as url:
        with client(url, cache, batch=2) as asking:
            first = asking.search(["a", "b", "c"], 2)
            assert (asking.calls, asking.cached) == (2, 0)  # two of at most two queries
            assert asking.search(["c", "a"], 2) == [first[2], first[0]]
            assert (asking.calls, asking.cached) == (2, 2)
            asking.search(["a"], 3)
            assert (asking.calls, asking.cached) == (3, 2)  # another k is another question
    with client(url, cache, retries=0) as later:
        assert later.search(["b", "a"], 2) == [first[1], first[0]] and later.calls == 0
        with pytest.raises(ServiceDown):
            later.search(["b", "new"], 2)
    with client(url, cache, retries=0, corpus="2027") as other, pytest.raises(ServiceDown):
        other.search(["b"], 2)


def test_settings_make_the_client_and_ports_in_use_are_told(tmp_path: Path) -> None:
    with serving(Known()) as url:
        settings = RetrievalSettings.model_validate({"kind": "service", "service": {"url": url}})
        retriever = make_retriever([], tmp_path, settings)
        assert isinstance(retriever, HttpRetriever)
        assert retriever.search(["x"], 1)[0][0].passage == FOUND[0]
        assert (tmp_path / "service.sqlite").is_file()
        retriever.close()
        with pytest.raises(UserError, match=r"cannot listen on 127\.0\.0\.1:\d+ .*choose another port"):
            SearchServer(Known(), port=int(url.split(":")[2].split("/")[0]))


def test_the_service_as_a_command(tmp_path: Path) -> None:
    pytest.importorskip("bm25s", reason="pip install 'mmreason[retrieval]'")
    reader = "from mmreason.retrieval.corpus import read_corpus, text_field\n"
    reader += "from mmreason.retrieval.passages import Passage\n\n\n"
    reader += "def mine(files):\n"
    reader += (
        "    return read_corpus('mine', files, lambda row: Passage(text_field(row, 'id'), text_field(row, 'text')))\n"
    )
    (tmp_path / "corpora.py").write_text(reader)
    rows = [{"id": "1", "text": "iron deficiency"}, {"id": "2", "text": "sickle cells"}, {"id": "3", "text": ""}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    port = free_port()
    words = ["corpora.py:mine", "rows.jsonl", "--index", "index", "--port", str(port)]
    command = [sys.executable, "-m", "mmreason.retrieval.service", *words]
    environment = {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(3)]
        assert "2 passages of 3 rows; set aside: 1 empty" in said[0] and "line 3: empty" in said[1]
        assert f"2 passages at http://127.0.0.1:{port}/retrieve" in said[2]
        with client(f"http://127.0.0.1:{port}/retrieve") as asking:
            assert [hit.passage.text for hit in asking.search(["sickle cell cells"], 2)[0]] == ["sickle cells"]
    finally:
        process.terminate()
        process.communicate(timeout=10)
