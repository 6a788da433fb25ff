"""The medical suites with images: on the data at hand, else on small files in the released formats."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmreason.config import load_domain
from mmreason.data.sources import read_source
from mmreason.data.step import Drop
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import AnswerKind, Sample
from mmreason.suites.reading import read_suite
from mmreason.suites.reference import llava_med, medical_forms
from mmreason.suites.suite import load_suite

audits = load_module(Path(__file__).parent / "suite_audits.py")
audit, questions = audits.audit, audits.questions
FOLDER = project_dir() / "domains" / "medical"
RAD = {"image_organ": "HEAD", "phrase_type": "test_freeform", "image_name": "synpic1.jpg"}
SLAKE = {"img_id": 1, "img_name": "xmlab1/source.jpg", "location": "Lung", "modality": "CT", "base_type": "vqa"}
SLAKE |= {"content_type": "Organ", "triple": ["vhead", "_", "_"]}


def put(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in value) if path.suffix == ".jsonl" else ""
    path.write_text(text or (value if isinstance(value, str) else json.dumps(value)), encoding="utf-8")
    return path


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (28, 28), "grey").save(path)
    return path


def shares(samples: list[Sample], outputs: list[str], name: str) -> float:
    one = getattr(llava_med, name)
    return round(float(one.total(one.run(outputs, samples))["acc"]), 4)


def test_vqa_rad_at_hand(real_data: Path) -> None:
    samples = audit("vqa_rad@val", real_data)
    assert Counter(sample.metadata["answer_type"] for sample in samples) == {"closed": 192, "open": 121}
    assert Counter(sample.metadata["form"] for sample in samples) == {"yes_no": 185, "closed_word": 7, "open": 121}
    golds = [str(sample.metadata["answer"]) for sample in samples]
    assert shares(samples, golds, "closed") == shares(samples, ["yes no"] * 313, "closed") == 0.9635
    assert (shares(samples, golds, "closed_fixed"), shares(samples, ["yes no"] * 313, "closed_fixed")) == (1.0, 0.0)


def test_blind_answers_at_hand(real_data: Path) -> None:
    _, samples = questions("vqa_rad@val", real_data, need_media=False)
    _, train = questions("vqa_rad@train", real_data, need_media=False)
    seen = [(sample.metadata["question"], sample.metadata["answer"]) for sample in train]
    said = medical_forms.blind(seen, [sample.metadata["question"] for sample in samples])
    hits = [
        (s.metadata["answer_type"], s.metadata["answer"].lower() == one) for s, one in zip(samples, said, strict=True)
    ]
    right = Counter(form for form, hit in hits if hit)
    assert (
        right["open"] <= 3 and right["closed"] < 110
    )  # the parts are apart by image, so little but the polarity helps


@pytest.mark.parametrize(("lang", "count", "yes_no", "golds"), [("en", 4919, 1681, 0.8652), ("zh", 4916, 1685, 0.0)])
def test_slake_at_hand(real_data: Path, lang: str, count: int, yes_no: int, golds: float) -> None:
    suite, samples = questions(f"slake_{lang}@train", real_data, need_media=False)
    assert set(audits.wrong_golds(samples)) == set(suite.known_bad)  # the whole audit is of the small files below
    assert len(samples) == count
    assert sum(sample.metadata["form"] == "yes_no" for sample in samples) == yes_no
    assert shares(samples, [str(sample.metadata["answer"]) for sample in samples], "closed") == golds


def test_the_others_at_hand(real_data: Path) -> None:
    assert len(audit("vqa_med_2019", real_data, need_media=False)) == 250
    assert len(audit("bccd", real_data, need_media=False)) == 1740
    _, samples = questions("medxpertqa_mm", real_data, need_media=False)
    assert not audits.wrong_golds(samples)
    assert len(samples) == 900 and max(len(sample.media) for sample in samples) == 6
    assert not any("Answer Choices" in sample.metadata["question"] for sample in samples)


def test_vqa_rad_with_its_quirks(tmp_path: Path) -> None:
    rows = [
        {
            **RAD,
            "qid": 1,
            "question": "Is it axial?",
            "answer": "YES",
            "answer_type": "CLOSED ",
            "question_type": "PLANE",
        },
        {
            **RAD,
            "qid": "2",
            "question": "How many?",
            "answer": 3,
            "answer_type": "OPEN",
            "question_type": ["POS", "COUNT"],
        },
        {**RAD, "qid": 3, "question": "CT or MRI?", "answer": "mri", "answer_type": "CLOSED", "question_type": "x, y"},
        {**RAD, "qid": 4, "question": "Is?", "answer": "no", "answer_type": "CLOSED", "phrase_type": "frame"},
    ]
    put(tmp_path / "vqa_rad_released" / "VQA_RAD Dataset Public.json", rows)
    picture(tmp_path / "vqa_rad_released" / "VQA_RAD Image Folder" / "synpic1.jpg")
    samples = audit("vqa_rad", tmp_path)
    assert [sample.metadata["form"] for sample in samples] == ["yes_no", "open", "closed_word"]
    assert samples[1].answer.aliases == {"also": ["three"]} and samples[1].metadata["question_type"] == "COUNT, POS"
    assert {sample.source.document for sample in samples} == {"synpic1.jpg"}
    domain = load_domain(FOLDER)
    found = list(read_source(domain, "vqa_rad_train", "train", tmp_path))
    assert [item.reason for item in found if isinstance(item, Drop)] == ["frame_row"]


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    row = {**RAD, "qid": 1, "question": "Is it?", "answer": "yes", "answer_type": "CLOSED", "question_type": "PLANE"}
    put(tmp_path / "vqa_rad_released" / "testset.json", [row] * 1)
    suite = load_suite("vqa_rad").model_copy(update={"released_count": 1})
    with pytest.raises(UserError, match=r"1 media files are missing .*: vqa_rad_released/images/synpic1.jpg"):
        read_suite(suite, load_domain(FOLDER), tmp_path)
    with pytest.raises(UserError, match="1 of the 451 released questions"):
        read_suite(load_suite("vqa_rad"), load_domain(FOLDER), tmp_path, need_media=False)


def test_slake_keeps_the_languages_apart_and_sets_whole(tmp_path: Path) -> None:
    rows = [
        {**SLAKE, "qid": 1, "q_lang": "en", "question": "a?", "answer": "Yes", "answer_type": "CLOSED"},
        {**SLAKE, "qid": 2, "q_lang": "en", "question": "b?", "answer": "Right Lung,Upper Left", "answer_type": "OPEN"},
        {**SLAKE, "qid": 3, "q_lang": "zh", "question": "c?", "answer": "不包含", "answer_type": "CLOSED"},
        {**SLAKE, "qid": 4, "q_lang": "zh", "question": "d?", "answer": "不正常", "answer_type": "CLOSED"},
        {**SLAKE, "qid": 5, "q_lang": "zh", "question": "e?", "answer": "左肺,右侧", "answer_type": "OPEN"},
    ]
    put(tmp_path / "slake" / "test.json", rows)
    english, chinese = (audit(f"slake_{lang}", tmp_path, need_media=False) for lang in ("en", "zh"))
    assert [sample.answer.kind for sample in english] == [AnswerKind.JUDGEMENT, AnswerKind.SET]
    assert [sample.metadata["form"] for sample in chinese] == ["yes_no", "closed_word", "open"]
    assert [sample.answer.kind.value for sample in chinese] == ["judgement", "judgement", "set"]


def test_vqa_med_reads_alternatives_and_optional_parts(tmp_path: Path) -> None:
    line = "synpic1|organ|what organ?|heart (and great vessels)#lung\nsynpic2|modality|is it ct?|no\n"
    put(tmp_path / "vqa_med_2019" / "VQAMed2019_Test_Questions_w_Ref_Answers.txt", line)
    first, second = audit("vqa_med_2019", tmp_path, need_media=False)
    assert first.metadata["answers"] == ["heart (and great vessels)", "heart and great vessels", "heart", "lung"]
    assert second.answer.kind is AnswerKind.JUDGEMENT
    start = tmp_path / "vqa_med_2021" / "Task1-VQAnswering2021-Test-Reference"
    put(
        Path(f"{start}Questions_mscoco_format_vqa.json"),
        {"questions": [{"question_id": "synpic1", "question": "what?"}]},
    )
    put(Path(f"{start}Answers-4Evaluator.txt"), "synpic1|acl injury|tear\n")
    (only,) = audit("vqa_med_2021", tmp_path, need_media=False)
    assert only.answer.aliases == {"also": ["tear"]}


def test_pathvqa_from_both_releases(tmp_path: Path) -> None:
    row = {"image": "images/0.png", "question": "what is seen?", "answer": "nests of cells"}
    put(tmp_path / "pathvqa" / "test.jsonl", [row, {**row, "answer": "yes"}])
    assert [sample.metadata["answer_type"] for sample in audit("pathvqa", tmp_path, need_media=False)] == [
        "open",
        "closed",
    ]
    turns = [{"from": "human", "value": "Where is this?\n<image>"}, {"from": "gpt", "value": "urinary"}]
    rows = [{"id": 3, "image": "test/test_0648.jpg", "answer_type": "OPEN", "conversatons": turns}]
    put(tmp_path / "pathvqa_llava_med" / "test.json", rows)
    (only,) = audit("pathvqa_llava_med", tmp_path, need_media=False)
    assert (only.metadata["question"], only.answer.gold) == ("Where is this?", "urinary")


def test_pmc_vqa_takes_printed_letters_off(tmp_path: Path) -> None:
    head = "Figure_path,Question,Answer,Choice A,Choice B,Choice C,Choice D,Answer_label\n"
    put(tmp_path / "pmc_vqa" / "test_clean.csv", head + "a.jpg,What?,B:two, A:one, B:two, C:three, D:four,B\n")
    (only,) = audit("pmc_vqa", tmp_path, need_media=False)
    assert (only.answer.gold, only.answer.options["B"], only.metadata["choices"][1]) == ("B", "two", " B:two")
    head = "index,Figure_path,Caption,Question,Choice A,Choice B,Choice C,Choice D,Answer,split\n"
    put(tmp_path / "pmc_vqa" / "test_2.csv", head + "0,a.jpg,cap,What?,one,two,three,four,C,test\n")
    (only,) = audit("pmc_vqa_v2", tmp_path, need_media=False)
    assert (only.answer.gold, only.media[0].path) == ("C", "pmc_vqa/figures/a.jpg")


def test_omnimedvqa_and_medxpertqa_of_the_hub(tmp_path: Path) -> None:
    domain = load_domain(FOLDER)
    row = {"dataset": "ACRIMA", "question_type": "Disease Diagnosis", "question": "q?", "image_path": "Images/a.png"}
    row |= {"question_id": "ACRIMA_0", "option_A": "yes", "option_B": "no", "gt_answer": "no", "modality": "Fundus"}
    for name in domain.source("omnimedvqa").files["test"]:
        put(tmp_path / name, [{**row, "question_id": Path(name).stem}])
    samples = audit("omnimedvqa", tmp_path, need_media=False)
    assert len(samples) == 42 and samples[0].answer.gold == "B" and samples[0].metadata["modality"] == "Fundus"
    hub = {
        "id": "MM-1",
        "question": "Which?\nAnswer Choices: (A) a (B) b",
        "options": {"A": "a", "B": "b"},
        "label": "A",
    }
    hub |= {"images": ["MM-1-a.png"], "medical_task": "t", "body_system": "b", "question_type": "Reasoning"}
    put(tmp_path / "medxpertqa" / "MM" / "test.jsonl", [hub])
    (only,) = audit("medxpertqa_mm", tmp_path, need_media=False)
    assert (only.metadata["question"], only.media[0].path) == ("Which?", "medxpertqa/images/MM-1-a.png")


def test_mmmu_places_its_images(tmp_path: Path) -> None:
    row = {
        "question": "See <image 1>, which?",
        "options": "['<image 2>', 'b']",
        "answer": "A",
        "image_1": 1,
        "image_2": 1,
    }
    row |= {"question_type": "multiple-choice", "subfield": "x"}
    short = {**row, "question_type": "open", "options": "[]", "answer": "['0.5', '1/2']"}
    for name in load_domain(FOLDER).source("mmmu_medicine").files["validation"]:
        subject = Path(name).parent.name
        rows = [{**row, "id": f"validation_{subject}_1"}, {**short, "id": f"validation_{subject}_2"}]
        put(tmp_path / name, rows)
    samples = audit("mmmu_medicine", tmp_path, need_media=False)
    assert len(samples) == 10 and samples[0].metadata["subject"] == "Basic_Medical_Science"
    assert [part.type for part in samples[0].messages[0].parts][:3] == ["text", "image", "text"]
    assert samples[1].answer.aliases == {"also": ["1/2"]}


def test_gmai_and_its_pictures(tmp_path: Path) -> None:
    held = io.BytesIO()
    Image.new("RGB", (28, 28)).save(held, format="PNG")
    text = base64.b64encode(held.getvalue()).decode()
    head = "index\timage\tquestion\tA\tB\tC\tD\tE\tanswer\tclinical vqa task\tdepartment\tperceptual granularity\n"
    table = put(tmp_path / "gmai_mmbench" / "GMAI-MMBench_VAL.tsv", f"{head}7\t{text}\tq?\tx\ty\t\t\t\tB\tDD\tC\tI\n")
    unpack = load_module(FOLDER / "unpack.py").unpack
    assert unpack(table, table.parent / "images") == 1
    (only,) = audit("gmai_mmbench", tmp_path)
    assert (only.answer.options, only.metadata["task"]) == ({"A": "x", "B": "y"}, "DD")


def test_pneumonia_mnist(tmp_path: Path) -> None:
    pixels, labels = np.zeros((2, 28, 28), np.uint8), np.array([[0], [1]])
    path = tmp_path / "pneumoniamnist_balanced" / "pneumoniamnist_train_val.npz"
    path.parent.mkdir()
    np.savez(path, val_images=pixels, val_labels=labels)
    unpack: Callable[[Path, Path], int] = load_module(FOLDER / "unpack.py").unpack
    assert unpack(path, path.parent / "images") == 2
    assert [sample.answer.gold for sample in audit("pneumonia_mnist", tmp_path)] == ["A", "B"]


KEYS = ["lung_body_regions_yes", "lung_body_regions_no", "lung_body_regions_lung_yes_0", "lung_body_regions_lung_no_0"]
KEYS += ["lung_body_regions_lung_degree_mild_0", "lung_body_regions_lung_degree_severe_0"]


def test_rad_restruct_finds_its_places(tmp_path: Path) -> None:
    folder = tmp_path / "rad_restruct"
    binary = {"answer_type": "single_choice", "options": ["yes", "no"], "path": "lung_body_regions"}
    degree = {"answer_type": "multi_choice", "options": ["mild", "severe"], "path": "lung_body_regions_degree"}
    asked = [["Anything in the lung?", ["yes"]], ["Anything in the whole lung?", ["yes"]], ["Which degree?", ["mild"]]]
    rows = [
        [*one, asked[:place], info]
        for place, (one, info) in enumerate(zip(asked, (binary, binary, degree), strict=True))
    ]
    put(folder / "test_qa_pairs" / "9.json", rows)
    put(folder / "id_to_img_mapping_frontal_reports.json", {"9": ["CXR9_a", "CXR9_b"]})
    put(folder / "test_ids.json", ["9"])
    put(folder / "report_keys.json", KEYS)
    for name in ("vectorized_question_ids", "vectorized_choice_options"):
        put(folder / f"{name}.json", {})
    samples = audit("rad_restruct", tmp_path, need_media=False)
    assert [sample.metadata["level"] for sample in samples] == [1, 2, 3]
    assert [list(sample.evidence["slots"].values()) for sample in samples] == [[0, 1], [2, 3], [4, 5]]
    assert samples[2].question.startswith("Anything in the lung? yes\nAnything in the whole lung? yes\nWhich degree?")
    assert (samples[2].evidence["topic"], samples[2].evidence["finding"], len(samples[2].media)) == (0, 1, 2)
