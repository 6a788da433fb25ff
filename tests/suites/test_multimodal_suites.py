"""The general multimodal suites: readers of the released formats, audits, counts, pictures in text and options."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmreason.config import Domain, load_domain
from mmreason.data.sources import read_source
from mmreason.errors import UserError
from mmreason.project import project_dir
from mmreason.records import AnswerKind, Sample
from mmreason.suites.reading import read_suite
from mmreason.suites.references import prediction_format
from mmreason.suites.rules import applicable, scorer
from mmreason.suites.suite import load_suite

_SPEC = importlib.util.spec_from_file_location("suite_audits", Path(__file__).parent / "suite_audits.py")
assert _SPEC and _SPEC.loader
audits = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(audits)

SUITES = (
    *("mathvista", "mathverse", "math_vision", "math_vision_testmini", "we_math", "dynamath", "logicvista", "mmmu"),
    *("mmmu_pro", "mmstar", "chartqa", "hallusionbench", "imagereward_pairs"),
    *(f"r1_router_{name}" for name in ("2wikimultihopqa", "dyn_vqa", "infoseek", "openwikitqa", "tabfact", "webqa")),
)
COUNTS = {
    "mathvista": 1000,
    "mathverse": 3940,
    "math_vision": 3040,
    "we_math": 1740,
    "dynamath": 5010,
    "logicvista": 448,
    "mmmu": 900,
    "mmmu_pro": 3460,
    "mmstar": 1500,
    "chartqa": 2500,
    "hallusionbench": 1129,
    "r1_router_dyn_vqa": 715,
}


@pytest.fixture(scope="module")
def general() -> Domain:
    return load_domain(project_dir() / "domains" / "general")


@pytest.mark.parametrize("name", SUITES)
def test_suite_names_what_exists(name: str, general: Domain) -> None:
    suite = load_suite(name)
    applicable(suite, [])
    for form in suite.formats:
        prediction_format(form)
    entry = general.source(str(suite.source))
    assert entry.use == "eval" and entry.url and {suite.split, *suite.also} <= set(entry.files)
    assert suite.released_count == COUNTS.get(name, suite.released_count)


def _picture(shade: int = 0, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (28, 28), (shade, shade, shade)).save(buffer, form)
    return buffer.getvalue()


def _put(root: Path, file: str, rows: Any, pictures: Iterable[str] = ()) -> None:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        path.write_text(json.dumps(rows), encoding="utf-8")
    for index, name in enumerate(pictures):
        picture = path.parent / name
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(_picture(index, "JPEG" if picture.suffix == ".jpg" else "PNG"))


def _read(name: str, root: Path, general: Domain, **more: Any) -> list[Sample]:
    return read_suite(load_suite(name), general, root, subset=True, **more).samples


VISTA = {
    "question": "What is its mass?",
    "image": "images/1.jpg",
    "choices": None,
    "unit": "g",
    "precision": 1.0,
    "answer": "1.2",
    "question_type": "free_form",
    "answer_type": "float",
    "pid": "1",
    "metadata": {
        "split": "testmini",
        "source": "SciBench",
        "category": "math-targeted-vqa",
        "task": "textbook question answering",
        "context": "scientific figure",
        "grade": "college",
        "skills": ["scientific reasoning"],
    },
}


def test_mathvista_as_released(tmp_path: Path, general: Domain) -> None:
    choice = {**VISTA, "pid": "2", "choices": ["Yes", "No", "No"], "answer": "No", "answer_type": "text", "unit": None}
    _put(tmp_path, "mathvista_released/testmini.json", {"1": VISTA, "2": choice}, ["images/1.jpg"])
    free, chosen = _read("mathvista", tmp_path, general)
    assert free.id == "mathvista-1" and "What is its mass? (Unit: g)" in free.question
    assert free.answer.kind is AnswerKind.NUMBER and free.media[0].path == "mathvista_released/images/1.jpg"
    assert chosen.answer.gold == "B"  # of equal options the first is the gold
    with pytest.raises(UserError, match="2 of the 1000 released questions of testmini"):
        read_suite(load_suite("mathvista"), general, tmp_path)


def test_a_missing_picture_is_named(tmp_path: Path, general: Domain) -> None:
    _put(tmp_path, "logicvista_released/dataset.json", {"v1_0": LOGIC}, [])
    suite = load_suite("logicvista").model_copy(update={"released_count": None})
    with pytest.raises(UserError, match="the release has 448"):
        list(read_source(general, "logicvista", "all", tmp_path, missing=[]))
    missing: list[str] = []
    with pytest.raises(UserError, match="none of 1 questions has its media"):
        read_suite(suite, general, tmp_path, subset=True, missing=missing)
    assert missing == ["logicvista_released/images/v1_0.png"]
    with pytest.raises(UserError, match=r"1 media files are missing .*: logicvista_released/images/v1_0.png"):
        read_suite(suite, general, tmp_path)


LOGIC = {
    "imagename": "v1_0.png",
    "question": "Which choices belong to the green category?",
    "answer": "C, A",
    "skill": ["inductive"],
    "broad_capability": ["diagram"],
    "specific_capability": ["sequence pattern"],
}


def test_logicvista_as_released(tmp_path: Path, general: Domain) -> None:
    digit = {**LOGIC, "answer": "3"}
    _put(tmp_path, "logicvista_released/dataset.json", {"v1_0": LOGIC, "v1_1": digit}, ["images/v1_0.png"])
    several, number = _read("logicvista", tmp_path, general)
    assert (several.answer.gold, several.answer.multi, number.answer.gold) == ("AC", True, "3")
    assert audits.wrong_golds([several, number]) == {}


def _verse(index: str, version: str, question: str, answer: str, kind: str, image: str) -> dict[str, Any]:
    about = {"split": "testmini", "source": "GeoQA", "subject": "Plane Geometry", "subfield": "Angle"}
    return {
        "sample_index": index,
        "problem_index": "1",
        "problem_version": version,
        "question": question,
        "image": image,
        "answer": answer,
        "question_type": kind,
        "metadata": about,
    }


def test_mathverse_as_released(tmp_path: Path, general: Domain) -> None:
    listed = "Find the angle.\nChoices:\nA:40\u00b0\nB:60\u00b0\nC:120\u00b0"
    rows = [
        _verse("1", "Text Dominant", listed, "C", "multi-choice", "images_version_1-4/image_1.png"),
        _verse("5", "Vision Only", "", "C", "multi-choice", "images_version_5/image_1.png"),
        _verse(
            "6",
            "Text Lite",
            "Find the area.",
            "Area $=113.1 \\mathrm{~cm}^{2}$",
            "free-form",
            "images_version_1-4/image_1.png",
        ),
        _verse("7", "Text Lite", "Both?", "A\nC", "multi-choice", "images_version_1-4/image_1.png"),
    ]
    pictures = ["images/images_version_1-4/image_1.png", "images/images_version_5/image_1.png"]
    _put(tmp_path, "mathverse_released/testmini.json", rows, pictures)
    found = _read("mathverse", tmp_path, general)
    assert found[0].answer.options == {"A": "40\u00b0", "B": "60\u00b0", "C": "120\u00b0"}
    assert "Choices" not in found[0].metadata["question"] and found[0].source.document == "mathverse-1"
    assert found[1].metadata["question"] == "Answer the question in the picture." and not found[1].answer.options
    assert found[2].answer.gold == "113.1" and found[3].answer.gold == "AC"
    assert audits.wrong_golds(found) == {}


def test_math_vision_shows_its_picture_once(tmp_path: Path, general: Domain) -> None:
    row = {"id": "1", "question": "See <image1> and <image2>.", "options": [], "answer": "60", "level": 2}
    row |= {"subject": "arithmetic", "image": "images/1.jpg", "solution": None}
    other = {**row, "id": "2", "options": ["12", "13"], "answer": "B", "question": "Which?"}
    _put(tmp_path, "math_vision_released/testmini.jsonl", [row, other], ["images/1.jpg"])
    first, second = _read("math_vision_testmini", tmp_path, general)
    assert [part.type for part in first.messages[0].parts] == ["text", "image", "text"]
    assert [part.type for part in second.messages[0].parts] == ["image", "text"]
    assert "<image" not in first.question and second.answer.gold == "B"


def test_we_math_rows_of_one_problem_share_a_document(tmp_path: Path, general: Domain) -> None:
    row = {"ID": "2steps_1", "key": "2steps_1", "knowledge concept": "x", "question": "How long?", "answer": "C"}
    row |= {
        "option": "A. 300, 400;B. 400, 300;C. 3000, 4000; D. No correct answer",
        "image_path": "2steps/image/1-1.png",
    }
    _put(tmp_path, "we_math_released/testmini.json", [row, {**row, "key": "2steps_multi"}], ["2steps/image/1-1.png"])
    first, final = _read("we_math", tmp_path, general)
    assert first.id == "we_math-2steps_1-2steps_1" and first.answer.options["B"] == "400, 300"
    assert first.source.document == final.source.document and (final.metadata["part"], final.metadata["steps"]) == (
        "multi",
        2,
    )


def test_dynamath_reads_ten_folders(tmp_path: Path, general: Domain) -> None:
    row = {"question": "What period?", "answer": "2.0944", "image": "image/image1.png", "answer_type": "float"}
    row |= {"subject": "analytic geometry", "level": "high school"}
    for variant in range(1, 11):
        _put(tmp_path, f"dynamath_released/trial{variant}/dataset.json", {"1": row}, ["image/image1.png"])
    found = _read("dynamath", tmp_path, general)
    assert [sample.metadata["variant"] for sample in found] == list(range(1, 11))
    assert {sample.source.document for sample in found} == {"dynamath-1"} and found[9].id == "dynamath-1-10"


def _table(root: Path, file: str, rows: list[dict[str, Any]]) -> None:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def _stored(shade: int) -> dict[str, Any]:
    return {"bytes": _picture(shade), "path": f"{shade}.png"}


def test_mmmu_tables_hold_their_pictures(tmp_path: Path, general: Domain) -> None:
    files = general.source("mmmu").files["validation"]
    subjects = [Path(file).parent.name for file in files]
    for subject, file in zip(subjects, files, strict=True):
        row = {"id": f"validation_{subject}_1", "question": "Q <image 2>, then <image 1>?", "answer": "B"}
        row |= {"options": "['<image 3>', '<image 9>']", "question_type": "multiple-choice"}
        row |= {"image_1": _stored(1), "image_2": _stored(2), "image_3": _stored(3)}
        _table(tmp_path, file, [row])
    found = _read("mmmu", tmp_path, general)
    assert len(found) == 30 and found[0].id == "mmmu-validation_Accounting_1"
    assert found[0].metadata["discipline"] == "Business"
    order = [part.media for part in found[0].messages[0].parts if part.type == "image"]
    assert order == [0, 1, 2]  # in the order of their marks: image_2, image_1, image_3
    shades = [Image.open(tmp_path / ref.path).getpixel((0, 0))[0] for ref in found[0].media]
    assert shades == [2, 1, 3] and "(image 9)" in found[0].question
    assert [ref.path for ref in _read("mmmu", tmp_path, general, need_media=False)[0].media] == [
        ref.path for ref in found[0].media
    ]


def test_mmmu_open_items_have_several_golds(tmp_path: Path, general: Domain) -> None:
    row = {"id": "validation_Geography_4", "question": "Where?", "options": "[]", "question_type": "open"}
    _put(tmp_path, "mmmu_released/validation.jsonl", [{**row, "answer": "['Tampa', 'Florida']"}])
    (found,) = _read("mmmu", tmp_path, general)
    assert (found.answer.gold, found.answer.aliases) == ("Tampa", {"also": ["Florida"]})
    assert audits.wrong_golds([found], {found.id: audits.as_output("florida")}) == {}


def test_mmmu_pro_settings(tmp_path: Path, general: Domain) -> None:
    row = {"id": "test_History_1", "question": "Which trend, <image 1>?", "answer": "B", "subject": "History"}
    nested = {**row, "id": "test_History_2", "options": "[['A', 'B', 'Not enough information']]"}
    for index in range(2):
        standard, vision = (
            f"{{}}/test-0000{index}-of-00002.parquet".format(name) for name in ("standard (10 options)", "vision")
        )
        rows = [{**row, "options": "['one', 'two', 'three']", "image_1": _stored(1)}, {**nested, "image_1": _stored(1)}]
        seen = [{**row, "options": "['one', 'two', 'three']", "image": _stored(2)}]
        _table(
            tmp_path,
            f"mmmu_pro_released/{standard}",
            [{**one, "id": f"{one['id'][:-1]}{index}{k}"} for k, one in enumerate(rows)],
        )
        _table(tmp_path, f"mmmu_pro_released/{vision}", [{**one, "id": f"{one['id'][:-1]}{index}0"} for one in seen])
    found = _read("mmmu_pro", tmp_path, general)
    assert len(found) == 6 and found[0].source.document == found[4].source.document
    assert (
        found[1].answer.options == {"A": "A", "B": "B", "C": "Not enough information"}
        and found[1].metadata["nested_options"]
    )
    assert (
        found[4].metadata["setting"] == "vision"
        and found[4].metadata["question"] == "Answer the question in the picture."
    )


def test_mmstar_splits_question_and_options(tmp_path: Path, general: Domain) -> None:
    text = "Which option is right?\nOptions: A: a man, B: of 3, C: x: y, D: Both."
    row = {
        "index": 0,
        "question": text,
        "answer": "D",
        "category": "math",
        "l2_category": "geometry",
        "image": _stored(1),
    }
    _table(tmp_path, "mmstar_released/mmstar.parquet", [row])
    (found,) = _read("mmstar", tmp_path, general)
    assert found.answer.options == {"A": "a man", "B": "of 3", "C": "x: y", "D": "Both"}
    assert found.metadata["question"] == "Which option is right?" and found.id == "mmstar-0"


def test_chartqa_kinds_of_answers(tmp_path: Path, general: Domain) -> None:
    golds = ["14%", "2010", "Yes", "[Asia, Europe]", "Blue", "0.57"]
    rows = [{"imgname": "1.png", "query": f"q{index}?", "label": gold} for index, gold in enumerate(golds)]
    _put(tmp_path, "chartqa_released/test/test_human.json", rows, ["png/1.png"])
    _put(tmp_path, "chartqa_released/test/test_augmented.json", rows[:1])
    found = _read("chartqa", tmp_path, general)
    kinds = [sample.answer.kind.value for sample in found]
    assert kinds == ["number", "math", "judgement", "set", "span", "number", "number"]
    assert [found[0].id, found[-1].id] == ["chartqa-human-0", "chartqa-augmented-0"]
    gold_wrong = audits.wrong_golds(found, {found[3].id: "<answer>\\boxed{Europe}\\boxed{Asia}</answer>"})
    assert gold_wrong == {}
    assert audits.wrong_golds([found[1]], {found[1].id: audits.as_output("2011")})  # a year is not nearly right


def test_hallusionbench_with_and_without_figure(tmp_path: Path, general: Domain) -> None:
    row = {
        "category": "VS",
        "subcategory": "map",
        "visual_input": "0",
        "set_id": "0",
        "figure_id": "0",
        "question_id": "1",
    }
    row |= {"question": "Is it?", "gt_answer": "0", "gt_answer_details": "It is not.", "filename": None}
    shown = {**row, "figure_id": "1", "visual_input": "1", "filename": "./VS/map/0_1.png", "gt_answer": "1"}
    _put(tmp_path, "hallusionbench_released/HallusionBench.json", [row, shown], ["hallusion_bench/VS/map/0_1.png"])
    bare, pictured = _read("hallusionbench", tmp_path, general)
    assert bare.media == () and bare.answer.gold == "no" and bare.id == "hallusionbench-VS_map_0_0_1"
    assert pictured.media[0].path.endswith("hallusion_bench/VS/map/0_1.png") and pictured.answer.gold == "yes"


def test_imagereward_pairs_in_both_orders_without_ties(tmp_path: Path, general: Domain) -> None:
    row = {"id": "7-1", "prompt": "a cat", "generations": ["a/1.png", "a/2.png", "a/3.png"], "ranking": [1, 2, 2]}
    _put(tmp_path, "imagereward_released/test.json", [row], row["generations"])
    found = _read("imagereward_pairs", tmp_path, general)
    assert [(sample.id.removeprefix("imagereward_pairs-7-1-"), sample.answer.gold) for sample in found] == [
        ("0-1", "A"),
        ("0-1-swapped", "B"),
        ("0-2", "A"),
        ("0-2-swapped", "B"),
    ]
    assert found[1].media == found[0].media[::-1]
    path = tmp_path / "rewards.json"
    path.write_text(json.dumps([{"id": "7-1", "rewards": [0.5, 0.1, 0.5]}]), encoding="utf-8")
    outputs = prediction_format("image_reward.rewards")(path, found)
    assert [outputs[sample.id] for sample in found] == [["A"], ["B"], [""], [""]]


def test_r1_router_rows(tmp_path: Path, general: Domain) -> None:
    ranged = {
        "data_id": "i0",
        "image_id": "oven_1",
        "question": "How tall?",
        "answer": ["5"],
        "answer_eval": [{"range": [4.5, 5.5]}],
    }
    _put(tmp_path, "r1_router_released/infoseek_val.jsonl", [ranged], ["images/oven_1.jpg"])
    (found,) = _read("r1_router_infoseek", tmp_path, general)
    assert found.metadata["ranged"] and found.metadata["golds"] == ["4.5", "5.5"] and len(found.media) == 1
    (tmp_path / "r1_router_released/DynVQA_en.202412.jsonl").write_text(
        '{"question": "Any?", "question_id": "en1", "answer": ["No.", "None at all"], "image_id": NaN}\n',
        encoding="utf-8",
    )
    (spoken,) = _read("r1_router_dyn_vqa", tmp_path, general)
    assert spoken.answer.kind is AnswerKind.JUDGEMENT and spoken.answer.gold == "no" and spoken.media == ()


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("mathvista_released/testmini.json", '{"1": 3}', "found int, expected an object"),
        ("mathvista_released/testmini.json", '{"1": {', "broken JSON"),
        ("mathvista_released/testmini.json", '{"1": {"pid": "1"}}', "no field 'answer_type'"),
    ],
)
def test_broken_files_say_where(tmp_path: Path, general: Domain, file: str, text: str, said: str) -> None:
    _put(tmp_path, file, {})
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        _read("mathvista", tmp_path, general)


def test_a_broken_table_says_so(tmp_path: Path, general: Domain) -> None:
    path = tmp_path / "mmstar_released" / "mmstar.parquet"
    path.parent.mkdir()
    path.write_bytes(b"PAR1 no table")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        _read("mmstar", tmp_path, general)


# on the data at hand


@pytest.mark.parametrize(
    ("name", "count"),
    [("math_vision_testmini", 304), ("dynamath@variant1_part", 120)],
)
def test_audit_with_pictures(name: str, count: int, real_data: Path) -> None:
    assert len(audits.audit(name, real_data)) == count


@pytest.mark.parametrize(("name", "count"), [("mathvista", 500), ("we_math@testmini_part", 193)])
def test_audit_of_annotations_alone(name: str, count: int, real_data: Path) -> None:
    """MathVista's pictures are not at hand; some of We-Math's are JPEG under the name .png, which loading refuses."""
    assert len(audits.audit(name, real_data, need_media=False)) == count


def test_the_authors_examples_read_and_their_golds_are_right(real_data: Path, general: Domain) -> None:
    for name, count in (("mmmu_pro_samples", 21), ("geometry3k_samples", 10)):
        found = [row for row in read_source(general, name, "samples", real_data) if isinstance(row, Sample)]
        assert len(found) == count and audits.wrong_golds(found) == {}
    music = [row for row in read_source(general, "mmmu_pro_samples", "samples", real_data) if len(row.media) > 1]
    assert music and all(f"<image {len(row.media)}>" in str(row.answer.options) + row.question for row in music)


# share right on We-Math's questions: gold letters in tags, empty outputs; bare gold letters are all right
CORNERS = [
    ("mathvista.official", 0.0, 53 / 193),  # the nearest option is sometimes the gold
    ("math_vision.official", 0.0, 0.0),
    ("we_math.official", 0.0, 0.0),
    ("mmstar.official", 0.0, 0.0),
    ("vlmevalkit.we_math", 3 / 193, 0.0),
    ("mmmu.official", 35 / 193, 35 / 193),  # random letters, the same ones
    ("mmmu_pro.official", 47 / 193, 47 / 193),
]


@pytest.mark.parametrize(("metric", "tagged", "empty"), CORNERS)
def test_tags_hide_the_answer_from_the_authors_parsers(
    metric: str, tagged: float, empty: float, real_data: Path
) -> None:
    """Sheet 10.6, rows c, d and e."""
    _, read = audits.questions("we_math@testmini_part", real_data, need_media=False)
    by_text = metric.startswith("mathvista")
    samples = [
        one.with_meta(released_answer=one.answer.options[one.answer.gold] if by_text else one.answer.gold)
        for one in read
    ]

    def share(name: str, outputs: list[str]) -> float:
        return sum(one.value or 0.0 for one in scorer(name).run(outputs, samples)) / len(samples)

    golds = [one.answer.gold for one in samples]
    tags = [f"<answer>{gold}</answer>" for gold in golds]
    assert share(metric, golds) == share(f"{metric}@cut", tags) == 1.0
    assert share(metric, tags) == pytest.approx(tagged) and share(metric, [""] * len(samples)) == pytest.approx(empty)
