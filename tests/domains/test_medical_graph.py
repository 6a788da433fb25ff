"""Knowledge graphs: broken rows counted and named, cycles found without an endless walk, the made-up world's law."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mmreason.errors import UserError
from mmreason.project import load_module

MEDICAL = Path(__file__).parents[2] / "domains" / "medical"
graphs = load_module(MEDICAL / "graph.py")
checks = load_module(MEDICAL / "graph_checks.py")
tables = load_module(MEDICAL / "graph_hetionet.py")
worlds = load_module(MEDICAL / "graph_world.py")
Edge, Node, Relation = graphs.Edge, graphs.Node, graphs.Relation
SCHEMA = {"shows": Relation("d", "f"), "leads": Relation("d", "d"), "like": Relation("d", "d", symmetric=True)}
NODES = [Node(name, name.upper(), name[0]) for name in ("d1", "d2", "d3", "f1", "f2")]


def broken() -> tuple[object, list[object]]:
    nodes = [*NODES, Node("d1", "again", "d"), Node("x1", "X", "x")]
    edges = [
        Edge("d1", "shows", "f1"),
        Edge("d1", "shows", "f1"),
        Edge("d1", "like", "d2"),
        Edge("d2", "like", "d1"),
        Edge("d1", "shows", "f9"),
        Edge("x1", "shows", "f1"),
        Edge("d1", "eats", "f1"),
        Edge("f1", "shows", "d1"),
        Edge("d3", "leads", "d3"),
        Edge("d1", "leads", "d2"),
        Edge("d2", "leads", "d3"),
        Edge("d3", "leads", "d1"),
    ]
    return checks.build(nodes, edges, SCHEMA)


def test_every_broken_row_is_left_out_and_named() -> None:
    graph, faults = broken()
    assert Counter(fault.kind.value for fault in faults) == {
        "unknown_kind": 1,
        "duplicate_node": 1,
        "unknown_relation": 1,
        "dangling": 2,
        "wrong_kinds": 1,
        "self_loop": 1,
        "duplicate_edge": 2,
        "cycle": 1,
    }
    assert len(graph.edges) == 5 and len(graph.nodes) == 5
    lines = checks.report(graph, faults)
    assert lines[0] == "5 nodes: d 3, f 2"
    assert "2 dangling, left out: d1 shows f9 (no node 'f9'); x1 shows f1 (no node 'x1')" in lines
    assert "1 cycle, kept: d1 (3 nodes, with d2)" in lines
    assert "1 nodes without an edge" in lines
    assert all("\n" not in line for line in lines)


def test_indexes_follow_both_directions() -> None:
    graph, _ = broken()
    assert graph.neighbours("d1", "shows") == {"f1"} and graph.neighbours("f1", "~shows") == {"d1"}
    assert graph.neighbours("d2", "like") == graph.neighbours("d2", "~like") == {"d1"}
    assert graph.neighbours("f2", "~shows") == frozenset()
    assert graph.edge("d2", "like", "d1") == Edge("d1", "like", "d2")  # as it was released
    assert graph.edge("f1", "~shows", "d1") == Edge("d1", "shows", "f1")
    assert graph.among(["d1", "d2"]) == [Edge("d1", "leads", "d2"), Edge("d1", "like", "d2")]
    assert graph.ends("~shows") == ("f", "d") and graphs.inverse(graphs.inverse("shows")) == "shows"


def test_cycles_are_whole_and_a_long_one_does_not_overflow() -> None:
    chain = [Edge(f"d{k}", "leads", f"d{k + 1}") for k in range(20_000)]
    assert checks.cycles(chain, SCHEMA) == []
    (loop,) = checks.cycles([*chain, Edge("d20000", "leads", "d0")], SCHEMA)
    assert len(loop) == 20_001
    two = [Edge(a, "leads", b) for a, b in ("ab", "ba", "bc", "cd", "dc", "de")]
    assert checks.cycles(two, SCHEMA) == [["a", "b"], ["c", "d"]]
    assert checks.cycles([Edge("a", "like", "b"), Edge("b", "like", "a")], SCHEMA) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\tname\n", "no column 'kind'"),
        ("id\tname\tkind\nDisease::1\tgout\n", "line 2"),
        ("id\tname\tkind\nDisease::1\tgout\tDisease\tmore\n", "line 2"),
        ("id\tname\tkind\nDisease::1\t \tDisease\n", "line 2"),
    ],
)
def test_a_broken_table_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "nodes.tsv").write_text(text, encoding="utf-8")
    (tmp_path / "edges.tsv").write_text("source\tmetaedge\ttarget\n", encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        tables.load([tmp_path / "nodes.tsv", tmp_path / "edges.tsv"])
    assert "\n" not in str(caught.value)


def test_an_absent_table_and_a_lone_one() -> None:
    with pytest.raises(UserError, match="no graph table"):
        tables.load([Path("absent.tsv"), Path("edges.tsv")])
    with pytest.raises(UserError, match="at least one edge table, found 1"):
        tables.load([Path("nodes.tsv")])


def test_the_world_has_its_sizes_and_zipfs_law() -> None:
    graph = worlds.make(worlds.WorldSettings())
    counts = Counter(node.kind for node in graph.nodes.values())
    assert counts == {"disease": 200, "finding": 400, "test": 100, "treatment": 100}
    assert graph.frequency("daa") == 1.0 and graph.frequency("daj") == pytest.approx(0.1)
    assert len(graph.neighbours("daa", "presents")) == 8 and len(graph.neighbours("dhr", "presents")) == 4
    assert all(len(graph.neighbours(one, "confirmed")) == 1 for one in graph.of_kind("disease"))
    assert all(len(graph.neighbours(one, "guides")) == 1 for one in graph.of_kind("test"))
    assert graph.edges == worlds.make(worlds.WorldSettings()).edges
    assert graph.edges != worlds.make(worlds.WorldSettings(world=1)).edges


def test_a_world_whose_pools_are_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="findings a family"):
        worlds.WorldSettings(findings=100, families=40)


def test_the_real_graph(real_data: Path) -> None:
    folder = real_data / "hetionet_subset"
    if not folder.is_dir():
        pytest.skip(f"no Hetionet subset in {real_data}")
    graph, faults = tables.load([folder / name for name in ("nodes.tsv", "edges.tsv", "edges_side_effects.tsv")])
    assert (len(graph.nodes), len(graph.edges), faults) == (3882, 14676, [])
    lines = checks.report(graph, faults)
    assert lines[1] == "14676 edges: CcSE 5000, CpD 390, CtD 755, DlA 3602, DpS 3357, DrD 543, PCiC 1029"
    without, _ = tables.load([folder / "nodes.tsv", folder / "edges.tsv"])
    lonely = Counter(node.kind for node in without.nodes.values() if not without.degree(node.id))
    assert len(without.edges) == 9676 and lonely == {"Side Effect": 1496, "Compound": 180}
