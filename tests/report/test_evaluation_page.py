"""evaluation.html through the command, and as a person sees it: in a headless browser, as a picture."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from mmreason.config.recipe import TinyModel
from mmreason.errors import UserError
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.report.bars import Bar, suite_bars
from mmreason.report.evaluation import write_evaluation

if TYPE_CHECKING:
    from conftest import Cli

SIZES = TinyModel(family="qwen2_5_vl", hidden=32, layers=1, heads=2, kv_heads=1, ffn=32, vocab=320, vision_hidden=32)
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def page(command: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real evaluation of an untrained model on drawn pictures."""
    folder = tmp_path_factory.mktemp("page")
    build_tiny(SIZES, train_tokenizer(["red circle", "big"], SIZES.vocab), 0, folder / "model")
    words = ["eval", "--model", str(folder / "model"), "--suite", "shapes", "--out", str(folder / "out")]
    settings = ["eval.limit=12", "eval.sampling.max_new_tokens=8"]
    done = command(folder, *words, *settings)
    assert done.returncode == 0, done.stderr
    assert "evaluation.html" in done.stdout
    return folder / "out" / "eval" / "model" / "evaluation.html"


def test_the_page_says_what_was_measured(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "subset 12 of 400 of test" in text and "Drawn shapes" in text
    assert text.count("data:image/jpeg;base64,") >= 1, "examples show their pictures"
    assert "<script" not in text and "http://" not in text.replace("http://www.w3.org", "")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: apt install chromium")
def test_a_browser_draws_the_page(page: Path, tmp_path: Path) -> None:
    shot = tmp_path / "page.png"
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    profile = [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,1600"]
    subprocess.run(
        [*command, *profile, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True, timeout=120
    )
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    assert pixels.shape[:2] == (1600, 1200)
    blue = (abs(pixels - [47, 93, 138]).sum(-1) < 60).sum()  # links, bars and whiskers
    dark = (pixels.sum(-1) < 200).sum()
    assert blue > 100 and dark > 2000, "text and figures are drawn"
    assert (pixels[:, 0] == pixels[0, 0]).all(), "nothing runs out of the page to the left"


def test_bars_carry_their_marks_and_escape_their_names() -> None:
    drawn = suite_bars([Bar("<b>x", 0.5, 0.4, 0.6, (("chance", 0.25),)), Bar("y" * 40, 0.0, 0.0, 0.1)])
    assert (
        "&lt;b&gt;x" in drawn
        and "chance: 25.0 %" in drawn
        and "y" * 26 not in drawn.split("aria-label")[1].split(">", 1)[1]
    )


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no results files"):
        write_evaluation(tmp_path, "model")
