"""`mmreason ask`: answers with what was looked at, as a process and with an environment of one's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image

from mmreason.cli_ask import Asked, answer, final_answer, media_of, put, told
from mmreason.config.recipe import TinyModel
from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.protocol import Protocol
from mmreason.records import AnswerKind, Rollout, Stop

if TYPE_CHECKING:
    from conftest import Cli

SIZES = {"hidden": 32, "layers": 1, "heads": 2, "kv_heads": 1, "ffn": 32, "vocab": 320, "vision_hidden": 32}
FEW = ("eval.sampling.max_new_tokens=4",)
TOOL = '''\
"""An environment that looks twice, whatever the model says."""
from mmreason.rollout.environment import Reply

def looks_twice(setting):
    return Tool(setting.codec)

class Tool:
    def __init__(self, codec):
        self.codec = codec

    def reply(self, sample, rollout, turn):
        if turn:
            return None
        ref = sample.media[0]
        clip = self.codec.clip(ref)
        grid = list(clip.chosen.indices)
        closer = [grid[1] - 2, grid[1] + 2]
        info = {
            "kind": "call",
            "shown": {"frames": grid, "seconds": clip.info.seconds(grid)},
            "selected": [1],
            "gold": None,
            "refined": {"frames": closer, "seconds": clip.info.seconds(closer), "intervals": [[1.0, 3.0]]},
        }
        return Reply(("See closer: ", *self.codec.frames(ref, closer)), info=info)
'''


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that takes pictures and clips."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    sizes = TinyModel(family="qwen2_5_vl", **SIZES)
    build_tiny(sizes, train_tokenizer(["what is red"], sizes.vocab), 0, folder)
    return folder


@pytest.fixture(scope="module")
def terse(model: Path) -> Path:
    """The same model, made to end each turn at once: in every place of the stream dimension 0 is large and positive,
    and the end of turn likes it most."""
    folder = model.with_name("terse")
    shutil.copytree(model, folder)
    loaded, codec = load_model(folder), Codec.load(folder)
    with torch.no_grad():
        for weight in (loaded.get_input_embeddings().weight, loaded.get_output_embeddings().weight):
            weight[:, 0] = 10.0
            weight[codec.eos_id, 0] = 30.0
    loaded.save_pretrained(folder)
    return folder


@pytest.fixture
def looking_domain(own_domain: Path) -> Path:
    """A domain whose environment shows frames."""
    (own_domain / "tool.py").write_text(TOOL, encoding="utf-8")
    file = own_domain / "domain.yaml"
    more = 'environment: "tool.py:looks_twice"\nmax_turns: 2\nmedia: {frame_rule: "uniform:4"}\n'
    file.write_text(file.read_text(encoding="utf-8") + more, encoding="utf-8")
    return own_domain


def test_a_clip_is_asked_about(cli: Cli, model: Path, clip_root: Path, tmp_path: Path) -> None:
    done = cli("ask", "--model", str(model), "--video", str(clip_root / "clip.mp4"), "What is red?", *FEW)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("[")]
    assert lines[0] == "clip.mp4: 32 frames of 8.0 s, from 0.0 to 7.9 s"
    assert [line.split(":")[0] for line in lines[1:]] == ["turn 1", "answer", "page"]
    page = (tmp_path / "cwd" / "ask.html").read_text(encoding="utf-8")
    assert "<h1>What is red?</h1>" in page and page.count("data:image/jpeg;base64,") == 32
    assert "The 32 frames of the prompt" in page and "<script" not in page


def test_a_system_with_an_environment_looks_again(
    terse: Path, clip_root: Path, looking_domain: Path, tmp_path: Path
) -> None:
    many = ("eval.sampling.max_new_tokens=400",)
    asked = Asked(str(terse), "What is red?", video=clip_root / "clip.mp4", system=str(looking_domain), pairs=many)
    lines = list(answer(asked, tmp_path / "ask.html"))
    assert lines[0] == "clip.mp4: 4 frames of 8.0 s, from 0.0 to 7.9 s"
    assert lines[2:4] == ["  asked for 1 of 4 frames: 2 (2.6 s)", "  given 2 frames, at 2.4, 2.9 s"]
    assert [line.split(":")[0] for line in lines[4:]] == ["turn 2", "answer", "page"]
    page = (tmp_path / "ask.html").read_text(encoding="utf-8")
    assert 'class="asked"' in page and 'class="band"' in page and "given 2 frames, numbered anew" in page
    assert page.count("data:image/jpeg;base64,") == 6, "four of the prompt and two that came back"


def test_pictures_and_bare_questions_need_no_time_line(model: Path, tmp_path: Path) -> None:
    Image.new("RGB", (56, 56), "teal").save(tmp_path / "a.png")
    (tmp_path / "b").mkdir()
    Image.new("RGB", (56, 56), "red").save(tmp_path / "b" / "b.png")
    pictures = (tmp_path / "a.png", tmp_path / "b" / "b.png")
    list(answer(Asked(str(model), "Which is <b>red</b>?", pictures, pairs=FEW), tmp_path / "ask.html"))
    page = (tmp_path / "ask.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2 and 'class="tracks"' not in page and "&lt;b&gt;red" in page
    assert media_of((), None)[1] == ()


def test_a_checkpoints_own_protocol_applies(model: Path, tmp_path: Path) -> None:
    protocol = Protocol("Be brief.", {"default": "Q: {question}"}, stop=("\n",))
    (model / "protocol.json").write_text(json.dumps(protocol.to_dict()), encoding="utf-8")
    try:
        list(answer(Asked(str(model), "Why?", pairs=FEW), tmp_path / "ask.html"))
    finally:
        (model / "protocol.json").unlink()
    page = (tmp_path / "ask.html").read_text(encoding="utf-8")
    assert "<pre>Be brief.</pre><pre>Q: Why?</pre>" in page


def test_mistakes_are_told_before_the_weights_load(model: Path, clip_root: Path, tmp_path: Path) -> None:
    text = TinyModel(**SIZES)
    build_tiny(text, train_tokenizer(["red"], text.vocab), 0, tmp_path / "text")
    (tmp_path / "torn.mp4").write_bytes((clip_root / "clip.mp4").read_bytes()[:300])
    (tmp_path / "notes.txt").write_text("no clip", encoding="utf-8")
    clip = clip_root / "clip.mp4"
    rows = [
        (Asked(str(model), "?", video=tmp_path / "none.mp4"), "no file .*none.mp4: name a picture"),
        (Asked(str(model), "?", video=tmp_path / "notes.txt"), "extension '.txt'"),
        (Asked(str(model), "?", video=tmp_path / "torn.mp4"), "torn.mp4"),
        (Asked(str(model), "?", images=(clip,)), "extension '.mp4'"),
        (Asked(str(tmp_path / "text"), "?", video=clip), "reads text only, it cannot look at clip.mp4"),
        (Asked(str(tmp_path), "?", video=clip), "no transformers checkpoint at"),
        (Asked("tiny-dianjin-r2", "?"), "did you mean 'tiny-dianjin-r1'"),
        (Asked(str(model), "?", system="dianjin"), "did you mean 'dianjin-r1'"),
    ]
    for asked, message in rows:
        with pytest.raises(UserError, match=message):
            list(answer(asked, tmp_path / "ask.html"))
    assert not (tmp_path / "ask.html").exists()


def test_a_system_that_asks_for_intervals_alone_is_asked_for_one() -> None:
    grounding = Protocol(None, {"interval.en": "When: {question}"})
    assert put("the door opens", (), grounding).answer.kind is AnswerKind.INTERVAL
    assert put("why", (), Protocol(None, {"choice.en": "a {question}", "en": "b {question}"})).question == "b why"


def test_the_last_turn_answers() -> None:
    said = ["<think>a</think><tool_call>{}</tool_call>", "<think>b</think>It is \\boxed{4}."]
    notes = [{"kind": "error", "error": "no frames are named", "shown": {"frames": [], "seconds": []}}]
    rollout = Rollout((), (), (), "".join(said), Stop.EOS, extras={"said": said, "turns": notes})
    sample = put("How many?", (), Protocol(None, {"default": "{question}"}))
    assert final_answer(rollout, sample) == "4"
    assert list(told(rollout))[1] == "  refused: no frames are named"
    plain = Rollout((), (), (), "<think>b</think>a tree and a house, far away", Stop.EOS)
    assert final_answer(plain, sample) == "a tree and a house, far away"
