"""Reader of Hetionet's tables: nodes.tsv (id, name, kind) and edge tables (source, metaedge, target).

Hetionet v1.0 (Himmelstein et al., eLife 2017; github.com/dhimmel/hetionet) or a part of it. Original content CC0 1.0;
the side effects (CcSE) are SIDER's, CC BY-NC-SA 4.0, and lie in a file of their own, so that they can be left out.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmreason.errors import UserError
from mmreason.project import load_module

graphs = load_module(Path(__file__).parent / "graph.py")
checks = load_module(Path(__file__).parent / "graph_checks.py")
Edge, Graph, Node, Relation = graphs.Edge, graphs.Graph, graphs.Node, graphs.Relation

SCHEMA = {
    "DpS": Relation("Disease", "Symptom"),
    "DlA": Relation("Disease", "Anatomy"),
    "DrD": Relation("Disease", "Disease", symmetric=True),
    "CtD": Relation("Compound", "Disease"),
    "CpD": Relation("Compound", "Disease"),
    "PCiC": Relation("Pharmacologic Class", "Compound"),
    "CcSE": Relation("Compound", "Side Effect"),
}
"""Presents symptom, localises to anatomy, resembles, treats, palliates, class includes compound, causes side effect."""


def load(paths: Sequence[Path]) -> tuple[Graph, list[checks.Fault]]:
    """The graph of a node table and one or more edge tables, with the faults of their rows.

    Raises UserError for a missing file, a missing column, or a row whose cells do not match its header.
    """
    if len(paths) < 2:
        raise UserError(f"a graph takes a node table and at least one edge table, found {len(paths)} files")
    nodes = [Node(row["id"], row["name"], row["kind"]) for row in rows(paths[0], ("id", "name", "kind"))]
    edges = [
        Edge(row["source"], row["metaedge"], row["target"])
        for path in paths[1:]
        for row in rows(path, ("source", "metaedge", "target"))
    ]
    found: tuple[Graph, list[checks.Fault]] = checks.build(nodes, edges, SCHEMA)
    return found


def rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Rows of a tab-separated table with a header."""
    if not path.is_file():
        raise UserError(f"no graph table {path}")
    with path.open(encoding="utf-8", errors="replace", newline="") as handle:
        table = csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        absent = [name for name in columns if name not in (table.fieldnames or [])]
        if absent:
            raise UserError(f"{path}: no column {absent[0]!r}; expected {', '.join(columns)}")
        for row in table:
            if None in row or any(row[name] is None or not row[name].strip() for name in columns):
                raise UserError(f"{path} line {table.line_num}: expected {', '.join(columns)} in cells of their own")
            yield {name: row[name].strip() for name in columns}
