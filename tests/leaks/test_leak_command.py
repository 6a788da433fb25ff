from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from leak_making import row, rows, scaled, scene, write_rows

from mmreason.cli_leaks import check_leaks
from mmreason.config import load_domain
from mmreason.data.decontaminate import Leak, contamination_report, decontaminate
from mmreason.errors import UserError
from mmreason.leaks.media import compare_media
from mmreason.leaks.sets import Place, read_set
from mmreason.media.files import media_ref
from mmreason.project import project_dir
from mmreason.protocol import Protocol
from mmreason.records import Sample
from mmreason.records.io import read_samples, write_samples


def own(id: str, question: str, answer: str, *images: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "question": question, "answer": answer, **({"images": list(images)} if images else {}), **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of own rows over one folder of pictures; the suite's picture b is a smaller copy of training's a."""
    scene(1).save(tmp_path / "a.png")
    scaled(scene(1), 0.9).save(tmp_path / "b.jpg", quality=80)
    scene(2).save(tmp_path / "c.png")
    scene(3).save(tmp_path / "d.png")
    train = [
        own("1", "What stands in the middle?", "a house", "a.png"),
        own("2", "Which colour has the sky?", "grey", "a.png"),
        own("3", "Which colour has the sky?", "blue", "c.png"),
        own("4", "Why does bread rise?", "yeast"),
    ]
    asked = [
        own("1", "what stands in the middle", "A house", "b.jpg"),
        own("2", "Which colour has the sky?", "red", "d.png"),
        own("3", "Why does bread rise ?", "yeast"),
    ]
    write_rows(tmp_path / "train.jsonl", train)
    write_rows(tmp_path / "suite.jsonl", asked)
    return tmp_path


def checked(folder: Path, train: str = "train.jsonl", suite: str = "suite.jsonl", clean: bool = False) -> Any:
    out = folder / "out"
    told = check_leaks([str(folder / train)], [str(folder / suite)], None, out, None, clean)
    return told, json.loads((out / "leaks.json").read_text(encoding="utf-8"))


def test_the_command_writes_pairs_and_prints_tables(cli: Any, folder: Path) -> None:
    words = ("leaks", "--train", str(folder / "train.jsonl"), "--suite", str(folder / "suite.jsonl"))
    done = cli(*words, "--out", str(folder / "out"))
    assert done.returncode == 0, done.stderr
    facts = json.loads((folder / "out" / "leaks.json").read_text(encoding="utf-8"))["pairs"][0]
    assert {(p["train"], p["eval"], p["kind"]) for p in facts["leaks"]["pairs"]} == {
        ("train-1", "suite-1", "same_text"),
        ("train-2", "suite-1", "media"),
        ("train-4", "suite-3", "same_text"),
    }
    assert [(p["train"], p["eval"], p["how"]) for p in facts["pictures"]["pairs"]] == [("a.png", "b.jpg", "near")]
    assert [(p["train"], p["kind"]) for p in facts["answers"]["pairs"]] == [("train-1", "same_item")]
    table = {
        line.split("│")[1].strip(): line.split("│")[2:4] for line in done.stdout.splitlines() if line.startswith("│")
    }
    assert [cell.strip() for cell in table["leaked rows"]] == ["3", "2"]
    assert [cell.strip() for cell in table["question same"]] == ["4", "3"]
    assert [cell.strip() for cell in table["pictures"]] == ["1", "1"]
    assert "report: " in done.stdout


def test_the_matrix_counts_rows_of_every_set_in_every_other(folder: Path) -> None:
    files = [str(folder / "train.jsonl"), str(folder / "suite.jsonl")]
    check_leaks(files, files, None, folder / "out", None, False)
    facts = json.loads((folder / "out" / "leaks.json").read_text(encoding="utf-8"))
    assert facts["matrix"]["pictures"] == [[2, 2], [1, 0]]
    assert facts["matrix"]["questions"] == [[2, 4], [3, 0]]
    assert len(facts["pairs"]) == 4


def test_clean_writes_what_no_suite_knows(folder: Path) -> None:
    samples = read_set(str(folder / "train.jsonl"), Place(None, None, folder)).samples
    write_samples(folder / "train.parquet", samples)
    checked(folder, "train.parquet", clean=True)
    assert [sample.id for sample in read_samples(folder / "out" / "clean.parquet")] == ["train-3"]
    assert read_samples(folder / "out" / "clean.parquet")[0] == samples[2]
    dropped = [json.loads(line) for line in (folder / "out" / "dropped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(d["id"], d["step"], d["reason"]) for d in dropped] == [
        ("train-1", "leaks", "same_text"),
        ("train-2", "leaks", "media"),
        ("train-4", "leaks", "same_text"),
    ]


def test_prompts_of_a_built_set_are_taken_off(folder: Path) -> None:
    """What the data stage writes carries the domain's prompt and perhaps an answer; the bare question is compared."""
    protocol = Protocol.of(load_domain(project_dir() / "domains" / "finance"))
    bare = read_set(str(folder / "train.jsonl"), Place(None, None, folder)).samples
    built = [protocol.apply(sample).with_response("<think>so</think><answer>yeast</answer>") for sample in bare]
    write_samples(folder / "sft.parquet", built)
    _, facts = checked(folder, "sft.parquet")
    assert facts["pairs"][0]["leaks"]["kinds"] == {"same_text": 2, "media": 1}
    foreign = [replace(sample, metadata={**sample.metadata, "prompted": "0123"}) for sample in built]
    write_samples(folder / "foreign.parquet", foreign)
    with pytest.raises(UserError, match=r"protocol 0123.*kept\.parquet"):
        checked(folder, "foreign.parquet")


def test_pictures_that_are_gone_or_broken_are_counted(folder: Path) -> None:
    samples = read_set(str(folder / "train.jsonl"), Place(None, None, folder)).samples
    write_samples(folder / "train.parquet", samples)
    (folder / "a.png").unlink()
    (folder / "c.png").write_bytes((folder / "d.png").read_bytes()[:300])
    told, facts = checked(folder, "train.parquet")
    assert facts["pairs"][0]["pictures"]["not_comparable"] == {"train": ["a.png", "c.png"], "eval": []}
    assert facts["pairs"][0]["leaks"]["kinds"] == {"same_text": 1}
    assert {Path(fault["path"]).name for fault in facts["not_comparable"]} == {"a.png", "c.png"}
    assert "pictures not comparable" in told
    assert "not comparable: media file 'a.png' is missing" in told and "'c.png' has changed" in told


FAULTS = [
    ("nosuch:train", "suite.jsonl", "no domain declares a source 'nosuch'"),
    ("train.jsonl", "finqaa", r"'finqaa' is no suite \(did you mean 'finqa'\?\)"),
    ("train.jsonl", "own", "belongs to no domain.*--domain"),
    ("gone.parquet", "suite.jsonl", "no sample file"),
    ("gone.jsonl", "suite.jsonl", "no file"),
    ("empty.parquet", "suite.jsonl", "no row can be read"),
    ("train.jsonl", "hole.jsonl", r"hole\.jsonl, row 1: media file 'gone.png' is missing"),
    ("train.jsonl", "finqa:val", "missing under .*no --data folder was given"),
]


@pytest.mark.parametrize(("train", "suite", "message"), FAULTS)
def test_faults_are_one_line(folder: Path, train: str, suite: str, message: str) -> None:
    write_samples(folder / "empty.parquet", [])
    write_rows(folder / "hole.jsonl", [own("1", "What is it?", "a dog", "gone.png")])
    names = [str(folder / name) if "." in name else name for name in (train, suite)]
    with pytest.raises(UserError, match=message) as caught:
        check_leaks(names[:1], names[1:], None, None, None, False)
    assert "\n" not in str(caught.value)


def test_clean_needs_a_parquet_file_and_a_place(folder: Path) -> None:
    with pytest.raises(UserError, match=r"one \.parquet as --train, and --out"):
        checked(folder, clean=True)


def read_in(root: Path, sample: Sample) -> Sample:
    return replace(sample, media=tuple(media_ref(root, ref.path) for ref in sample.media))


def test_decontamination_drops_rows_on_evaluated_pictures(folder: Path) -> None:
    """By the file's hash always, by what it shows when the media were compared; samples come back unchanged."""
    (folder / "twin.png").write_bytes((folder / "d.png").read_bytes())
    train = [
        read_in(folder, row(str(k), f"question {k}", "x", name))
        for k, name in enumerate(("a.png", "c.png", "twin.png"))
    ]
    known = [read_in(folder, row(f"e{k}", f"other {k}", "y", name)) for k, name in enumerate(("b.jpg", "d.png"))]

    clean, pairs = decontaminate(train, known)
    assert [(pair.train, pair.eval, pair.kind) for pair in pairs] == [("2", "e1", Leak.MEDIA)]

    compared = compare_media([rows("train", folder, *train), rows("eval", folder, *known)])
    clean, pairs = decontaminate(train, known, compared)
    assert [(pair.train, pair.eval, pair.kind) for pair in pairs] == [("0", "e0", Leak.MEDIA), ("2", "e1", Leak.MEDIA)]
    assert clean == [train[1]]
    report = contamination_report(train, known, clean, pairs, compared)
    assert report["kinds"]["media"] == 2 and report["media"]["not_comparable"] == []


def test_one_document_name_with_two_pictures_is_no_leak(folder: Path) -> None:
    """Sets number their pictures alike: '1.png' of one is not '1.png' of the other."""
    train = read_in(folder, row("t", "What is shown?", "x", "a.png", document="1.png"))
    known = read_in(folder, row("e", "What is shown?", "y", "d.png", document="1.png"))
    assert decontaminate([train], [known])[1] == []
    same = read_in(folder, row("s", "What is shown?", "y", "d.png", document="1.png"))
    assert decontaminate([same], [known])[1][0].kind is Leak.SAME_TEXT
