"""What a release holds: loadable by transformers alone, a card that hubs read, nothing of the machine that made it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from mmreason.project import load_module, project_dir
from mmreason.release.check import examine
from mmreason.release.contents import contents, listing
from mmreason.release.publish import publish
from mmreason.release.scrub import known_roots, scrub

made = load_module(Path(__file__).with_name("conftest.py"))


@pytest.fixture
def released(run: Path, tmp_path: Path) -> Path:
    """The folder of a release."""
    release, _ = publish(run, str(tmp_path / "place"), name="tiny-test")
    return tmp_path / "place" / release.revision


def test_the_files_of_a_release(released: Path) -> None:
    names = {path.relative_to(released).as_posix() for path in released.rglob("*") if path.is_file()}
    assert names == {
        *("config.json", "generation_config.json", "model.safetensors", "protocol.json", "manifest.json"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "README.md", "LICENSE", "release.json"),
        *("evaluation/ledger_mcq.json", "evaluation/ledger_open.json", "evaluation/report.html"),
    }


def test_transformers_loads_it_alone(released: Path, run: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(released)
    chat = [{"role": "user", "content": "rent jan"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    model = AutoModelForCausalLM.from_pretrained(released)
    own = AutoModelForCausalLM.from_pretrained(run / "checkpoints" / "grpo" / "final")
    with torch.no_grad():
        assert torch.equal(model(**ids).logits, own(**ids).logits)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_the_card_has_a_model_index(released: Path) -> None:
    data = ModelCard.load(released / "README.md").data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "transformers", "text-generation")
    assert data.datasets == ["ledger_open"]
    found = {(one.dataset_type, one.metric_type): one for one in data.eval_results}
    assert sorted(found) == [(s, m) for s in ("ledger_mcq", "ledger_open") for m in ("accuracy", "unread_rate")]
    accuracy = found["ledger_open", "accuracy"]
    assert accuracy.metric_value == 0.75
    assert accuracy.metric_args == {"low": 0.62, "high": 0.84, "level": 0.95, "interval": "wilson"}
    assert accuracy.dataset_args["questions"] == "all 60 of test"
    assert found["ledger_mcq", "unread_rate"].metric_value == 0.05
    assert data.model_name == "tiny-test"


def test_the_card_speaks_of_the_release(released: Path) -> None:
    card = (released / "README.md").read_text(encoding="utf-8")
    assert "# tiny-test" in card
    assert "checkpoints/grpo/final" not in card
    assert "75.0 % (62.0 % to 84.0 %)" in card
    assert "Not investment" in card


def test_the_protocol_is_whole(released: Path) -> None:
    protocol = json.loads((released / "protocol.json").read_text(encoding="utf-8"))
    manifest = json.loads((released / "manifest.json").read_text(encoding="utf-8"))
    assert protocol["hash"] == manifest["protocol"]
    assert "{question}" in protocol["templates"]["number.en"]


def test_nothing_names_the_machine(released: Path, run: Path) -> None:
    texts = [
        path.read_text(encoding="utf-8") for path in released.rglob("*") if path.suffix in (".json", ".md", ".html")
    ]
    for word in (str(run), str(project_dir()), str(Path.home()) + "/", tempfile.gettempdir() + "/", "/srv/a"):
        assert not [text for text in texts if word in text], word
    manifest = json.loads((released / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["hardware"]["platform"] == "Linux"
    assert manifest["starts"][0]["command"][:4] == ["mmreason", "run", "dianjin-r1", "--out"]
    assert manifest["versions"]["mmreason"]


ROOTS = {"/home/ann/runs/first": "RUN", "/home/ann": "HOME"}
SCRUBBED = [
    ("/home/ann/runs/first/data", "RUN/data"),
    ("--out=/home/ann/runs/first", "--out=RUN"),
    ("/home/ann/x", "HOME/x"),
    ("/mnt/models/Qwen2.5-7B", "Qwen2.5-7B"),
    ("~/models/base", "base"),
    ("--data=/mnt/sets/a b", "--data=a b"),
    ("model.path=/mnt/Qwen/", "model.path=Qwen"),
    ("C:\\models\\Qwen", "Qwen"),
    ("write /think/ then stop", "write /think/ then stop"),
    ("https://github.com/a/b", "https://github.com/a/b"),
    ("<think>a / b</think>", "<think>a / b</think>"),
    ("https://ann.org/home/ann", "https://ann.org/home/ann"),
    ("see /home/anna and /home/ann.", "see /home/anna and HOME."),
    ("~5 %", "~5 %"),
    ("km/h and 1/2/3", "km/h and 1/2/3"),
    ("dianjin_r1/ledger.py:solver", "dianjin_r1/ledger.py:solver"),
    (5, 5),
    ({"a": ["/mnt/x/y"]}, {"a": ["y"]}),
]


@pytest.mark.parametrize(("value", "expected"), SCRUBBED)
def test_paths_are_cut(value: Any, expected: Any) -> None:
    assert scrub(value, ROOTS) == expected


def test_a_base_model_on_disk_is_named_without_its_folder(run: Path, edit: Any) -> None:
    edit("manifest.json", lambda m: m["settings"]["recipe"]["model"].update(path="/mnt/models/Qwen2.5-7B"))
    files = contents(examine(run, "apache-2.0"), "x")
    card, licence = (files[name] for name in ("README.md", "LICENSE"))
    assert isinstance(card, bytes) and isinstance(licence, bytes)
    assert b"base_model: Qwen2.5-7B\n" in card
    assert b"/mnt" not in card + licence
    assert b"base model Qwen2.5-7B: see its own licence" in licence
    assert known_roots(run, json.loads((run / "manifest.json").read_text()))["/mnt/models/Qwen2.5-7B"] == "Qwen2.5-7B"


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    one, two = (listing(contents(examine(run, None), "x"), "x") for _ in range(2))
    assert one == two
    assert listing(contents(examine(run, None), "y"), "y").revision != one.revision  # the card carries the name


def test_a_model_that_reads_pictures_needs_its_preprocessor(tmp_path: Path) -> None:
    run = made.make_run(tmp_path / "vision", "qwen2_5_vl").path
    files = contents(examine(run, None), "x")
    assert "preprocessor_config.json" in files
    assert b"pipeline_tag: image-text-to-text" in files["README.md"]  # type: ignore[operator]
    (run / "checkpoints" / "grpo" / "final" / "preprocessor_config.json").unlink()
    with pytest.raises(Exception, match=r"preprocessor_config.json \(the model reads pictures\)"):
        examine(run, None)
