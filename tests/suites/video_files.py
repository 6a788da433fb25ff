"""Small hand-made files in the forms in which the video sets are released."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from mmreason.project import load_module, project_dir

TASKS = load_module(project_dir() / "domains" / "video" / "readers_mvbench.py").TASKS


def put(root: Path, name: str, value: Any) -> None:
    """One file in the format that its name asks for."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"):
        parquet.write_table(pa.Table.from_pylist(value), path)
    elif name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in value))
    elif name.endswith(".csv"):
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(value[0]))
            writer.writeheader()
            writer.writerows(value)
    else:
        path.write_text(value if name.endswith(".txt") else json.dumps(value))


COLOURS = ["red", "green", "blue", "grey"]


def write_mvbench(root: Path) -> None:
    for name, task in TASKS.items():
        bounds = {"start": 1.5, "end": 7.0} if task.bounded else {}
        rows = [
            {
                "video": f"{name}_{n}.mp4",
                "question": f"Which {n}?",
                "candidates": COLOURS[: 3 + n],
                "answer": COLOURS[n],
                **bounds,
            }
            for n in range(2)
        ]
        put(root, f"mvbench/json/{name}.json", rows)


def write_longvideobench(root: Path) -> None:
    row = {"question": "Which?", "video_path": "a.mp4", "duration": 12.5, "question_category": "S2E"}
    rows = [
        {**row, "id": f"a_{n}", "candidates": COLOURS[: 4 - n], "correct_choice": n, "duration_group": 15 * 4**n}
        for n in range(2)
    ]
    put(root, "longvideobench/lvb_val.json", rows)


def write_longvideobench_rows(root: Path) -> None:
    row = {"id": "a_0", "question": "Which?", "video_path": "a.mp4", "duration": 12.5, "question_category": "S2E"}
    options = {f"option{n}": text for n, text in enumerate([*COLOURS, "N/A"])}
    put(
        root,
        "longvideobench/validation-00000-of-00001.parquet",
        [{**row, **options, "correct_choice": 3, "duration_group": 60}],
    )


def write_video_mme(root: Path) -> None:
    row = {
        "video_id": "001",
        "duration": "short",
        "domain": "Knowledge",
        "sub_category": "Law",
        "videoID": "xyz",
        "task_type": "OCR Problems",
    }
    options = [f"{letter}. {text}" for letter, text in zip("ABCD", COLOURS, strict=True)]
    rows = [
        {**row, "question_id": f"001-{n + 1}", "question": "Which?", "options": options, "answer": "ABC"[n]}
        for n in range(3)
    ]
    put(root, "video_mme/videomme/test-00000-of-00001.parquet", rows)


def write_mlvu(root: Path) -> None:
    names = ("1_plotQA", "2_needle", "3_ego", "4_count", "5_order", "6_anomaly_reco", "7_topic_reasoning")
    for name in names:
        row = {"video": "v.mp4", "duration": 480, "question": "Which? ", "candidates": COLOURS, "answer": "blue"}
        put(root, f"mlvu/json/{name}.json", [{**row, "question_type": name[2:]}])


def write_mlvu_test(root: Path) -> None:
    row = {"video": "v.mp4", "duration": 480, "question": "Which?", "candidates": [*COLOURS, "black", "white"]}
    rows = [
        {**row, "question_id": f"AR_{n}", "question_type": "anomaly_reco", "answer": text}
        for n, text in enumerate(("white", "red"))
    ]
    put(root, "mlvu_test/test-ground-truth/test_mcq_gt.json", rows)


def write_mmvu(root: Path) -> None:
    row = {"video": "https://x.org/resolve/main/videos/Art/0.mp4", "question": "Which?", "metadata": {"subject": "Art"}}
    choices = dict(zip("ABCDE", [*COLOURS, "black"], strict=True))
    put(
        root,
        "mmvu/validation.json",
        [
            {**row, "id": "validation_0", "question_type": "multiple-choice", "choices": choices, "answer": "E"},
            {
                **row,
                "id": "validation_1",
                "question_type": "open-ended",
                "choices": dict.fromkeys("ABCDE", ""),
                "answer": "Dolly",
            },
        ],
    )


