"""RODS: answers unique by brute force, distractors that each contradict a clue, the tail at its stated share."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmreason.data.text import normal
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import AnswerKind, Sample

rows = load_module(Path(__file__).parent / "fleming_rows.py")
sampling = load_module(rows.FLEMING / "sampling.py")
distractors = load_module(rows.FLEMING / "distractors.py")
settings = load_module(rows.FLEMING / "settings.py")
covering = load_module(rows.FLEMING / "coverage.py")
clues, patterns, read, rods, small, worlds = rows.clues, rows.patterns, rows.read, rows.rods, rows.small, rows.worlds
DISEASE, TEST, TREATMENT = patterns.WORLD


def test_candidates_by_hand() -> None:
    graph = small()
    assert patterns.candidates(graph, DISEASE, clues("cough", "ache")) == [{"flu", "cold"}]
    assert patterns.candidates(graph, DISEASE, clues("cough", "ache", "fever")) == [{"flu"}]
    assert patterns.candidates(graph, TEST, clues("fever", "cough", later=1)) == [{"flu", "covid"}, {"swab"}]
    assert not patterns.one_each(graph, TEST, clues("fever", "cough", later=1))  # one test, but two ways to it
    assert patterns.candidates(graph, TREATMENT, clues("cough", "ache", "fever", later=2)) == [
        {"flu"},
        {"swab"},
        {"rest"},
    ]


def test_support_counts_the_clues_along_the_best_path() -> None:
    graph = small()
    found = patterns.supported(graph, DISEASE, clues("fever", "cough", "ache"))
    assert {node: one.shared for node, one in found.items()} == {"flu": 3, "cold": 2, "covid": 2, "gout": 2}
    tests = patterns.supported(graph, TEST, clues("fever", "cough", "ache", later=1))
    assert tests["swab"] == (3, ("flu", "swab")) and tests["look"] == (2, ("cold", "look"))


def test_distractors_by_hand_and_their_fallback() -> None:
    graph = small()
    item = sampling.Masked(DISEASE, ("flu",), clues("fever", "cough", "ache"), ("flu",))
    near = distractors.rivals(graph, item, 4, random.Random(0))
    assert {one.node for one in near[:3]} == {"cold", "covid", "gout"} and [one.shared for one in near] == [2, 2, 2, 0]
    assert near[3].node == "sunburn"  # shares nothing: stands in last
    held = {one.node: one.holds for one in near}
    assert held["covid"] == ((True, True, False),) and held["gout"] == ((True, False, True),)
    assert distractors.own_rival(graph, item).holds == ((True, True, True),)


def test_a_single_telling_edge_is_refused() -> None:
    graph = small()
    assert sampling._given_away(graph, clues("anosmia", "fever"))  # covid alone has it
    assert not sampling._given_away(graph, clues("fever", "cough"))


def test_the_slots_of_the_tail_are_exact() -> None:
    for share in (0.0, 0.25, 1 / 3, 0.5, 0.615, 1.0):
        counts = list(itertools.accumulate(sampling.in_tail(slot, share) for slot in range(1000)))
        assert all(abs(count - share * (slot + 1)) < 1 for slot, count in enumerate(counts))


def test_the_laws_weigh_as_stated() -> None:
    graph = small()
    for law, weigh in (
        (settings.Law.UNIFORM, lambda node: 1.0),
        (settings.Law.NATURAL, lambda node: graph.degree(node)),
        (settings.Law.TAIL, lambda node: (graph.degree(node) + 1) ** -0.5),
    ):
        found = sampling.anchors(graph, DISEASE, settings.RodsSettings(law=law))
        raw = {node: weigh(node) for node in rows.FACTS}
        assert found.weights == pytest.approx({node: one / sum(raw.values()) for node, one in raw.items()})
    assert found.tail == {"sunburn", "cold"}  # 3 and 4 edges; ties by name


def brute_force(graph: Any, sample: Sample) -> set[str]:
    """Every end of a typed path all of whose visible facts hold, by trying all paths."""
    kinds = sample.metadata["asks"]
    pattern = next(one for one in (*patterns.WORLD, *patterns.HETIONET) if one.name == kinds and _fits(graph, one))
    by_node: dict[str, list[tuple[str, str, str]]] = {}
    for node in sample.metadata["masked_nodes"]:
        by_node[node] = [fact for fact in map(tuple, sample.metadata["visible"]) if node in (fact[0], fact[2])]
    edges = set(graph.edges)
    paths = [(node,) for node in graph.of_kind(pattern.start)]
    ends = set()
    for hop in pattern.hops:
        paths = [(*path, far) for path in paths for far in graph.neighbours(path[-1], hop)]
    for path in paths:
        moved = (
            (tuple(real if end == hidden else end for end in fact))
            for real, hidden in zip(path, sample.metadata["masked_nodes"], strict=True)
            for fact in by_node[hidden]
        )
        if all(fact in edges for fact in moved):
            ends.add(path[-1])
    return ends


def _fits(graph: Any, pattern: Any) -> bool:
    return bool(graph.of_kind(pattern.start))


@pytest.mark.parametrize("options", [{}, {"form": "words", "book": "open"}, {"law": "natural", "clues_least": 2}])
def test_accepted_items_have_one_answer_and_no_distractor_fits(options: dict[str, Any]) -> None:
    graph = worlds.make(worlds.WorldSettings())
    found, dropped = read(rods.world, items=150, **options)
    assert len(found) + len(dropped) == 150 and len(found) > 140
    for sample in found:
        answer = sample.metadata["masked_nodes"][-1]
        assert brute_force(graph, sample) == {answer}
        shown = [option["node"] for option in sample.metadata["options"]]
        assert len(set(shown)) == 4 and answer in shown
        wrong = [option for option in sample.metadata["options"] if option["node"] != answer]
        assert all(not all(itertools.chain(*option["holds"])) for option in wrong)
        assert all(graph.nodes[option["node"]].kind == graph.nodes[answer].kind for option in wrong)
        assert all(tuple(edge) in set(graph.edges) for edge in sample.metadata["path"] + sample.metadata["visible"])
        right = sample.answer.options[sample.answer.gold] if sample.answer.options else sample.answer.gold
        assert right == answer


def test_lengths_come_in_turns_and_the_tail_at_its_share() -> None:
    found, _ = read(rods.world, items=300, tail_share=0.3)
    assert Counter(one.metadata["hops"] for one in found) == {1: 100, 2: 100, 3: 100}
    assert Counter((one.metadata["hops"], one.metadata["tail"]) for one in found if one.metadata["tail"]) == {
        (hops, True): 30 for hops in (1, 2, 3)
    }
    table = covering.coverage(found)
    assert table["2 tail"]["items"] == 30 and table["2 tail"]["share"] == 0.3
    assert sum(table["distractors"].values()) == 900 and sum(table["tiers"].values()) == 300
    assert table["distractors_below"] == sum(
        any(option["shared"] < 2 for option in one.metadata["options"]) for one in found
    )
    graph = worlds.make(worlds.WorldSettings())
    share = sampling.anchors(graph, DISEASE, settings.RodsSettings()).tail_share
    by_law, _ = read(rods.world, items=300, hops=[1])
    assert sum(one.metadata["tail"] for one in by_law) == int(300 * share)
    reached = {one.metadata["masked_nodes"][0] for one in by_law if one.metadata["tail"]}
    natural, _ = read(rods.world, items=300, hops=[1], law="natural")
    fewer = {one.metadata["masked_nodes"][0] for one in natural if one.metadata["tail"]}
    print(f"tail share {share:.3f}, tail diseases reached {len(reached)} of 100, in the natural mixture {len(fewer)}")
    assert len(reached) > 2 * len(fewer)


def test_a_tier_alone_takes_its_kinds_in_turn() -> None:
    for tier, kinds in (
        ("easy", {(1, False): 24}),
        ("moderate", {(1, True): 12, (2, False): 12}),
        ("difficult", {(2, True): 8, (3, False): 8, (3, True): 8}),
    ):
        found, _ = read(rods.world, items=24, tier=tier)
        assert Counter((one.metadata["hops"], one.metadata["tail"]) for one in found) == kinds
        assert {one.metadata["tier"] for one in found} == {tier}
    for options in ({"tier": "hard"}, {"tier": "difficult", "hops": [1]}):
        with pytest.raises(UserError, match=r"have none of it; expected easy, moderate, difficult"):
            read(rods.world, items=2, **options)


def test_the_same_clues_are_one_document_in_any_order() -> None:
    found, _ = read(rods.world, items=600, form="words", tail_share=1.0)
    by_clues: dict[tuple[str, ...], set[str]] = {}
    for one in found:
        key = (one.metadata["asks"], *sorted(one.metadata["clues"][0]))
        by_clues.setdefault(key, set()).add(one.source.document)
        assert one.question.startswith(f"{one.metadata['asks']} : {' '.join(one.metadata['clues'][0])} ? ")
    assert len(by_clues) < len(found) and all(len(documents) == 1 for documents in by_clues.values())


def test_strict_items_have_full_distractors() -> None:
    found, dropped = read(rods.world, items=60, hops=[1], strict=True)
    print(f"strict: {len(found)} items, {len(dropped)} drops")
    assert len(found) > 50 and covering.coverage(found)["distractors_below"] == 0


def test_the_same_seed_gives_the_same_items_and_no_question_twice() -> None:
    first, second = (read(rods.world, items=120)[0] for _ in range(2))
    assert first == second
    assert first != read(rods.world, items=120, seed=1)[0]
    assert read(rods.world, "test", items=120)[0][0].question != first[0].question
    assert len({normal(one.question) for one in first}) == len(first)


def test_a_walk_round_a_cycle_ends() -> None:
    Edge, Node, Relation = rows.Edge, rows.Node, rows.checks.graphs.Relation
    schema = {"presents": Relation("disease", "finding"), "leads": Relation("disease", "disease")}
    nodes = [Node(name, name, "disease") for name in "abc"] + [Node("f", "f", "finding")]
    edges = [Edge(one, "leads", other) for one, other in ("ab", "bc", "ca")]
    edges += [Edge(one, "presents", "f") for one in "abc"]
    graph, faults = rows.checks.build(nodes, edges, schema)
    assert [fault.kind.value for fault in faults] == ["cycle"]
    long = patterns.Pattern("end", "disease", ("leads",) * 3, (("presents",), (), (), ()))
    assert sampling.walk(graph, long, "a", random.Random(0)) is None  # the fourth step would come back to a
    made = list(rods.items(graph, [long], settings.RodsSettings(hops=[4], items=3), "s"))
    assert all(item is None and refused["dead_end"] + refused["few_clues"] == 60 for item, refused in made)


def test_a_small_graph_gives_drops_with_reasons_not_silence() -> None:
    found, dropped = read(
        rods.world, items=40, diseases=4, findings=8, families=1, findings_most=6, tests=2, treatments=2
    )
    assert len(found) + len(dropped) == 40 and dropped
    assert all(one.step == "rods" and one.reason in set(sampling.Refusal) for one in dropped)


def test_wrong_options_are_one_line() -> None:
    for options, message in (
        ({"hop": [1]}, "unknown key 'hop'"),
        ({"hops": [7]}, "no path of 7 steps"),
        ({"clues_least": 5}, "clues_least 5 is above clues_most 4"),
    ):
        with pytest.raises(UserError, match=message):
            read(rods.world, items=2, **options)


def test_facts_tell_every_node_once_then_common_diseases_more_often() -> None:
    found, _ = read(rods.world_facts, items=2000)
    counts = Counter(one.metadata["node"] for one in found)
    graph = worlds.make(worlds.WorldSettings())
    assert len(found) == 2000 and set(counts) >= set(graph.of_kind("disease"))
    assert counts["daa"] > 5 * counts["dfu"] and counts["taa"] == 1
    assert all(one.answer.kind is AnswerKind.FREE for one in found)
    told = next(one for one in found if one.metadata["node"] == "daa")
    (test,) = graph.neighbours("daa", "confirmed")
    shown = " ".join([test, *sorted(graph.neighbours("daa", "presents"))])  # the next step before the findings
    assert told.evidence["trace"] == f"<think> daa {shown}</think><answer> {test}</answer>"
    assert (told.question, told.answer.gold) == ("facts : daa", test)


def test_the_real_graph_gives_items(real_data: Path) -> None:
    folder = real_data / "hetionet_subset"
    if not folder.is_dir():
        pytest.skip(f"no Hetionet subset in {real_data}")
    files = (folder / "nodes.tsv", folder / "edges.tsv")
    began = time.perf_counter()
    found, dropped = read(rods.hetionet, "train", files, items=150)
    took = time.perf_counter() - began
    graph, _ = rows.tables.load(list(files))
    full = sum(one.metadata["distractors_below"] == 0 for one in found)
    print(f"{len(found)} items, {len(dropped)} drops, {len(found) / took:.0f} items/s, {full} with full distractors")
    assert Counter(one.metadata["hops"] for one in found) == {1: 50, 2: 50, 3: 50} and not dropped
    for sample in found:
        answer = sample.metadata["masked_nodes"][-1]
        assert sample.answer.options[sample.answer.gold] == graph.nodes[answer].name
        assert f" {normal(graph.nodes[answer].name)} " not in f" {normal(sample.question)} "
        if sample.metadata["hops"] < 3:  # all three-step paths by brute force take seconds
            assert brute_force(graph, sample) == {answer}
