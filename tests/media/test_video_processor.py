"""Patches of whole clips against the video processors of transformers, run as they are with the real torchvision.

torchvision has no CPU build on PyPI, and another build cannot load beside a CPU torch for want of two operator schemas.
So it lies apart, in `torchvision` under the environment (`.ci/run` puts it there), and only a child process sees it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmreason.media.files import media_ref
from mmreason.models.visual import Visual

ROOT = Path(__file__).resolve().parents[2]
APART = Path(os.environ.get("MMREASON_TORCHVISION") or Path(sys.prefix) / "torchvision")

CASES: list[dict[str, Any]] = [
    {"family": "qwen2_vl", "side": (90, 160), "frames": 4, "bounds": (100_352, 602_112)},  # enlarged
    {"family": "qwen2_vl", "side": (123, 311), "frames": 5, "bounds": (784, 12_544)},  # made smaller, odd number
    {"family": "qwen2_vl", "side": (84, 56), "frames": 1, "bounds": (784, 12_544)},  # kept, one frame
    {"family": "qwen3_vl", "side": (64, 96), "frames": 4, "bounds": (1024, 65_536)},
    {"family": "qwen3_vl", "side": (64, 96), "frames": 3, "bounds": (1024, 65_536)},
]
NORMS = {
    "qwen2_vl": (14, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "qwen3_vl": (16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}

CHILD = """
import importlib, json, sys
from pathlib import Path
try:
    import torchvision
except RuntimeError:  # a build for another torch
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    import torchvision_schemas
import numpy as np, torch
from PIL import Image
root = Path(sys.argv[1])
for number, case in enumerate(json.loads(sys.argv[2])):
    module = importlib.import_module(f"transformers.models.{case['family']}.video_processing_{case['family']}")
    name = {"qwen2_vl": "Qwen2VLVideoProcessor", "qwen3_vl": "Qwen3VLVideoProcessor"}[case["family"]]
    size = dict(zip(("shortest_edge", "longest_edge"), case["bounds"]))
    own = {"cap_pixels_per_frame": False} if case["family"] == "qwen2_vl" else {"do_resize": False}
    processor = getattr(module, name)(size=size, do_sample_frames=False, **own)
    frames = [np.asarray(Image.open(path)) for path in sorted((root / str(number)).glob("*.png"))]
    clip = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    made = processor(videos=[clip], return_tensors="pt")
    np.save(root / f"{number}.npy", made["pixel_values_videos"].numpy())
    print(json.dumps(made["video_grid_thw"][0].tolist()))
"""


def run_processors(root: Path) -> list[tuple[int, ...]]:
    """Writes each case's patches; their grids."""
    where = [str(ROOT), str(ROOT / ".ci"), *([str(APART)] if APART.is_dir() else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(where)}
    command = [sys.executable, "-c", CHILD, str(root), json.dumps(CASES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_patches_are_those_of_transformers(tmp_path: Path) -> None:
    """The processor's own resize, scale and order against ours from the file on, to 1e-6."""
    if not APART.is_dir() and importlib.util.find_spec("torchvision") is None:
        pytest.skip(f"no torchvision: pip install --no-deps --target {APART} 'torchvision<0.29'")
    generator = np.random.default_rng(0)
    for number, case in enumerate(CASES):
        (tmp_path / str(number)).mkdir()
        for frame in range(case["frames"]):
            noise = generator.integers(0, 256, (*case["side"], 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / str(number) / f"{frame:03d}.png")
    grids = run_processors(tmp_path)
    for number, (case, grid) in enumerate(zip(CASES, grids, strict=True)):
        patch, mean, std = NORMS[case["family"]]
        images = Qwen2VLImageProcessorPil(patch_size=patch, image_mean=mean, image_std=std)
        least, most = case["bounds"]
        ref = media_ref(tmp_path, str(number), "video", fps=2.0)
        ref = replace(ref, frame_rule="all", min_pixels=least, max_pixels=most)
        made = Visual(images, tmp_path).medium(ref)
        theirs = torch.from_numpy(np.load(tmp_path / f"{number}.npy"))
        assert made.grid == grid, case
        assert float((made.pixels - theirs).abs().max()) <= 1e-6, case