def write_lvbench(root: Path) -> None:
    qa = [
        {
            "uid": f"{n}",
            "question": "Which?\n(A) red\n(B) green (dark)\n(C) blue\n(D) grey",
            "answer": "BC"[n],
            "question_type": ["reasoning", "summarization"][: n + 1],
            "time_reference": "00:15-00:19",
        }
        for n in range(2)
    ]
    put(root, "lvbench/video_info.meta.jsonl", [{"key": "abc", "type": "cartoon", "video_info": {}, "qa": qa}])


def write_tempcompass(root: Path) -> None:
    info = {"eval_dim": {"action": {"type": "fine-grained action"}, "order": {}}}
    put(root, "tempcompass/meta_info.json", {"v1": info})
    choice = {"question": "Which?\nA. red\nB. green", "answer": "B. green"}
    put(root, "tempcompass/questions/multi-choice.json", {"v1": {"action": [choice], "order": [choice]}})
    put(root, "tempcompass/questions/yes_no.json", {"v1": {"action": [{"question": "Red?", "answer": "no"}]}})
    caption = "Which is better?\nOption 1: It is red.\nOption 2: It is: green."
    put(
        root,
        "tempcompass/questions/caption_matching.json",
        {"v1": {"action": [{"question": caption, "answer": "Option 1: It is red."}]}},
    )


NEXT = {"video": "111", "frame_count": 10, "width": 3, "height": 4, "question": "why", "type": "CW", "qid": "2"}
FIVE = {f"a{n}": text for n, text in enumerate([*COLOURS, "black"])}


def write_nextqa(root: Path) -> None:
    rows = [{**NEXT, **FIVE, "answer": 4}, {**NEXT, "qid": "3", "type": "TP", **FIVE, "answer": "green"}]
    put(root, "nextqa/val.csv", rows)


def write_nextgqa(root: Path) -> None:
    row = {
        **{key: value for key, value in NEXT.items() if key != "video"},
        "video_id": "111",
        **FIVE,
        "answer": "black",
    }
    put(root, "nextgqa/test.csv", [row])
    put(
        root,
        "nextgqa/gsub_test.json",
        {"111": {"duration": 35, "location": {"2": [[0.5, 12.6], [20, 22]]}, "fps": 29.97}},
    )


def write_charades_sta(root: Path) -> None:
    put(
        root,
        "charades_sta/charades_sta_test.txt",
        "3MSZA 24.3 30.4##person turn a light on.\n3MSZA 0.0 5##a person sits.\n",
    )
    put(root, "charades_sta/Charades_v1_test.csv", [{"id": "3MSZA", "subject": "x", "length": "30.96"}])


def write_activitynet_grounding(root: Path) -> None:
    video = {"duration": 55.1, "timestamps": [[0.2, 11], [30, 55.1]], "sentences": [" One. ", "Two."]}
    put(root, "activitynet/val_2.json", {"v_abc": video})


def write_rextime(root: Path) -> None:
    row = {
        "vid": "v_abc",
        "duration": 100.5,
        "question": "Which?",
        "answer": "From <s0> to <e0>, <option>.",
        "category": "sequential",
    }
    put(
        root,
        "rextime/rextime_val.json",
        [
            {
                **row,
                "qid": "anet_val1",
                "source": "ActivityNet_val_2",
                "options": COLOURS,
                "span": [5, 8.5],
                "ans": "D",
            },
            {**row, "qid": "qvh_val2", "source": "qvhighlights_val", "options": COLOURS, "span": [0, 2], "ans": "A"},
        ],
    )


