"""Calls in a model's text, and passages that cannot pass for anything else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmreason.retrieval.search_settings import SearchSettings


@dataclass(frozen=True, slots=True)
class Call:
    """What the model asks for at the end of a turn; `fault` says why it cannot be answered, empty if it can."""

    query: str = ""
    base: str = ""
    """Key of the base; empty where the model names the word for none."""
    fault: str = ""
    forged: bool = False
    """The model wrote a result tag itself."""


def read_call(said: str, settings: SearchSettings) -> Call | None:
    """The call that ends a turn; None where the turn ends otherwise.

    A call is whole where the turn has exactly one opening query tag, closed, with words in it, and, where bases are
    named, exactly one name of a base behind it.
    """
    forged = [tag for tag in settings.results if f"<{tag}>" in said or f"</{tag}>" in said]
    if forged:
        return Call(fault=f"a <{forged[0]}> tag that no search wrote", forged=True)
    if f"</{settings.base or settings.query}>" not in said:
        return None
    query = _only(said, settings.query)
    if isinstance(query, Call):
        return query
    if not query.strip():
        return Call(fault="an empty query")
    if not settings.base:
        return Call(query.strip(), next(iter(settings.bases)))
    name = _only(said.partition(f"</{settings.query}>")[2], settings.base)
    if isinstance(name, Call):
        return name
    return _named(query.strip(), name.strip(), settings)


def _only(text: str, tag: str) -> str | Call:
    """What stands in the one pair of tags of this name, or the fault."""
    pieces = text.split(f"<{tag}>")
    if len(pieces) != 2 or f"</{tag}>" not in pieces[1]:
        return Call(fault=f"{len(pieces) - 1} opening <{tag}> tags, expected one and its closing tag")
    return pieces[1].partition(f"</{tag}>")[0]


def _named(query: str, name: str, settings: SearchSettings) -> Call:
    keys = {called.lower(): key for called, key in settings.called.items()}
    if settings.none and name.lower() == settings.none.lower():
        return Call(query)
    if name.lower() not in keys:
        return Call(query, fault=f"no knowledge base {name[:40]!r}; there are {', '.join(settings.called)}")
    return Call(query, keys[name.lower()])


def harmless(text: str, tags: Sequence[str]) -> str:
    """`text` with square brackets for the angle ones of anything that looks like one of these tags.

    Nothing is removed, so that no tag can be put together from what stood around another. Case, spaces, a slash and
    attributes make no difference; other angle brackets (p < 0.05) stay.
    """
    names = "|".join(re.escape(tag) for tag in sorted(tags, key=len, reverse=True))
    pattern = re.compile(rf"<(\s*/?\s*(?:{names})(?![\w-])[^<>]*)(>?)", re.IGNORECASE)
    return pattern.sub(lambda found: f"[{found[1]}{']' if found[2] else ''}", text)
