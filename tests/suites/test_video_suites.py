"""The video suites on small files of the released forms, and on the real annotations and clips where present."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from PIL import Image

from mmreason.config import MediaRule, load_domain
from mmreason.config.recipe import RewardSettings, Sampling, TinyModel
from mmreason.errors import UserError
from mmreason.media.frame_rules import FrameRule
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.project import load_module, project_dir
from mmreason.records import AnswerKind, Sample
from mmreason.rewards.reward import load_reward
from mmreason.rollout.transformers_engine import TransformersEngine
from mmreason.suites.reading import coverage, is_official, read_suite, suite_protocol
from mmreason.suites.references import prediction_format
from mmreason.suites.references import total as find_total
from mmreason.suites.rules import references
from mmreason.suites.scoring import Output, score_outputs
from mmreason.suites.suite import load_suite
from mmreason.suites.summary import summarise

audits = load_module(Path(__file__).parent / "suite_audits.py")
files = load_module(Path(__file__).parent / "video_files.py")
FOLDER = project_dir() / "domains" / "video"
DOMAIN = load_domain(FOLDER)
RELEASED = files.RELEASED


def _suites() -> list[str]:
    """Of the released sets; made-up clips have neither a published scorer nor a frame rule of their own."""
    found = {path.stem: path.read_text() for path in (project_dir() / "eval" / "suites").glob("*.yaml")}
    return sorted(
        name
        for name, text in found.items()
        if "\ndomain: video\nsource: scenes\n" not in text and "\ndomain: video\n" in text
    )


def ask(name: str, root: Path, need_media: bool = False, subset: bool = True) -> list[Sample]:
    return read_suite(load_suite(name), DOMAIN, root, need_media=need_media, subset=subset).samples


@pytest.mark.parametrize("name", RELEASED)
def test_released_forms(name: str, tmp_path: Path) -> None:
    write, count, first, gold, clip = RELEASED[name]
    write(tmp_path)
    samples = ask(name, tmp_path)
    assert len(samples) == count and len({sample.id for sample in samples}) == count
    assert (samples[0].id, samples[0].answer.gold, samples[0].media[0].path) == (first, gold, clip)
    assert all(sample.media[0].kind == "video" and sample.source.document for sample in samples)
    suite = load_suite(name)
    assert all(key in sample.metadata for sample in samples for key in suite.group_by)
    audits.audit(name, tmp_path, need_media=False)


@pytest.mark.parametrize("name", _suites())
def test_every_video_suite_names_what_exists(name: str) -> None:
    suite = load_suite(name)
    assert references(suite) and suite.media is not None and FrameRule.parse(suite.media.frame_rule)
    for one in suite.totals:
        find_total(one)
    for one in suite.formats:
        prediction_format(one)
    assert suite.source in DOMAIN.sources and DOMAIN.source(suite.source).use == "eval"
    assert suite.released_count and (suite.reader_only or len(suite.metrics) > 1)
    suite_protocol(suite, DOMAIN)
    if suite.asked_as is not None:
        suite_protocol(suite, DOMAIN, "official")


TRACKS = [name for name in _suites() if name.endswith("_2fps") or name == "mvbench_32"]


@pytest.mark.parametrize("name", TRACKS)
def test_tracks_differ_in_frames_alone(name: str) -> None:
    track, base = load_suite(name), load_suite(name.rpartition("_")[0])
    own = {"name", "title", "media"}
    assert track.model_dump(exclude=own) == base.model_dump(exclude=own) and track.media != base.media


def test_mvbench_folders_bounds_and_frames(tmp_path: Path) -> None:
    files.write_mvbench(tmp_path)
    samples = {sample.metadata["task"]: sample for sample in ask("mvbench", tmp_path)}
    assert len(samples) == 20 and len({sample.metadata["category"] for sample in samples.values()}) == 9
    bounded = {name for name, sample in samples.items() if sample.media[0].start == 1.5}
    assert bounded == {
        "action_sequence",
        "action_prediction",
        "object_interaction",
        "action_localization",
        "episodic_reasoning",
    }
    assert all(samples[name].media[0].end == 7.0 for name in bounded)
    folder = samples["episodic_reasoning"].media[0]
    assert folder.path.startswith("mvbench/video/tvqa/frames_fps3_hq/") and folder.fps == 3.0
    assert all(sample.media[0].fps == 0 for name, sample in samples.items() if name != "episodic_reasoning")
    assert all(sample.media[0].frame_rule == "segments:16" for sample in samples.values())


def test_mvbench_whole_clips_and_ready_cut_clips(tmp_path: Path) -> None:
    files.write_mvbench(tmp_path)
    base = load_suite("mvbench")
    whole = base.model_copy(update={"options": {"windows": False}})
    samples = read_suite(whole, DOMAIN, tmp_path, subset=True, need_media=False).samples
    assert all(sample.media[0].start is None for sample in samples)
    cut = base.model_copy(update={"options": {"folders": "cut"}})
    clips = {
        s.metadata["task"]: s.media[0] for s in read_suite(cut, DOMAIN, tmp_path, subset=True, need_media=False).samples
    }
    assert clips["action_sequence"].path.startswith("mvbench/video/star/Charades_segment/")
    assert clips["episodic_reasoning"].fps == 0 and clips["fine_grained_pose"].path.startswith(
        "mvbench/video/nturgbd_convert/"
    )


def test_mvbench_as_its_authors_ask(tmp_path: Path) -> None:
    files.write_mvbench(tmp_path)
    suite = load_suite("mvbench")
    sample = read_suite(suite, DOMAIN, tmp_path, subset=True, need_media=False, style="official").samples[0]
    tail = "accurately addresses the question.\nQuestion: Which 0?\nOptions:\n(A) red\n(B) green\n(C) blue\n"
    assert sample.question.endswith(tail + "Only give the best option.")
    protocol = suite_protocol(suite, DOMAIN, "official")
    assert (protocol.prefill, protocol.put_back, protocol.max_new_tokens) == ("Best option:(", "(", 100)


def _clip(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0" * 64)  # hashed, not decoded


def _frames(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in (1, 2):
        Image.new("RGB", (28, 28), (number, 0, 0)).save(folder / f"{number:05d}.jpg")


def test_absent_clips_are_named_and_a_subset_leaves_them_out(tmp_path: Path) -> None:
    """Without the NTU clips of fine_grained_pose, nineteen tasks are left and named as such."""
    files.write_mvbench(tmp_path)
    for sample in ask("mvbench", tmp_path):
        clip = tmp_path / sample.media[0].path
        if sample.metadata["task"] == "episodic_reasoning":
            _frames(clip)
        elif sample.metadata["task"] != "fine_grained_pose":
            _clip(clip)
    suite = load_suite("mvbench").model_copy(update={"released_count": 40})
    with pytest.raises(
        UserError, match=r"2 media files are missing .*mvbench/video/nturgbd/fine_grained_pose_0.mp4.*--subset"
    ):
        read_suite(suite, DOMAIN, tmp_path)
    samples = read_suite(suite, DOMAIN, tmp_path, subset=True).samples
    assert len(samples) == 38 and coverage(suite, 38) == "subset 38 of 40 of test" and not is_official(suite, 38)
    scored = references(suite)["mvbench.official"].run(["("] * 38, samples)
    assert list(find_total("mvbench.tasks")(scored)) == ["acc", "mean_of_19_tasks"]


def test_a_part_of_the_questions_is_refused_without_subset(tmp_path: Path) -> None:
    files.write_video_mme(tmp_path)
    with pytest.raises(UserError, match=r"3 of the 2700 released questions .*--subset"):
        ask("video_mme", tmp_path, subset=False)


def test_charades_without_its_table_has_no_lengths(tmp_path: Path) -> None:
    files.write_charades_sta(tmp_path)
    assert ask("charades_sta", tmp_path)[0].metadata["duration"] == 30.96
    (tmp_path / "charades_sta" / "Charades_v1_test.csv").unlink()
    assert "duration" not in ask("charades_sta", tmp_path)[0].metadata


def test_golds_that_are_no_option_stay_in_the_denominator(tmp_path: Path) -> None:
    files.write_mlvu(tmp_path)
    row = {"video": "v.mp4", "duration": 480, "question": "Which?", "question_type": "findNeedle"}
    files.put(
        tmp_path,
        "mlvu/json/2_needle.json",
        [{**row, "candidates": files.COLOURS, "answer": "pink"}, {**row, "candidates": ["a", "b", "a"], "answer": "a"}],
    )
    golds = {sample.id: sample.answer.gold for sample in ask("mlvu_dev", tmp_path)}
    assert golds["mlvu-2_needle-000"] == "@"
    assert golds["mlvu-2_needle-001"] == "C"  # the last of equal options, as the authors' program takes it


FAULTS = [
    (
        "longvideobench",
        "longvideobench/lvb_val.json",
        "correct_choice",
        7,
        "correct_choice is 7, but there are 4 options",
    ),
    (
        "video_mme",
        "video_mme/videomme/test-00000-of-00001.parquet",
        "options",
        ["red"],
        "expected a letter, a full stop",
    ),
    ("mmvu", "mmvu/validation.json", "video", "0.mp4", "names no path under videos/"),
    ("rextime", "rextime/rextime_val.json", "span", [1, 2, 3], "expected start and end in seconds"),
]


@pytest.mark.parametrize(("name", "file", "key", "value", "message"), FAULTS)
def test_faults_of_rows(name: str, file: str, key: str, value: Any, message: str, tmp_path: Path) -> None:
    RELEASED[name][0](tmp_path)
    rows = (
        parquet.read_table(tmp_path / file).to_pylist()
        if file.endswith(".parquet")
        else json.loads((tmp_path / file).read_text())
    )
    files.put(tmp_path, file, [{**row, key: value} for row in rows])
    with pytest.raises(UserError, match=message):
        ask(name, tmp_path)


def test_faults_of_files(tmp_path: Path) -> None:
    files.write_mvbench(tmp_path)
    entry = DOMAIN.source("mvbench").model_copy(update={"files": {"test": ["mvbench/json/poses.json"]}})
    domain = DOMAIN.model_copy(update={"sources": {**DOMAIN.sources, "mvbench": entry}})
    files.put(tmp_path, "mvbench/json/poses.json", [])
    with pytest.raises(UserError, match="no MVBench task 'poses'"):
        read_suite(load_suite("mvbench"), domain, tmp_path, subset=True, need_media=False)
    files.write_charades_sta(tmp_path)
    files.put(tmp_path, "charades_sta/charades_sta_test.txt", "3MSZA 24.3##person\n")
    with pytest.raises(UserError, match=r"line 1: '3MSZA 24.3##person' is not '<video> <start> <end>##<sentence>'"):
        ask("charades_sta", tmp_path)
    files.write_video_mme(tmp_path)
    (tmp_path / "video_mme/videomme/test-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="not a parquet file that can be read"):
        ask("video_mme", tmp_path)
    files.write_activitynet_grounding(tmp_path)
    files.put(tmp_path, "activitynet/val_2.json", {"v_abc": {"duration": 1.0, "timestamps": [[0, 1]], "sentences": []}})
    with pytest.raises(UserError, match="'v_abc' has 1 timestamps and 0 sentences"):
        ask("activitynet_grounding", tmp_path)


# suite -> questions in the data at hand
REAL = {
    "mlvu_dev": 1280,
    "tempcompass_multi_choice": 950,
    "tempcompass_yes_no": 1454,
    "tempcompass_caption_matching": 909,
    "nextqa": 3491,
    "nextgqa@val_part": 2317,
    "qvhighlights@train_part": 2541,
    "annotated_clips": 29,
    "annotated_events": 22,
    "asl_signs": 15,
}


CLIPS = ("annotated_clips", "annotated_events", "asl_signs")
FAST = (*CLIPS, "tempcompass_yes_no")


@pytest.mark.parametrize("name", REAL)
def test_gold_is_right_on_real_annotations(name: str, real_data: Path) -> None:
    suite, samples = audits.questions(name, real_data, need_media=name in CLIPS)
    assert len(samples) == REAL[name]
    assert set(audits.wrong_golds(samples)) <= set(suite.known_bad)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in REAL]
)
def test_constants_and_chance_on_real_annotations(name: str, real_data: Path) -> None:
    audits.audit(name, real_data, need_media=name in CLIPS)


def test_real_clips_are_whole_and_official(real_data: Path) -> None:
    for name in ("annotated_clips", "asl_signs"):
        suite = load_suite(name)
        data = read_suite(suite, DOMAIN, real_data)
        assert coverage(suite, len(data.samples)).startswith("all ") and not data.dropped
        assert all(len(sample.media[0].sha256) == 64 for sample in data.samples)


def test_kinds_of_answers(tmp_path: Path) -> None:
    for name, (write, *_) in RELEASED.items():
        write(tmp_path)
        for sample in ask(name, tmp_path):
            single = sample.answer.kind is AnswerKind.CHOICE
            assert not single or sample.answer.gold in sample.answer.options


def test_a_model_answers_about_real_clips(real_data: Path, tmp_path: Path) -> None:
    """From the suite through frames and a tiny vision model to scored records; both kinds of container."""
    sizes = TinyModel(family="qwen2_5_vl", hidden=48, layers=2, vocab=400)
    build_tiny(sizes, train_tokenizer(["what sign"], sizes.vocab), 0, tmp_path / "m")
    engine = TransformersEngine.load(tmp_path / "m", media_root=real_data)
    for name in ("asl_signs", "annotated_clips"):
        suite = load_suite(name)
        few = suite.model_copy(update={"media": MediaRule(frame_rule="uniform:4", max_pixels=3136, min_pixels=3136)})
        samples = read_suite(few, DOMAIN, real_data, limit=1).samples
        sampling = Sampling(max_new_tokens=4, temperature=0.0)
        prompts = [engine.codec.encode(sample) for sample in samples]
        assert all(len(prompt.media) == 1 for prompt in prompts)
        rollouts = engine.generate(samples, sampling)
        outputs = [[Output(rollout.text, rollout.stop.value) for rollout in group] for group in rollouts]
        records = score_outputs(suite, samples, outputs, load_reward(RewardSettings(), DOMAIN))
        assert [record["id"] for record in records] == [sample.id for sample in samples]
        assert summarise(suite, samples, records)["questions"] == 1
