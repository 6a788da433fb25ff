"""The leaks that are known of published sets, planted in copies of real rows, and what the rows at hand share."""

from __future__ import annotations

import gzip
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from leak_making import cut, jpeg, scaled, scene, write_rows
from PIL import Image

from mmreason.leaks.answers import Given
from mmreason.leaks.compare import Facts
from mmreason.leaks.media import RowSet
from mmreason.leaks.report import check
from mmreason.leaks.sets import Place, read_set

Rows = list[dict[str, Any]]


def read(path: Path) -> Rows:
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        return [json.loads(line) for line in handle]


def compared(train: str, evaluation: str, data: Path | None = None) -> Facts:
    place = Place(data, None, Path("made"))
    return check([read_set(train, place)], [read_set(evaluation, place)])


def rad(real_data: Path) -> dict[str, Rows]:
    """Training rows by picture."""
    found: dict[str, Rows] = defaultdict(list)
    for row in json.loads((real_data / "vqa_rad" / "train.json").read_text(encoding="utf-8")):
        found[row["image_name"]].append(row)
    return found


def plant_rad(real_data: Path, folder: Path) -> Path:
    """24 pictures for training with all of their rows; the test half has 8 other pictures, and 9 of training: three as
    they are, two as PNG, two as JPEG 80, two at 90 %, under new names. Of each, its free-form rows are asked."""
    real, out = real_data / "vqa_rad", folder / "vqa_rad"
    (out / "images").mkdir(parents=True)
    by_picture = rad(real_data)
    names = sorted(name for name, rows in by_picture.items() if sum(r["phrase_type"] == "frame" for r in rows) >= 3)
    train, others, planted = names[:24], names[24:32], names[:9]
    for name in (*train, *others):
        shutil.copy(real / "images" / name, out / "images" / name)
    renamed = {}
    for k, name in enumerate(planted):
        picture = Image.open(real / "images" / name).convert("RGB")
        renamed[name] = f"test{k}.{'png' if k in (3, 4) else 'jpg'}"
        target = out / "images" / renamed[name]
        if k < 3:
            shutil.copy(real / "images" / name, target)
        elif k < 5:
            picture.save(target)
        elif k < 7:
            jpeg(picture, 80).save(target, quality=80)
        else:
            scaled(picture, 0.9).save(target, quality=90)
    kept = [row for name in train for row in by_picture[name] if row["phrase_type"] == "frame" or name not in planted]
    asked = [row for name in planted for row in by_picture[name] if row["phrase_type"] != "frame"]
    test = [{**row, "image_name": renamed[row["image_name"]]} for row in asked]
    test += [row for name in others for row in by_picture[name]]
    (out / "train.json").write_text(json.dumps(kept), encoding="utf-8")
    (out / "val.json").write_text(json.dumps(test), encoding="utf-8")
    return folder


def test_vqa_rad_pictures_of_train_in_test(real_data: Path, tmp_path: Path) -> None:
    facts = compared("vqa_rad:train", "vqa_rad:val", plant_rad(real_data, tmp_path))["pairs"][0]
    by_picture = rad(real_data)
    pictures = facts["pictures"]
    assert (pictures["train"], pictures["eval"]) == (24, 17)
    assert (pictures["train_shared"], pictures["eval_shared"]) == (9, 9)
    assert pictures["how"] == {"file": 3, "pixels": 2, "near": 4}
    names = sorted({Path(pair["train"]).name for pair in pictures["pairs"]})
    assert {Path(pair["eval"]).name for pair in pictures["pairs"]} == {
        f"test{k}.{'png' if k in (3, 4) else 'jpg'}" for k in range(9)
    }
    frames = sum(row["phrase_type"] == "frame" for name in names for row in by_picture[name])
    free = sum(row["phrase_type"] != "frame" for name in names for row in by_picture[name])
    assert (pictures["train_rows"], pictures["eval_rows"]) == (frames, free)
    assert facts["leaks"]["train_rows"] == frames == 43, "the frame rows on the nine pictures, and no other row"
    assert facts["leaks"]["kinds"] == {"media": 38, "same_text": 3, "near_text": 2}
    assert pictures["not_comparable"] == {"train": [], "eval": []}


def test_vqa_rad_frame_rows_give_answers_away(real_data: Path, tmp_path: Path) -> None:
    """Counted apart with the raw rows: an equal answer on the same picture, under a similar question or another."""
    facts = compared("vqa_rad:train", "vqa_rad:val", plant_rad(real_data, tmp_path))["pairs"][0]
    by_picture = rad(real_data)
    names = {Path(pair["train"]).name for pair in facts["pictures"]["pairs"]}

    def answers(name: str, frame: bool) -> list[str]:
        rows = [row for row in by_picture[name] if (row["phrase_type"] == "frame") == frame]
        return [str(row["answer"]).lower().strip(" .") for row in rows]

    known = sum(answer in answers(name, True) for name in names for answer in answers(name, False))
    assert facts["answers"]["kinds"] == {
        Given.SAME_ITEM: 2,
        Given.REWORDED_ITEM: 16,
        Given.SAME_ANSWER: 26,
        Given.OTHER_ANSWER: 0,
    }
    assert known == 2 + 16 + 26
    assert facts["answers"]["lookup"] == {"asked": 59, "right": 41}


