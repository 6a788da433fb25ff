"""Knowledge bases that may be down for a while: answered as failed, counted, and at last the run's end."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from mmreason.retrieval.client import ServiceDown

NO_ANSWER = "the knowledge base does not answer"
"""What a model is told in place of passages."""
Found = TypeVar("Found")


class Patience:
    """How long bases are waited for: `turns` in a row."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self._in_a_row: Counter[str] = Counter()

    def ask(self, name: str, search: Callable[[], Found]) -> Found | None:
        """What `search` finds; None where the base is down, said once on stderr.

        Raises ServiceDown the last time in a row that is allowed.
        """
        try:
            found = search()
        except ServiceDown as down:
            self._in_a_row[name] += 1
            if self._in_a_row[name] == 1:
                print(f"knowledge base {name}: {down}; searches are answered as failed", file=sys.stderr)
            if self._in_a_row[name] == self.turns:
                raise
            return None
        self._in_a_row[name] = 0
        return found
