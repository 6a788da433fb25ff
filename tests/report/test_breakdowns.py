"""Baselines and breakdowns on the pages and the card, limits of use, and the pictures beside the answers."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from mmreason.media.files import media_ref
from mmreason.release.scrub import without_pictures
from mmreason.report.card import card_markdown
from mmreason.report.html import report_html, write_report
from mmreason.report.shown_media import inline
from mmreason.run.folder import RunFolder


def test_card_and_report_break_the_score_down_and_hold_it_against_constants(run_folder: RunFolder) -> None:
    results = json.loads((run_folder.eval / "grpo" / "ledger_mcq.json").read_text(encoding="utf-8"))
    summary = results["mmreason"]["summary"]
    task, part = next(iter(summary["groups"]["task"]["rows"].items()))
    (constant,) = summary["baselines"]
    assert constant["gain"]["mean"] == round(summary["strict"]["mean"] - constant["mean"], 6)
    card, page = card_markdown(run_folder), report_html(run_folder)
    assert f"| {task} | {part['questions']} | {100 * part['acc']['mean']:.1f} % " in card
    assert f"| ledger_mcq | constant | {constant['said']} | {100 * constant['mean']:.1f} % " in card
    assert f"<td>{constant['said']}</td>" in page and "score minus this" in page
    assert page.index("grpo by task") < page.index("Breakdown of grpo"), "groups stand open, before the rest"


def test_report_shows_pictures_beside_the_answers(run_folder: RunFolder, tmp_path: Path) -> None:
    """A record of the evaluation that was asked about a picture."""
    Image.new("L", (28, 28), 200).save(tmp_path / "film.png")
    manifest = json.loads(run_folder.manifest.read_text(encoding="utf-8"))
    whole = {path: path.read_text(encoding="utf-8") for path in [run_folder.manifest]}
    reference = media_ref(tmp_path, "film.png")
    shown = {name: getattr(reference, name) for name in reference.__slots__}
    for path in run_folder.eval.glob("*/ledger_mcq.samples.jsonl"):
        whole[path] = path.read_text(encoding="utf-8")
        rows = [json.loads(line) | {"media": [shown]} for line in whole[path].splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    manifest["settings"]["data_dir"] = str(tmp_path)
    run_folder.manifest.write_text(json.dumps(manifest), encoding="utf-8")
    try:
        text = write_report(run_folder).read_text(encoding="utf-8")
    finally:
        for path, before in whole.items():
            path.write_text(before, encoding="utf-8")
    assert text.count('<img alt="picture of the question" width="112"') >= 4
    assert "base64" not in without_pictures(text) and "not republished" in without_pictures(text)


def test_a_tiny_picture_is_enlarged_and_others_are_not() -> None:
    assert 'width="112" style="image-rendering:pixelated"' in inline(Image.new("L", (28, 20)), "x")
    assert "width=" not in inline(Image.new("RGB", (200, 90)), "x")