def test_slightly_cropped_radiographs(real_data: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in (real_data / "vqa_rad" / "images").glob("*.jpg"))[:16]
    cuts = [(0.05, 0.05, 0.05, 0.05), (0.05, 0, 0, 0), (0, 0.05, 0, 0), (0.03, 0.01, 0.05, 0)]
    for k, name in enumerate(names):
        picture = Image.open(real_data / "vqa_rad" / "images" / name).convert("RGB")
        picture.save(tmp_path / name)
        if k < 8:
            jpeg(cut(picture, *cuts[k % 4]), 80).save(tmp_path / f"cut-{name}", quality=80)
    train = write_rows(
        tmp_path / "train.jsonl", [{"id": n, "question": "?", "answer": "x", "images": [n]} for n in names]
    )
    asked = [{"id": n, "question": "where", "answer": "y", "images": [f"cut-{n}"]} for n in names[:8]]
    facts = compared(str(train), str(write_rows(tmp_path / "test.jsonl", asked)))["pairs"][0]
    assert [(p["train"], p["eval"]) for p in facts["pictures"]["pairs"]] == [(n, f"cut-{n}") for n in names[:8]]
    assert facts["leaks"]["kinds"] == {"media": 8}


def slake(rows: Rows, pictures: Path) -> Rows:
    """Own rows with a picture drawn for each img_id: the release without images says which rows share one."""
    pictures.mkdir(exist_ok=True)
    for img_id in {row["img_id"] for row in rows}:
        scene(img_id, (48, 48), coloured=False).save(pictures / f"{img_id}.png")
    return [
        {"id": r["qid"], "question": r["question"], "answer": r["answer"], "images": [f"imgs/{r['img_id']}.png"]}
        | {"lang": r["q_lang"]}
        for r in rows
    ]


def test_slake_languages_share_pictures(real_data: Path, tmp_path: Path) -> None:
    """The two languages are split apart by question, so an English test picture stands in the Chinese training rows."""
    rows = read(real_data / "slake_questions" / "train.jsonl.gz")
    chosen = sorted({row["img_id"] for row in rows})[:80]
    parts: dict[str, Rows] = {
        lang: [r for r in rows if r["q_lang"] == lang and r["img_id"] in chosen] for lang in ("en", "zh")
    }
    chinese, english = {r["img_id"] for r in parts["zh"]}, {r["img_id"] for r in parts["en"]}
    files = {
        lang: str(write_rows(tmp_path / f"{lang}.jsonl", slake(part, tmp_path / "imgs")))
        for lang, part in parts.items()
    }
    facts = compared(files["zh"], files["en"])["pairs"][0]["pictures"]
    assert 0 < facts["eval_shared"] == len(english & chinese) < len(english)
    assert facts["eval_rows"] == sum(row["img_id"] in chinese for row in parts["en"])
    assert facts["train_rows"] == sum(row["img_id"] in english for row in parts["zh"])
    assert facts["how"] == {"file": len(english & chinese), "pixels": 0, "near": 0}


def test_one_language_of_slake_split_by_picture_is_clean(real_data: Path, tmp_path: Path) -> None:
    rows = [
        r for r in read(real_data / "slake_questions" / "train.jsonl.gz") if r["q_lang"] == "en" and r["img_id"] < 60
    ]
    sides = [[r for r in rows if r["img_id"] % 4], [r for r in rows if not r["img_id"] % 4]]
    files = [str(write_rows(tmp_path / f"{k}.jsonl", slake(side, tmp_path / "imgs"))) for k, side in enumerate(sides)]
    facts = compared(*files)["pairs"][0]
    assert facts["pictures"]["eval_shared"] == facts["leaks"]["train_rows"] == 0
    assert facts["questions"]["same"]["eval_rows"] > 0, "templates are asked of every picture: no leak by themselves"


def test_all_of_slake_by_picture_name(real_data: Path) -> None:
    """Without the pictures the names tell, and the pictures count as not comparable."""
    place = Place(real_data, None, Path("made"))
    found = read_set("slake_train:compact", place)  # English alone is read
    facts = check([found], [found])
    assert len(found.samples) == 4919
    assert len(facts["pairs"][0]["pictures"]["not_comparable"]["eval"]) == 450
    assert facts["pairs"][0]["pictures"]["eval_shared"] == 0
    assert facts["pairs"][0]["documents"]["shared"] == 450


