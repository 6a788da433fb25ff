"""The two ways a command stops on purpose: the user can mend it, or an extra is missing."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable

USER_ERROR_EXIT = 2
FAILURE_EXIT = 1


class UserError(Exception):
    """A mistake that the user can mend. Printed as one line, exit code 2, no stack trace.

    Say what was found, what was expected, which sample or key, and what to do.
    """


class MissingExtra(UserError):
    """An optional package is absent; the message is the pip line that brings it."""


def require(module: str, extra: str, purpose: str) -> None:
    """Raise `MissingExtra` if `module` cannot be imported; `purpose` completes 'needed to ...'."""
    if importlib.util.find_spec(module.split(".")[0]) is None:
        raise MissingExtra(f"{module} is needed to {purpose}: pip install 'mmreason[{extra}]'")


def nearest(name: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' for the closest known name, or the list of names if none is close."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else f" (known: {', '.join(known)})"
