"""What cannot be published, and that the line says all that is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.release.check import examine
from mmreason.release.publish import publish
from mmreason.run.files import write_json

FINAL = "checkpoints/grpo/final"
REFUSED = [
    (f"{FINAL}/model.safetensors", "weights"),
    (f"{FINAL}/tokenizer.json", "tokenizer"),
    (f"{FINAL}/generation_config.json", "generation_config.json"),
    (f"{FINAL}/chat_template.jinja", "chat template"),
    (f"{FINAL}/protocol.json", "protocol"),
    ("eval/grpo/ledger_mcq.json", "evaluation of ledger_mcq"),
    ("data/report.json", "card field: data sets"),
    ("report.html", "evaluation report"),
]


def refusal(run: Path, licence: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        examine(run, licence)
    return str(caught.value)


def test_a_whole_run_passes(run: Path) -> None:
    source = examine(run, None)
    assert source.stage == "grpo"
    assert source.licence == "apache-2.0"
    assert sorted(source.results) == ["ledger_mcq", "ledger_open"]


@pytest.mark.parametrize(("file", "word"), REFUSED)
def test_each_missing_file_is_named(run: Path, file: str, word: str) -> None:
    (run / file).unlink()
    assert word in refusal(run)


def test_everything_missing_is_named_at_once(run: Path) -> None:
    shutil.rmtree(run / "eval")
    for file, _ in REFUSED[1:5]:
        (run / file).unlink()
    line = refusal(run)
    for word in ("tokenizer", "generation_config", "chat template", "protocol", "evaluation of ledger_open"):
        assert word in line
    assert "\n" not in line


FIELDS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("manifest.json", lambda m: m["settings"]["domain"].update(intended_use=""), "intended use"),
    ("manifest.json", lambda m: m["settings"]["recipe"]["model"].update(tiny=None), "base model"),
    ("data/report.json", lambda r: r["datasets"][0].update(licence=""), "licence of data set ledger_open"),
    ("eval/grpo/ledger_open.json", lambda r: r["mmreason"]["summary"].pop("strict"), "metrics of ledger_open"),
    ("eval/grpo/ledger_open.json", lambda r: r["mmreason"]["key"].update(model="0" * 16), "with these weights"),
]


@pytest.mark.parametrize(("file", "how", "word"), FIELDS)
def test_each_missing_field_is_named(run: Path, edit: Any, file: str, how: Callable[[Any], Any], word: str) -> None:
    edit(file, how)
    assert word in refusal(run)


def test_scores_of_other_weights_do_not_count(run: Path) -> None:
    """Weights that changed after they were evaluated have no evaluation."""
    config = run / FINAL / "config.json"
    config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert "evaluation of ledger_open with these weights" in refusal(run)


def test_cut_weights_are_seen(run: Path) -> None:
    weights = run / FINAL / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors is broken" in refusal(run)


def test_pickled_weights_are_none(run: Path) -> None:
    (run / FINAL / "model.safetensors").rename(run / FINAL / "pytorch_model.bin")
    assert "weights (model.safetensors not in" in refusal(run)


def test_an_unfinished_stage_is_not_published(run: Path) -> None:
    (run / "stages" / "grpo.json").unlink()
    assert "no training stage of it is finished" in refusal(run)


def test_a_cold_start_is_not_published_in_place_of_rl(run: Path) -> None:
    (run / "checkpoints" / "grpo").rename(run / "checkpoints" / "sft")
    assert "no training stage of it is finished" in refusal(run)


def test_a_hash_alone_is_no_protocol(run: Path) -> None:
    write_json(run / FINAL / "protocol.json", {"hash": "0" * 16})
    assert "protocol.json with all its fields" in refusal(run)


def test_an_edited_protocol_is_refused(run: Path, edit: Any) -> None:
    edit(f"{FINAL}/protocol.json", lambda p: p.update(system_prompt="Be kind."))
    assert "it was edited" in refusal(run)


def test_remote_code_is_refused(run: Path, edit: Any) -> None:
    edit(f"{FINAL}/config.json", lambda c: c.update(auto_map={"AutoConfig": "own.py"}))
    assert "without auto_map" in refusal(run)


def test_links_are_not_followed(run: Path, tmp_path: Path) -> None:
    weights = run / FINAL / "model.safetensors"
    weights.rename(tmp_path / "elsewhere.safetensors")
    weights.symlink_to(tmp_path / "elsewhere.safetensors")
    assert "is a link" in refusal(run)


def limit(edit: Any) -> None:
    one = {"name": "cflue", "licence": "CC BY-NC-SA 4.0", "commercial": False, "use": "train"}
    edit("data/report.json", lambda r: r["datasets"].append(one))


def test_weights_with_limits_need_a_licence(run: Path, edit: Any) -> None:
    limit(edit)
    assert "cflue (CC BY-NC-SA 4.0) exclude commercial use" in refusal(run)
    assert "allows commercial use, which cflue exclude" in refusal(run, "apache-2.0")
    assert examine(run, "CC-BY-NC-SA-4.0").licence == "cc-by-nc-sa-4.0"


def test_weights_with_limits_do_not_travel_in_the_package(
    run: Path, edit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(edit)
    monkeypatch.setattr("mmreason.release.publish.project_dir", lambda: tmp_path)
    with pytest.raises(UserError, match="travels inside the package"):
        publish(run, str(tmp_path / "model_cards" / "x"), licence="cc-by-nc-4.0")
    assert publish(run, str(tmp_path / "runs" / "x"), licence="cc-by-nc-4.0")[1]


def test_a_base_model_decides_the_licence(run: Path, edit: Any) -> None:
    edit("manifest.json", lambda m: m["settings"]["recipe"]["model"].update(path="Qwen/Qwen2.5-7B-Instruct"))
    assert "that of the base model Qwen/Qwen2.5-7B-Instruct decides" in refusal(run)
    assert examine(run, "apache-2.0").licence == "apache-2.0"


def test_evaluation_sets_are_never_published(run: Path, edit: Any) -> None:
    edit("data/report.json", lambda r: r["datasets"][0].update(use="eval"))
    assert "declared 'use: eval'" in refusal(run, "cc-by-nc-4.0")


def test_what_is_no_run_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        publish(tmp_path / "nothing", str(tmp_path / "dest"))
    assert list(tmp_path.iterdir()) == []


def test_shards_are_counted(run: Path) -> None:
    final = run / FINAL
    index = {
        "metadata": {},
        "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
    }
    (final / "model.safetensors").rename(final / "model-00001-of-00002.safetensors")
    (final / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert "weights (model-00002-of-00002.safetensors not in" in refusal(run)