def plant_finqa(real_data: Path, folder: Path) -> Path:
    """30 held rows; 60 training rows of other reports, and 5 held rows as they are under other ids, 5 reworded, 5 other
    questions on held reports."""
    place = Place(real_data, None, folder)
    kept = {side: read_set(f"finqa:{side}", place).samples for side in ("train", "val")}
    held = [
        s for k, s in enumerate(kept["val"]) if s.source.document not in {o.source.document for o in kept["val"][:k]}
    ]
    held = held[:30]
    taken = {sample.source.document for sample in held}
    raw = {side: {row["id"]: row for row in read(real_data / "finqa" / f"{side}.jsonl.gz")} for side in kept}
    train = [raw["train"][s.source.row] for s in kept["train"] if s.source.document not in taken][:60]
    val = [raw["val"][s.source.row] for s in held]
    train += [{**row, "id": f"copy-{k}"} for k, row in enumerate(val[:5])]
    train += [
        {**row, "id": f"reworded-{k}", "question": f"tell us please , in plain words : {row['question']}"}
        for k, row in enumerate(val[5:10])
    ]
    train += [
        {**row, "id": f"same-report-{k}", "question": "what is two and two ?", "program": "add(2, 2)", "exe_ans": 4.0}
        for k, row in enumerate(val[10:15])
    ]
    for side, rows in (("train", train), ("val", val)):
        path = folder / "finqa" / f"{side}.jsonl.gz"
        path.parent.mkdir(exist_ok=True)
        with gzip.open(path, "wt", encoding="utf-8") as handle:
            handle.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def test_finqa_rows_in_other_dress(real_data: Path, tmp_path: Path) -> None:
    facts = compared("finqa:train", "finqa:val", plant_finqa(real_data, tmp_path))["pairs"][0]
    found = {pair["train"].removeprefix("finqa-"): pair["kind"] for pair in facts["leaks"]["pairs"]}
    assert set(found) == {f"{name}-{k}" for name in ("copy", "reworded") for k in range(5)}
    assert [found[f"copy-{k}"] for k in range(5)] == ["same_text"] * 5
    assert {found[f"reworded-{k}"] for k in range(5)} <= {"reworded", "near_text"}
    shared = facts["documents"]
    assert (shared["shared"], shared["train_rows"], shared["eval_rows"]) == (15, 15, 15)


def test_reports_shared_by_finqa_train_and_val(real_data: Path) -> None:
    facts = compared("finqa:train", "finqa:val", real_data)
    shared = facts["pairs"][0]["documents"]
    assert (shared["train"], shared["eval"], shared["shared"]) == (289, 146, 136)
    assert (shared["train_rows"], shared["eval_rows"]) == (286, 170)
    assert facts["pairs"][0]["leaks"]["kinds"] == {"same_text": 1, "near_text": 2}
    assert facts["sets"]["finqa:train"]["same_row"]["groups"] == 6
    assert facts["sets"]["finqa:val"]["same_row"]["groups"] == 0


def test_reports_shared_by_finqa_and_convfinqa(real_data: Path) -> None:
    place = Place(real_data, None, Path("made"))
    finqa = [sample for split in ("train", "val") for sample in read_set(f"finqa:{split}", place).samples]
    facts = check([RowSet("finqa", finqa, real_data)], [read_set("convfinqa:dev", place)])["pairs"][0]
    shared = facts["documents"]
    assert (shared["train"], shared["eval"], shared["shared"]) == (299, 189, 189)
    assert (shared["train_rows"], shared["eval_rows"]) == (612, 321)
    assert facts["leaks"]["kinds"] == {"reworded": 32}


def test_mmlu_asks_21_questions_in_two_subjects(real_data: Path) -> None:
    """Of the part at hand: 653 of 1,089 questions. All repeats lie between clinical knowledge and college medicine."""
    place = Place(real_data, None, Path("made"))
    found = read_set("mmlu_medicine:compact", place)
    by_subject = {
        subject: RowSet(subject, [s for s in found.samples if s.metadata["subject"] == subject], real_data)
        for subject in {str(s.metadata["subject"]) for s in found.samples}
    }
    facts = check([by_subject["clinical_knowledge"]], [by_subject["college_medicine"]])["pairs"][0]
    assert facts["rows"] == {"train": 163, "eval": 102}
    assert facts["questions"]["same"]["eval_rows"] == 21
    assert facts["leaks"]["kinds"] == {"same_text": 21}
    whole = check([found], [found])["sets"]["mmlu_medicine:compact"]
    assert whole["same_question"] == {"groups": 21, "rows": 42}


@pytest.mark.slow
def test_vqa_rad_train_and_val_at_hand_share_no_picture(real_data: Path) -> None:
    facts = compared("vqa_rad:train", "vqa_rad:val", real_data)["pairs"][0]
    assert (facts["pictures"]["train"], facts["pictures"]["eval"]) == (224, 30)
    assert facts["pictures"]["eval_shared"] == facts["leaks"]["train_rows"] == 0
    assert facts["rows"] == {"train": 2162, "eval": 313}
