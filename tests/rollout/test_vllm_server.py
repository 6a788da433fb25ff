"""The client of vLLM servers against servers that behave, refuse, fail and hang up; vLLM itself is not needed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source, Stop
from mmreason.rollout.engine import Asked, Request
from mmreason.rollout.vllm_server import EngineLost, VllmServerEngine, server_command
from mmreason.rollout.vllm_wire import entropy_of
from mmreason.rollout.weight_files import WeightFolder

SIZES = TinyModel(hidden=32, layers=1, heads=2, kv_heads=1, ffn=32, vocab=300)
SOURCE = Source("own", "train", "", "0")
QUESTIONS = [
    Sample(f"q{n}", SOURCE, (Message.of(Role.USER, f"{n} and two ?"),), Answer(AnswerKind.NUMBER, "1"))
    for n in range(6)
]


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    path = tmp_path_factory.mktemp("tiny") / "model"
    build_tiny(SIZES, train_tokenizer(["one and two"], SIZES.vocab), 0, path)
    return Codec.load(path)


class Server:
    """Speaks as vLLM does. `fault`: what it does to requests for answers; `seen`: what it was asked."""

    def __init__(self, eos: int) -> None:
        self.fault = ""
        self.mode = "processed_logprobs"
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.eos = eos
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                config = {"model_config": {"logprobs_mode": server.mode, "multimodal_config": None}}
                self.say({"data": [{"max_model_len": 64}], "vllm_config": config})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
                server.seen.append((self.path, body))
                if server.fault == "hang up":
                    self.connection.close()
                elif server.fault:
                    self.say({"error": server.fault}, int(server.fault))
                elif self.path == "/inference/v1/generate":
                    self.say({"choices": [server.choice(index) for index in range(body["sampling_params"]["n"])]})
                else:
                    self.say({"success": True})

            def say(self, body: Any, status: int = 200) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def choice(self, index: int) -> dict[str, Any]:
        """Two tokens; of the first one half the mass is told."""
        top = [{"token_id": 40 + index, "logprob": math.log(0.25)}, {"token_id": 50, "logprob": math.log(0.25)}]
        last = {"token_id": self.eos, "logprob": 0.0, "top_logprobs": []}
        return {
            "index": index,
            "token_ids": [40 + index, self.eos],
            "logprobs": {"content": [{**top[0], "top_logprobs": top}, last]},
        }

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [body for path, body in self.seen if path == "/inference/v1/generate"]


@contextmanager
def running(server: Server) -> Iterator[Server]:
    thread = Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()


@pytest.fixture
def servers(codec: Codec) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        yield [stack.enter_context(running(Server(codec.eos_id))) for _ in range(2)]


@pytest.fixture
def engine(servers: list[Server], codec: Codec, tmp_path: Path) -> VllmServerEngine:
    return VllmServerEngine([server.url for server in servers], codec, tmp_path / "weights")


def test_exact_ids_go_out_and_come_back(engine: VllmServerEngine, servers: list[Server], codec: Codec) -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=8)
    request = Request(QUESTIONS[0], codec.encode(QUESTIONS[0]), (41, 42))
    ((one, two),) = engine.extend([request], sampling, 2, 3, Asked(entropies=True, stop_ids=(99,), max_new_tokens=5))
    (body,) = servers[0].asked
    assert body["token_ids"] == [*request.prompt.ids, 41, 42]
    assert body["sampling_params"] == {
        "n": 2,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 5,
        "seed": 3 * 1_000_003,
        "logprobs": 20,
        "ignore_eos": True,
        "stop_token_ids": [codec.eos_id, 99],
        "logit_bias": {str(token): -100.0 for token in codec.visual_ids},
        "detokenize": False,
    }
    assert (one.prompt_ids, one.ids, one.stop) == (tuple(request.prompt.ids), (40, codec.eos_id), Stop.EOS)
    assert two.ids == (41, codec.eos_id)
    assert one.logprobs == (math.log(0.25), 0.0)
    assert one.entropies == pytest.approx((1.5 * math.log(2), 0.0))  # quarters and, as one token, the half not told
    assert engine.prefills == 1


def test_requests_are_dealt_out_in_turn(engine: VllmServerEngine, servers: list[Server]) -> None:
    told: list[int] = []
    groups = engine.generate(QUESTIONS, Sampling(max_new_tokens=8), n=2, on_done=told.append)
    assert [len(server.asked) for server in servers] == [3, 3]
    assert told == [2] * 6 and [len(group) for group in groups] == [2] * 6
    seeds = [body["sampling_params"]["seed"] for server in servers for body in server.asked]
    assert sorted(seeds) == [0, 2, 4, 6, 8, 10]  # each answer of the batch has its own


@pytest.mark.parametrize("fault", ["hang up", "500"])
def test_a_server_lost_on_the_way_is_left_out(
    engine: VllmServerEngine, servers: list[Server], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names it and the sample; its requests are answered by the other one."""
    servers[1].fault = fault
    groups = engine.generate(QUESTIONS, Sampling(max_new_tokens=8))
    assert len(groups) == 6 and all(group[0].stop is Stop.EOS for group in groups)
    assert len(servers[0].asked) == 6
    lines = [line for line in capsys.readouterr().err.splitlines() if "vLLM server" in line]
    assert len(lines) == 1
    assert f"vLLM server {servers[1].url} was lost while it sampled for q" in lines[0]
    assert "its requests go to 1 others" in lines[0]
    engine.generate(QUESTIONS[:2], Sampling(max_new_tokens=8))
    assert len(servers[0].asked) == 8  # it is not asked again before the next hand-over


