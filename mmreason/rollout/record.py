"""Rollouts on disk: one Parquet file a step, exact ids and the reward in its parts."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mmreason.records.rollout import talk_of
from mmreason.rollout.collect import Collected
from mmreason.run import processes
from mmreason.run.files import replacing

SCHEMA = pa.schema(
    [
        ("step", pa.int64()),
        ("group", pa.int64()),
        ("sample_id", pa.string()),
        ("question", pa.string()),
        ("gold", pa.string()),
        ("prompt_ids", pa.list_(pa.int32())),
        ("ids", pa.list_(pa.int32())),
        ("logprobs", pa.list_(pa.float32())),
        ("text", pa.string()),
        ("stop", pa.string()),
        ("reward", pa.float64()),
        ("format", pa.float64()),
        ("accuracy", pa.float64()),
        ("outcome", pa.string()),
        ("read", pa.string()),
        ("why", pa.string()),
        ("advantage", pa.float64()),
        ("kept", pa.bool_()),
        ("external", pa.bool_()),
        ("parent", pa.int32()),
        ("fork", pa.int32()),
        ("parts", pa.string()),
        ("turns", pa.string()),
        (
            "segments",
            pa.list_(pa.struct([(n, pa.int32()) for n in ("start", "end", "turn")] + [("kind", pa.string())])),
        ),
    ]
)


def write_rollouts(path: Path, step: int, got: Collected, advantage: torch.Tensor) -> None:
    """Write one step's rollouts atomically, in the order of groups and answers, those left out of training included.

    `advantage` float [N] is each row's mean over its loss tokens. Every training process brings its share of the
    groups; the main one joins them into one file.
    """
    batch = got.batch
    rows = [
        {
            "step": step,
            "group": group,
            "sample_id": sample.id,
            "question": sample.question,
            "gold": sample.answer.gold,
            "prompt_ids": answer.prompt_ids,
            "ids": answer.ids,
            "logprobs": answer.logprobs,
            "text": answer.text,
            "stop": answer.stop.value,
            "reward": reward,
            "format": term.format,
            "accuracy": term.accuracy,
            "outcome": term.verdict.outcome.value,
            "read": term.verdict.read,
            "why": term.verdict.why,
            "advantage": own,
            "kept": trains,
            "external": answer.external,
            "parent": answer.parent,
            "fork": answer.fork,
            "parts": json.dumps(term.parts) if term.parts else None,
            "turns": json.dumps(talk) if (talk := talk_of(answer)) else None,
            "segments": [
                {"start": piece.start, "end": piece.end, "turn": piece.turn, "kind": piece.kind.value}
                for piece in answer.pieces
            ],
        }
        for group, sample, answer, reward, term, own, trains in zip(
            batch.group.tolist(),
            batch.samples,
            batch.rollouts,
            batch.reward.tolist(),
            got.terms,
            advantage.tolist(),
            torch.isin(batch.group, torch.tensor(got.kept)).tolist(),
            strict=True,
        )
    ]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    if processes.size() == 1:
        with replacing(path) as beside:
            pq.write_table(table, beside)
    else:
        _write_jointly(path, table)


def _write_jointly(path: Path, table: pa.Table) -> None:
    parts = [path.with_name(f".{path.stem}.of_{rank:04d}") for rank in range(processes.size())]
    with replacing(parts[processes.rank()]) as beside:
        pq.write_table(table, beside)
    processes.barrier()
    if processes.is_main():
        joined = pa.concat_tables([pq.read_table(part) for part in parts]).sort_by("group")
        with replacing(path) as beside:
            pq.write_table(joined, beside)
        for part in parts:
            part.unlink()
