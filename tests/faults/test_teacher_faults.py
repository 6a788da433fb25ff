"""A teacher that times out, fails, answers garbage or stops half-way: one line, nothing paid for twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmreason.data.distil import Distilled, distil, make_teacher
from mmreason.errors import UserError
from mmreason.project import load_module

HELPERS = Path(__file__).parent.parent / "data"
server = load_module(HELPERS / "chat_server.py")
making = load_module(HELPERS / "making.py")

ROWS = [making.sample(f"s{index}", f"question {index}?") for index in range(12)]


def learn(url: str, folder: Path, **settings: Any) -> Distilled:
    """Distil ROWS through the endpoint, with the cache of `folder`."""
    run = making.context(folder, {"endpoint": making.endpoint(url, retries=0, **settings)})
    return distil(ROWS, make_teacher(run.recipe, run.domain, folder / "cache", embedded=False))


def good(handler: Any) -> None:
    server.send_json(handler, server.completion("\\boxed{12}", reasoning="so it is"))


def slow(handler: Any) -> None:
    time.sleep(3)


def half(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"mess')
    handler.close_connection = True


BREAKS = [
    ("timeout", slow, "times out"),
    ("server: status 500", lambda h: server.send_json(h, {}, status=500), "fails"),
    ("not_json", lambda h: server.send_bytes(h, b"<html>bad gateway</html>"), "answers a page"),
    ("no_choices", lambda h: server.send_json(h, {"detail": "overloaded"}), "answers an error as success"),
    ("connection", half, "stops half-way"),
]


@pytest.mark.parametrize(("fault", "how", "origin"), BREAKS)
def test_a_teacher_that_breaks_down_stops_the_run_and_a_rerun_continues(
    tmp_path: Path, fault: str, how: Any, origin: str
) -> None:
    """The first five questions are answered, then the teacher breaks; after its repair the rest alone is asked."""
    broken = True
    answered: Counter[str] = Counter()
    lock = threading.Lock()

    def script(body: dict[str, Any], seen: int, handler: Any) -> None:
        prompt = body["messages"][-1]["content"]
        with lock:
            ok = not broken or len(answered) < 5
            answered[prompt] += ok
        (good if ok else how)(handler)

    with server.serve(script) as log:
        with pytest.raises(UserError) as stopped:
            learn(log.url, tmp_path, timeout_s=1.0 if how is slow else 30.0, concurrency=2)
        line = str(stopped.value)
        assert fault in line and "\n" not in line, origin
        assert "of 12 questions are finished" in line and "5 replies are cached" in line
        assert line.endswith("run the same command again to continue")
        broken = False
        made = learn(log.url, tmp_path, timeout_s=30.0, concurrency=2)
    assert [row.id for row in made.sft] == [row.id for row in ROWS]
    assert set(answered.values()) == {1}, "no question was answered twice"


def test_a_refused_request_is_not_repeated(tmp_path: Path) -> None:
    with server.serve(lambda b, s, h: server.send_json(h, {"error": "unknown model"}, status=404)) as log:
        with pytest.raises(UserError, match=r"unknown model.*0 of 12 questions are finished"):
            learn(log.url, tmp_path, concurrency=1)
        assert len(log.bodies) == 1


def test_nobody_listens(tmp_path: Path) -> None:
    with server.serve(lambda b, s, h: good(h)) as log:
        url = log.url
    with pytest.raises(UserError, match=r"failed 1 times \(connection"):
        learn(url, tmp_path, concurrency=1)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import making
from mmreason.data.distil import distil, make_teacher
folder = Path(sys.argv[2])
run = making.context(folder, {"endpoint": making.endpoint(sys.argv[1], concurrency=2)})
rows = [making.sample(f"s{index}", f"question {index}?") for index in range(12)]
try:
    made = distil(rows, make_teacher(run.recipe, run.domain, folder / "cache", embedded=False))
except KeyboardInterrupt:
    raise SystemExit(130)
print(len(made.sft))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_and_kill_keep_the_cache(tmp_path: Path, how: signal.Signals) -> None:
    """Stopped after a few replies; the next run repeats at most the calls that were in flight."""
    enough, hold = threading.Event(), threading.Event()
    answered: Counter[str] = Counter()
    lock = threading.Lock()

    def script(body: dict[str, Any], seen: int, handler: Any) -> None:
        with lock:
            waits = len(answered) >= 4 and not hold.is_set()
            if not waits:
                answered[body["messages"][-1]["content"]] += 1
        if waits:
            enough.set()
            hold.wait(10)  # the client is gone by then
            return
        good(handler)

    def start(url: str) -> subprocess.Popen[str]:
        path = str(Path(making.__file__ or "").parents[2])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", SCRIPT, url, str(tmp_path), str(HELPERS)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    with server.serve(script) as log:
        first = start(log.url)
        assert enough.wait(30), first.communicate()
        begun = time.monotonic()
        first.send_signal(how)
        first.communicate(timeout=10)
        assert time.monotonic() - begun < 8, "a stop does not wait for calls in flight"
        assert first.returncode == (130 if how is signal.SIGINT else -signal.SIGKILL)
        hold.set()
        out, err = start(log.url).communicate(timeout=60)
    assert out.strip() == "12", err
    assert len(answered) == 12 and sum(answered.values()) <= 14  # two workers: two calls in flight
