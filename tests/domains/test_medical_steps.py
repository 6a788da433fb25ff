"""The data steps of the medical sets, on rows made by hand and on the data at hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmreason.config import Domain, load_domain
from mmreason.config.recipe import Recipe
from mmreason.data.pipeline import build_dataset, load_dataset
from mmreason.data.sources import has_files, read_source
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Sample, Source
from mmreason.records.io import read_samples
from mmreason.suites.reading import read_suite
from mmreason.suites.suite import load_suite

MEDICAL = project_dir() / "domains" / "medical"
closed_open = load_module(MEDICAL / "closed_open.py")
rows = load_module(MEDICAL / "vqa_rows.py")
leaks = load_module(MEDICAL / "leaks_vqa.py")
unpack = load_module(MEDICAL / "unpack.py")

KNOWN = {"left", "right", "liver", "lung", "t1", "t2", "ct", "physical injury", "left kidney"}


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain(MEDICAL)


@pytest.fixture
def context(domain: Domain, tmp_path: Path) -> StepContext:
    return made_context(domain, tmp_path / "work", None)


def made_context(domain: Domain, work: Path, data: Path | None) -> StepContext:
    values: dict[str, Any] = {"system": "made", "model": {"tiny": {"vocab": 300}}, "eval": {"suites": []}}
    values |= {"data": {"pipelines": ["own"], "embedded": ["own"]}, "sft": {"optim": {"lr": 1e-3}}}
    work.mkdir(parents=True, exist_ok=True)
    return StepContext(Recipe.model_validate(values), domain, data, work)


def row(
    id: str,
    question: str,
    answer: str,
    closed: bool = False,
    kind: AnswerKind = AnswerKind.SPAN,
    picture: str = "a.png",
    **more: Any,
) -> Sample:
    """A question about one picture that need not be there."""
    media = (MediaRef("", "image", picture, tokens=0),)
    facts = {"question": question, "answer": answer, "answer_type": "closed" if closed else "open", **more}
    gold = Answer(kind, answer.lower() if kind is AnswerKind.JUDGEMENT else answer)
    source = Source("made", "train", "", id, document=picture)
    return Sample(id, source, (Message.about(question, media),), gold, media, metadata=facts)


def yes_no(id: str, question: str, answer: str, **more: Any) -> Sample:
    return row(id, question, answer, True, AnswerKind.JUDGEMENT, **more)


def parted(stream: Iterator[Sample | Drop]) -> tuple[list[Sample], dict[str, str]]:
    """What stays, and id -> reason of what left."""
    items = list(stream)
    return [one for one in items if isinstance(one, Sample)], {
        one.id: one.reason for one in items if isinstance(one, Drop)
    }


def flags(context: StepContext, name: str) -> Any:
    return json.loads((context.work_dir / "flags" / f"{name}.json").read_text(encoding="utf-8"))


def test_closed_and_open_by_both_rules(context: StepContext) -> None:
    stream = [yes_no("a", "Is it axial?", "Yes"), row("b", "CT or MRI?", "mri", True), row("c", "Where?", "liver")]
    kept, dropped = parted(closed_open.split(stream, context, keep="closed"))
    assert [one.id for one in kept] == ["a", "b"] and dropped == {"c": "is_open"}
    assert flags(context, "made-split") == {
        "closed": 2,
        "closed judgement": 1,
        "closed span": 1,
        "open": 1,
        "open span": 1,
    }
    kept, dropped = parted(closed_open.split(stream, context, keep="open", rule="yes_no"))
    assert [one.id for one in kept] == ["b", "c"] and dropped == {"a": "is_closed"}
    assert {one.metadata["stage"] for one in kept} == {2}
    with pytest.raises(UserError, match="keep 'shut'"):
        list(closed_open.split(stream, context, keep="shut"))


@pytest.mark.parametrize(
    ("question", "gold", "expected"),
    [
        ("Which is the biggest in this image,lung,liver or heart?", "Liver", ["lung", "liver", "heart"]),
        ("Is the lesion on the patient's right or left side?", "Left side", ["right side", "left side"]),
        ("Is the lesion on the right or left side of the brain?", "Right", ["right", "left"]),
        ("Is the largest cyst in the left or right kidney?", "Left kidney", ["left kidney", "right kidney"]),
        ("Is the abnormality more or less dense than the tissue?", "less dense", ["more dense", "less dense"]),
        ("Is it a contrast CT or a non-contrast CT?", "Non-contrast CT", ["contrast ct", "non contrast ct"]),
        (
            "What is denser, the lesion or the surrounding tissue?",
            "surrounding tissue",
            ["lesion", "surrounding tissue"],
        ),
        ("Was this taken with or without contrast?", "With contrast", ["with contrast", "without contrast"]),
        (
            "Do you see a physical injury or a medical process?",
            "medical process",
            ["physical injury", "medical process"],
        ),
        ("Is this T1 or T2 weighted?", "T2", ["t1", "t2"]),
        ("图中肺、心脏和肝脏哪个更大?", "肝脏", ["肺", "心脏", "肝脏"]),
        ("图中哪侧是异常的,左侧还是右侧?", "左侧", ["左侧", "右侧"]),
        ("Which organ is abnormal, heart or lung?", "Both", []),
        ("Where is the lesion?", "liver", []),
    ],
)
def test_candidates_that_a_question_names(question: str, gold: str, expected: list[str]) -> None:
    assert closed_open.named_candidates(question, gold, KNOWN) == expected


def test_options_by_each_rule(context: StepContext) -> None:
    organs = [
        row(f"o{n}", "Which organ?", name, picture=f"{n}.png", content_type="Organ")
        for n, name in enumerate(["Spleen", "Kidney", "Heart", "Right lung", "Lung"])
    ]
    asked = [
        yes_no("y", "Is it axial?", "No"),
        row("q", "Is it the lung or the liver?", "Liver", True),
        row("c", "Which organ is abnormal?", "Lung", True, content_type="Organ", picture="c.png"),
        row("n", "Which colour?", "grey", True, content_type="Colour", picture="c.png"),
    ]
    kept, dropped = parted(closed_open.with_options([*organs, *asked], context))
    by_id = {one.id: one for one in kept}
    assert dropped == {"n": "no_options"}
    assert all(by_id[f"o{n}"].answer.kind is AnswerKind.SPAN for n in range(5))  # open ones stay
    assert sorted(by_id["y"].answer.options.values()) == ["no", "yes"]
    assert sorted(by_id["q"].answer.options.values()) == ["liver", "lung"]
    # "Right lung" holds the gold, so three others are left
    assert sorted(by_id["c"].answer.options.values()) == ["Heart", "Kidney", "Lung", "Spleen"]
    for id, gold in (("y", "no"), ("q", "liver"), ("c", "Lung")):
        assert by_id[id].answer.options[by_id[id].answer.gold] == gold
    assert by_id["q"].metadata["free"] == {"kind": "span", "gold": "Liver", "aliases": {}}
    assert flags(context, "made-with_options") == {"content_type": 1, "question": 1, "yes_no": 1}


def test_the_order_of_options_is_fixed_by_the_seed(context: StepContext) -> None:
    asked = [yes_no(f"y{n}", f"Is it {n}?", "yes", picture=f"{n}") for n in range(400)]

    def golds(seed: int) -> list[str]:
        return [one.answer.gold for one in parted(closed_open.with_options(asked, context, seed=seed))[0]]

    assert golds(0) == golds(0) != golds(1)
    assert 160 <= golds(0).count("A") <= 240


def test_an_answer_given_about_the_picture_is_no_distractor(context: StepContext) -> None:
    names = ["Spleen", "Kidney", "Heart", "Bladder"]
    others = [row(n, "Which organ?", n, content_type="Organ", picture=f"{n}.png") for n in names]
    same = row("s", "Which organ is left?", "Stomach", content_type="Organ", picture="p.png")
    asked = row("c", "Which organ is abnormal?", "Lung", True, content_type="Organ", picture="p.png")
    for seed in range(8):
        kept, _ = parted(closed_open.with_options([*others, same, asked], context, seed=seed))
        assert "Stomach" not in kept[-1].answer.options.values()


def test_rows_without_an_answer_leave_and_several_are_flagged(context: StepContext) -> None:
    several = row("b", "What?", "ct", answers=["ct", "ct scan"])
    stream = [row("a", "What?", ""), several, row("c", " ?", "ct"), row("d", "Where?", "liver")]
    kept, dropped = parted(rows.usable(stream, context))
    assert dropped == {"a": "empty_answer", "c": "empty_question"}
    assert [one.metadata.get("several_answers", False) for one in kept] == [True, False]
    assert flags(context, "made-usable") == {"several_answers": 1}
    assert parted(rows.usable([several], context, several="drop"))[1] == {"b": "several_answers"}
    with pytest.raises(UserError, match="expected one of drop, flag"):
        list(rows.usable(stream, context, several="keep"))


def test_contradictions_leave_and_other_open_answers_are_flagged(context: StepContext) -> None:
    stream = [
        yes_no("a", "Is it axial?", "yes"),
        yes_no("b", "is it  AXIAL", "no"),
        yes_no("c", "Is it axial?", "no", picture="other.png"),
        row("d", "Where?", "liver"),
        row("e", "Where?", "right lobe"),
        row("f", "What?", "a mass"),
        row("g", "What?", "mass"),  # the same answer
    ]
    kept, dropped = parted(rows.contradictions(stream, context))
    assert dropped == {"a": "contradictory", "b": "contradictory"}
    assert {one.id: one.metadata["other_answers"] for one in kept if "other_answers" in one.metadata} == {
        "d": ["right lobe"],
        "e": ["liver"],
    }
    assert flags(context, "made-contradictions") == {"other_answers": 2}
    kept, dropped = parted(rows.contradictions(stream, context, closed="flag", open_="drop"))
    assert set(dropped) == {"d", "e"} and kept[0].metadata["contradictory"] == ["no"]


def test_frame_rows_leave_whatever_the_reader_was_told(context: StepContext) -> None:
    stream = [row("a", "What?", "ct", phrase_type="frame"), row("b", "What?", "ct", phrase_type="para")]
    assert parted(rows.no_frames(stream, context))[1] == {"a": "frame_row"}


RAD = {"image_organ": "HEAD", "answer_type": "OPEN", "question_type": "PLANE", "answer": "axial"}


def test_shared_pictures_are_flagged_with_counts(domain: Domain, tmp_path: Path) -> None:
    rad = [
        {**RAD, "qid": 1, "image_name": "s1.jpg", "question": "Plane?", "phrase_type": "freeform"},
        {**RAD, "qid": 2, "image_name": "s1.jpg", "question": "View?", "phrase_type": "para"},
        {**RAD, "qid": 3, "image_name": "s2.jpg", "question": "Plane?", "phrase_type": "freeform"},
        {**RAD, "qid": 4, "image_name": "s1.jpg", "question": "Which plane?", "phrase_type": "test_freeform"},
        {**RAD, "qid": 5, "image_name": "s2.jpg", "question": "Plane is?", "phrase_type": "frame"},
    ]
    folder = tmp_path / "vqa_rad_released"
    (folder / "VQA_RAD Image Folder").mkdir(parents=True)
    (folder / "VQA_RAD Dataset Public.json").write_text(json.dumps(rad), encoding="utf-8")
    for name, grey in (("s1.jpg", 60), ("s2.jpg", 160)):
        Image.new("L", (28, 28), grey).save(folder / "VQA_RAD Image Folder" / name)
    context = made_context(domain, tmp_path / "work", tmp_path)
    built = build_dataset(load_dataset("medical_vqa_rad_released", domain), context)
    kept = {one.source.row: one.metadata.get("picture_in") for one in read_samples(built.kept)}
    assert kept == {"1": ["vqa_rad:test"], "2": ["vqa_rad:test"], "3": None}
    assert built.facts["dropped"] == {"read": {"frame_row": 1}}
    assert flags(context, "vqa_rad_train-shared_pictures") == {"vqa_rad:test pictures": 1, "vqa_rad:test rows": 2}


def test_a_part_that_is_not_at_hand_is_told(domain: Domain, tmp_path: Path) -> None:
    context = made_context(domain, tmp_path / "work", tmp_path)
    stream = [row("a", "What?", "ct")]
    kept, _ = parted(leaks.shared_pictures(stream, context, ["slake:test"], action="drop"))
    assert kept == stream and flags(context, "made-shared_pictures") == {"slake:test not_at_hand": 1}
    with pytest.raises(UserError, match="no split 'tests' in 'slake:tests' \\(did you mean 'test'"):
        list(leaks.shared_pictures(stream, context, ["slake:tests"]))
    with pytest.raises(UserError, match="no source 'slak'"):
        list(leaks.shared_pictures(stream, context, ["slak:test"]))


def test_a_slake_split_shares_its_pictures_with_the_other_language(
    domain: Domain, real_data: Path, tmp_path: Path
) -> None:
    """Questions at hand, without pictures: every English training picture has Chinese training questions."""
    context = made_context(domain, tmp_path / "work", real_data)
    options = {"lang": "en"}
    stream = read_source(domain, "slake_train", "compact", real_data, options, need_media=False)
    checked = leaks.shared_pictures(rows.usable(stream, context), context, ["slake:train"])
    kept, dropped = parted(closed_open.with_options(closed_open.split(checked, context), context))
    assert dropped == {"slake_train-1622": "empty_answer"}
    assert flags(context, "slake_train-shared_pictures") == {"slake:train pictures": 450, "slake:train rows": 4918}
    counts = flags(context, "slake_train-split")
    assert (counts["closed"], counts["open"]) == (1943, 2975)  # 2,976 with the empty one
    assert flags(context, "slake_train-with_options") == {"content_type": 8, "question": 254, "yes_no": 1681}
    assert all(len(one.answer.options) >= 2 for one in kept if one.metadata["answer_type"] == "closed")


REAL = {
    "medical_vqa_rad": (2162, 1278, {"closed choice": 759, "open span": 519}),
    "medical_bccd": (1740, None, {}),
    "medical_covid": (56, None, {}),
    "medical_mcq": (2000, None, {}),
    "medical_pubmedqa": (500, 500, {"closed judgement": 500}),
}


@pytest.mark.parametrize("name", REAL)
def test_pipelines_on_the_data_at_hand(domain: Domain, real_data: Path, tmp_path: Path, name: str) -> None:
    dataset = load_dataset(name, domain)
    if not has_files(domain, dataset.source, dataset.split, real_data):
        pytest.skip(f"no files of {dataset.source}:{dataset.split} under {real_data}")
    built = build_dataset(dataset, made_context(domain, tmp_path, real_data))
    read, kept, kinds = REAL[name]
    assert built.facts["read"] == read
    assert kept in (None, built.facts["kept"]) and built.facts["kept"] > 0.4 * read
    found = Counter(f"{s.metadata['answer_type']} {s.answer.kind.value}" for s in read_samples(built.kept))
    assert not kinds or found == kinds
    if name == "medical_vqa_rad":
        assert built.facts["dropped"] == {"duplicate": {"duplicate": 1}, "read": {"frame_row": 883}}


def test_the_held_out_suite_shows_no_picture_of_training(domain: Domain, real_data: Path, tmp_path: Path) -> None:
    if not has_files(domain, "bccd", "part", real_data):
        pytest.skip(f"no files of bccd:part under {real_data}")
    asked = read_suite(load_suite("bccd_held_out"), domain, real_data, need_media=False).samples
    built = build_dataset(load_dataset("medical_bccd", domain), made_context(domain, tmp_path, real_data))
    trained = {one.source.document for one in read_samples(built.kept)}
    assert len(asked) == 216 and not {one.source.document for one in asked} & trained
    assert len({one.source.document for one in asked} | trained) == 290


def test_pneumonia_after_unpacking(domain: Domain, real_data: Path, tmp_path: Path) -> None:
    """Every 61st training picture of the file, unpacked."""
    held = real_data / "pneumoniamnist_balanced" / "pneumoniamnist_train_val.npz"
    if not held.is_file():
        pytest.skip(f"no {held}")
    folder = tmp_path / held.parent.name
    folder.mkdir()
    with np.load(held) as arrays:
        labels = arrays["train_labels"][::61]
        np.savez(folder / held.name, train_images=arrays["train_images"][::61], train_labels=labels)
    assert unpack.unpack(folder / held.name, folder / "images") == 40
    built = build_dataset(load_dataset("medical_pneumonia", domain), made_context(domain, tmp_path / "work", tmp_path))
    golds = Counter(sample.answer.gold for sample in read_samples(built.kept))
    assert golds == {"A": int((labels == 0).sum()), "B": int((labels == 1).sum())} and len(golds) == 2


RELEASED: dict[str, tuple[str, Callable[[], str]]] = {
    "medical_slake": (
        "slake/train.json",
        lambda: json.dumps(
            [
                {
                    **{"img_id": 1, "img_name": "xmlab1/source.jpg", "location": "Lung", "modality": "CT"},
                    **{"content_type": "Plane", "base_type": "vqa", "triple": ["vhead", "_", "_"], "q_lang": lang},
                    **{"qid": number, "question": "Is it axial?", "answer": answer, "answer_type": "CLOSED"},
                }
                for number, (lang, answer) in enumerate([("en", "Yes"), ("zh", "是"), ("en", "Yes")])
            ]
        ),
    ),
    "medical_pathvqa": (
        "pathvqa/train.jsonl",
        lambda: "".join(
            json.dumps({"image": "images/1.png", "question": question, "answer": answer}) + "\n"
            for question, answer in [("is it liver?", "yes"), ("what is it?", "liver"), ("is it liver?", "no")]
        ),
    ),
    "medical_pmc_vqa": (
        "pmc_vqa/train.csv",
        lambda: (
            "Figure_path,Question,Answer,Choice A,Choice B,Choice C,Choice D,Answer_label\n"
            "1.png,What?,Diffuse,A:Diffuse,B:Focal,C:None,D:Both,A\n"
        ),
    ),
}


@pytest.mark.parametrize(
    ("name", "kept", "dropped"),
    [
        ("medical_slake", 1, {"duplicate": {"duplicate": 1}}),
        ("medical_pathvqa", 1, {"contradictions": {"contradictory": 2}}),
        ("medical_pmc_vqa", 1, {}),
    ],
)
def test_pipelines_on_released_forms(
    domain: Domain, tmp_path: Path, name: str, kept: int, dropped: dict[str, Any]
) -> None:
    """Each release in small; PathVQA's count of rows is not met and not asked for."""
    path, text = RELEASED[name]
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_text(text(), encoding="utf-8")
    for picture in ("slake/imgs/xmlab1/source.jpg", "pathvqa/images/1.png", "pmc_vqa/images/1.png"):
        (tmp_path / picture).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (28, 28), 60).save(tmp_path / picture)
    dataset = load_dataset(name, domain)
    dataset.options["subset"] = True
    built = build_dataset(dataset, made_context(domain, tmp_path / "work", tmp_path))
    assert (built.facts["kept"], built.facts["dropped"]) == (kept, dropped)


def test_vqa_med_2019_by_category(domain: Domain, tmp_path: Path) -> None:
    folder = tmp_path / "vqa_med_2019" / "train"
    folder.mkdir(parents=True)
    lines = {"C1_Modality": "s1|is this a ct scan?|yes\ns1|what is it?|ct\n", "C2_Plane": "s1|which plane?|axial\n"}
    lines |= {"C3_Organ": "s2|which organ?|lung\n", "C4_Abnormality": "s2|what is wrong?|mass\n"}
    for name, text in lines.items():
        (folder / f"{name}_train.txt").write_text(text, encoding="utf-8")
    found = read_source(domain, "vqa_med_2019_train", "train", tmp_path, {"subset": True}, need_media=False)
    read = [(one.source.row, one.metadata["form"]) for one in found if isinstance(one, Sample)]
    assert read == [
        *(("s1-modality", "yes_no"), ("s1-modality-2", "open"), ("s1-plane", "open")),
        *(("s2-organ", "open"), ("s2-abnormality", "open")),
    ]