def write_qvhighlights(root: Path) -> None:
    row = {"qid": 9, "query": "A dog", "duration": 150, "vid": "x_0.0_150.0", "relevant_windows": [[72, 82], [84, 94]]}
    put(
        root,
        "qvhighlights/highlight_val_release.jsonl",
        [{**row, "relevant_clip_ids": [36], "saliency_scores": [[4, 3, 2]]}],
    )


def write_vsi_bench(root: Path) -> None:
    row = {"dataset": "scannet", "scene_name": "s0", "question": "Which?"}
    options = [f"{letter}. {text}" for letter, text in zip("ABCD", COLOURS, strict=True)]
    put(
        root,
        "vsi_bench/test-00000-of-00001.parquet",
        [
            {**row, "id": 0, "question_type": "route_planning", "ground_truth": "C", "options": options},
            {**row, "id": 1, "question_type": "room_size_estimation", "ground_truth": "12.5", "options": None},
        ],
    )


# suite -> what writes its files, questions, first id, first gold, path of the first clip
RELEASED = {
    "mvbench": (
        write_mvbench,
        40,
        "mvbench-action_sequence-000",
        "A",
        "mvbench/video/star/Charades_v1_480/action_sequence_0.mp4",
    ),
    "longvideobench": (write_longvideobench, 2, "longvideobench-a_0", "A", "longvideobench/videos/a.mp4"),
    "longvideobench@val_rows": (write_longvideobench_rows, 1, "longvideobench-a_0", "D", "longvideobench/videos/a.mp4"),
    "video_mme": (write_video_mme, 3, "video_mme-001-1", "A", "video_mme/data/xyz.mp4"),
    "mlvu_dev": (write_mlvu, 7, "mlvu-1_plotQA-000", "C", "mlvu/video/1_plotQA/v.mp4"),
    "mlvu_test": (write_mlvu_test, 2, "mlvu_test-AR_0", "F", "mlvu_test/video/v.mp4"),
    "mmvu": (write_mmvu, 1, "mmvu-validation_0", "E", "mmvu/videos/Art/0.mp4"),
    "lvbench": (write_lvbench, 2, "lvbench-0", "B", "lvbench/videos/abc.mp4"),
    "tempcompass_multi_choice": (
        write_tempcompass,
        2,
        "tempcompass-v1-multi-choice-action-0",
        "B",
        "tempcompass/videos/v1.mp4",
    ),
    "tempcompass_yes_no": (write_tempcompass, 1, "tempcompass-v1-yes_no-action-0", "no", "tempcompass/videos/v1.mp4"),
    "tempcompass_caption_matching": (
        write_tempcompass,
        1,
        "tempcompass-v1-caption_matching-action-0",
        "Option 1",
        "tempcompass/videos/v1.mp4",
    ),
    "nextqa": (write_nextqa, 2, "nextqa-111_2", "E", "nextqa/videos/111.mp4"),
    "nextgqa": (write_nextgqa, 1, "nextgqa-111_2", "E", "nextqa/videos/111.mp4"),
    "charades_sta": (
        write_charades_sta,
        2,
        "charades_sta-00001-3MSZA",
        "[[24.3, 30.4]]",
        "charades_sta/Charades_v1_480/3MSZA.mp4",
    ),
    "activitynet_grounding": (
        write_activitynet_grounding,
        2,
        "activitynet_grounding-v_abc-0",
        "[[0.2, 11.0]]",
        "activitynet/videos/v_abc.mp4",
    ),
    "rextime": (write_rextime, 2, "rextime-anet_val1", "D", "activitynet/videos/v_abc.mp4"),
    "qvhighlights": (
        write_qvhighlights,
        1,
        "qvhighlights-9",
        "[[72.0, 82.0], [84.0, 94.0]]",
        "qvhighlights/videos/x_0.0_150.0.mp4",
    ),
    "vsi_bench": (write_vsi_bench, 2, "vsi_bench-0", "C", "vsi_bench/scannet/s0.mp4"),
}