def test_the_last_server_lost_ends_the_run_with_one_line(engine: VllmServerEngine, servers: list[Server]) -> None:
    for server in servers:
        server.fault = "hang up"
    with pytest.raises(EngineLost, match=r"was lost while it sampled for q\d \(.+\); none is left: start it again"):
        engine.generate(QUESTIONS, Sampling(max_new_tokens=8))


def test_a_request_that_is_wrong_is_not_tried_elsewhere(engine: VllmServerEngine, servers: list[Server]) -> None:
    servers[0].fault = "422"
    with pytest.raises(UserError, match=r"sample q0: vLLM server .* refuses it \(/inference/v1/generate: status 422"):
        engine.generate(QUESTIONS[:1], Sampling(max_new_tokens=8))
    assert not servers[1].asked


def test_weights_are_written_whole_and_every_server_told(
    engine: VllmServerEngine, servers: list[Server], tmp_path: Path
) -> None:
    weights = {"a": torch.ones(3), "b": torch.arange(4.0)}
    for number in (1, 2):
        engine.sync(lambda: iter(weights.items()))
        folder = tmp_path / "weights" / f"weights_{number:06d}"
        assert [path.name for path in (tmp_path / "weights").iterdir()] == [folder.name]
        for server in servers:
            calls = [call for call in server.seen if call[0] == "/collective_rpc"]
            assert calls[-1][1] == {"method": "take_weights", "kwargs": {"folder": str(folder)}}
            assert {path for path, _ in server.seen} >= {
                "/reset_prefix_cache",
                "/reset_mm_cache",
                "/reset_encoder_cache",
            }
        assert torch.equal(load_file(folder / "model-00000.safetensors")["b"], weights["b"])
    assert engine.syncs == 2


def test_a_server_without_the_new_weights_does_not_sample(
    engine: VllmServerEngine, servers: list[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    """And comes back with the next hand-over that it takes."""
    servers[0].fault = "500"
    engine.sync(lambda: iter({"a": torch.ones(1)}.items()))
    assert f"vLLM server {servers[0].url} is left out: it did not take the new weights" in capsys.readouterr().err
    servers[0].fault = ""
    engine.generate(QUESTIONS[:4], Sampling(max_new_tokens=8))
    assert [len(server.asked) for server in servers] == [0, 4]
    engine.sync(lambda: iter({"a": torch.ones(1)}.items()))
    engine.generate(QUESTIONS[:4], Sampling(max_new_tokens=8))
    assert [len(server.asked) for server in servers] == [2, 6]


def test_no_server_with_the_new_weights(engine: VllmServerEngine, servers: list[Server]) -> None:
    for server in servers:
        server.fault = "hang up"
    with pytest.raises(EngineLost, match="no vLLM server took the weights of update 1: http"):
        engine.sync(lambda: iter({"a": torch.ones(1)}.items()))


def test_what_cannot_be_asked_of_vllm(engine: VllmServerEngine, codec: Codec) -> None:
    request = Request(QUESTIONS[0], codec.encode(QUESTIONS[0]))
    with pytest.raises(UserError, match=r"a temperature by token was asked for, .* use grpo.engine=transformers"):
        engine.extend([request], Sampling(), asked=Asked(heat=lambda logp: torch.ones(1)))
    long = Request(QUESTIONS[0], request.prompt, (41,) * 60)
    with pytest.raises(UserError, match=r"sample q0: \d+ tokens of prompt and begun answer, the engine has 64"):
        engine.extend([long], Sampling())
    assert engine.extend([request], Sampling(), 2, asked=Asked(max_new_tokens=0))[0][1].ids == ()


def test_a_server_that_is_absent_or_set_up_otherwise(servers: list[Server], codec: Codec, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no vLLM server in development mode at http://127.0.0.1:9 \(.+\): start it"):
        VllmServerEngine(["http://127.0.0.1:9"], codec, tmp_path)
    servers[0].mode = "raw_logprobs"
    with pytest.raises(UserError, match="reports raw_logprobs: start it with --logprobs-mode processed_logprobs"):
        VllmServerEngine([servers[0].url], codec, tmp_path)


def test_large_weights_are_spread_over_files(tmp_path: Path) -> None:
    """Twelve bytes a tensor, two of them a file; the folder of an earlier run goes."""
    (tmp_path / "weights_000009").mkdir()
    weights = {str(n): torch.full((3,), float(n)) for n in range(5)}
    folder = WeightFolder(tmp_path, shard_bytes=24)
    path = folder.write(lambda: iter(weights.items()))
    folder.forget_older()
    assert [held.name for held in tmp_path.iterdir()] == ["weights_000001"]
    files = sorted(path.glob("*.safetensors"))
    assert [sorted(load_file(file)) for file in files] == [["0", "1"], ["2", "3"], ["4"]]


def test_entropy_of_the_likeliest_tokens() -> None:
    told = [math.log(p) for p in (0.5, 0.25)]
    assert entropy_of(told) == pytest.approx(1.5 * math.log(2))  # the rest counts as one token
    assert entropy_of([0.0]) == 0.0


def test_the_line_that_starts_a_server() -> None:
    words = server_command("base", 8001, "bfloat16", 4096)
    assert words[words.index("--worker-extension-cls") + 1] == "mmreason.rollout.vllm_worker.WeightsFromFolder"
    assert words[words.index("--max-model-len") + 1] == "4096" and "--enable-scale-out" in words
