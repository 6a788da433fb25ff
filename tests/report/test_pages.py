"""Report, card and viewer from a run folder: what they say, what they escape, what they admit is missing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from mmreason.errors import UserError
from mmreason.media.files import media_ref
from mmreason.records.io import read_samples, write_samples
from mmreason.report.card import card_markdown, write_card
from mmreason.report.html import report_html, write_report
from mmreason.report.viewer import write_viewer
from mmreason.run.folder import RunFolder

ATTACK = '<script>alert(1)</script><img src=x onerror="alert(2)">'
MakeRun = Callable[..., RunFolder]
_VOID = {"meta", "img", "link", "br", "hr", "input"}


class Tags(HTMLParser):
    """Collects tags and attributes and checks that every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_report_shows_all_stages_side_by_side(run_folder: RunFolder) -> None:
    page = write_report(run_folder).read_text(encoding="utf-8")
    results = json.loads((run_folder.eval / "grpo" / "ledger_open.json").read_text(encoding="utf-8"))
    strict = results["mmreason"]["summary"]["strict"]
    shown = f"{100 * strict['mean']:.1f} % [{100 * strict['low']:.1f}, {100 * strict['high']:.1f}]"
    assert shown in page and "subset 120 of 300 of test" in page
    for stage in ("base", "sft", "grpo"):
        assert f"<td>{stage}</td>" in page
    for text in ("without looking", "Not investment", "eval.limit", "also fed training", "dianjin-r1", "duplicate"):
        assert text in page
    assert "not complete" not in page


def test_pages_are_well_formed_and_load_nothing(run_folder: RunFolder) -> None:
    for path in (write_viewer(run_folder), write_report(run_folder)):
        tags = Tags(path.read_text(encoding="utf-8"))
        assert tags.open == [] and not {"script", "link", "iframe"} & tags.names
        assert all(source.startswith("#") or source in ("rollouts.html", "report.html") for source in tags.sources)


def test_text_of_models_is_escaped(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", stages=("sft",), extra=ATTACK)
    rows = pq.read_table(folder.rollouts / "step_000001.parquet").to_pylist()
    hostile = [{**row, "text": ATTACK, "question": ATTACK, "why": ATTACK, "read": ATTACK} for row in rows]
    pq.write_table(pa.Table.from_pylist(hostile), folder.rollouts / "step_000001.parquet")
    for path in (write_viewer(folder), write_report(folder)):
        page = path.read_text(encoding="utf-8")
        tags = Tags(page)
        assert "&lt;script&gt;alert(1)" in page
        assert "script" not in tags.names and not any(name.startswith("on") for name in tags.attributes)


def test_names_from_data_cannot_break_the_card(run_folder: RunFolder, tmp_path: Path) -> None:
    folder = RunFolder(shutil.copytree(run_folder.path, tmp_path / "copy"))
    report = json.loads((folder.data / "report.json").read_text(encoding="utf-8"))
    hostile = {"name": "x: [1]\n---\n# Title <b>", "licence": f"MIT | {ATTACK}\n## Heading", "commercial": False}
    report["datasets"][0] |= hostile
    (folder.data / "report.json").write_text(json.dumps(report), encoding="utf-8")
    card = card_markdown(folder)
    head = yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))
    assert head["license"] == "other" and head["datasets"][0] == hostile["name"]
    body = card.split("\n---\n", 2)[-1]
    assert "<script" not in body and "\n## Heading" not in body and "\\| &lt;script" in body
    assert "Commercial use of these weights is not covered" in card


def test_card_says_how_to_load_and_what_was_scored(run_folder: RunFolder) -> None:
    card = write_card(run_folder).read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))
    assert head["library_name"] == "transformers" and head["license"] == "apache-2.0"
    assert 'AutoModelForCausalLM.from_pretrained("checkpoints/grpo/final")' in card
    assert len(re.findall(r"^\| ledger_(?:mcq|open) v1 \|", card, re.MULTILINE)) == 6
    assert "learning rate 0.002" in card and "tiny model trained from scratch" in card


def test_a_run_that_stopped_says_what_is_missing(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", stages=("base",))
    (folder.data / "decontamination.json").unlink()
    page = report_html(folder)
    for line in (
        "Stage sft is not evaluated",
        "Training stage grpo is not finished",
        "decontamination.json) is not there",
    ):
        assert line in page
    assert "Stage grpo is not evaluated" in card_markdown(folder)


def test_an_empty_folder_still_gives_pages(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "empty")
    assert "No suite has been evaluated yet" in report_html(folder)
    assert "there are no weights to describe yet" in card_markdown(folder)
    with pytest.raises(UserError, match="holds no rollouts"):
        write_viewer(folder)


def test_viewer_shows_steps_rewards_and_dead_groups(run_folder: RunFolder) -> None:
    page = write_viewer(run_folder, steps=[30], groups=2).read_text(encoding="utf-8")
    assert "2 of 3 prompts" in page and 'id="step30"' in page and 'id="step1"' not in page
    assert "advantage +0.70" in page and "advantage -1.20" in page
    assert "no gradient" in write_viewer(run_folder).read_text(encoding="utf-8")
    with pytest.raises(UserError, match="no rollouts of step 2; saved are steps 1 to 60"):
        write_viewer(run_folder, steps=[2])


def test_viewer_inlines_thumbnails(run_folder: RunFolder, tmp_path: Path) -> None:
    folder = RunFolder(shutil.copytree(run_folder.path, tmp_path / "copy"))
    root = tmp_path / "data"
    root.mkdir()
    Image.new("RGB", (640, 480), "teal").save(root / "chart.png")
    samples = read_samples(folder.data / "rl.parquet")
    first = samples[0].from_dict({**samples[0].to_dict(), "media": [vars_of(media_ref(root, "chart.png"))]})
    write_samples(folder.data / "rl.parquet", [first, *samples[1:]])
    manifest = json.loads(folder.manifest.read_text(encoding="utf-8"))
    manifest["settings"]["data_dir"] = str(tmp_path / "gone")
    folder.manifest.write_text(json.dumps(manifest), encoding="utf-8")
    assert "1 pictures or clips are not shown" in write_viewer(folder).read_text(encoding="utf-8")
    manifest["settings"]["data_dir"] = str(root)
    folder.manifest.write_text(json.dumps(manifest), encoding="utf-8")
    page = write_viewer(folder).read_text(encoding="utf-8")
    assert page.count('src="data:image/jpeg;base64,') == 4, "the prompt is in four of the shown steps"


def vars_of(ref: object) -> dict[str, object]:
    """Fields of a slotted record."""
    return {name: getattr(ref, name) for name in ref.__slots__}  # type: ignore[attr-defined]
