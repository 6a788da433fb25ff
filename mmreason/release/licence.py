"""Which licence weights may carry, from what they were made of."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from mmreason.errors import UserError
from mmreason.project import project_dir

OWN = "apache-2.0"
_FREE = ("apache", "mit", "bsd", "cc0", "cc-by-4", "cc-by-sa-4", "isc", "mpl", "unlicense", "gpl", "lgpl", "agpl")
"""Licences that allow commercial use, by how their identifiers begin."""

Row = dict[str, Any]


def absent_licence(licence: str | None, base: str | None, sets: list[Row]) -> list[str]:
    """What keeps the licence of the weights from being known, in one phrase each.

    Without a base model and with commercial sets alone it is the project's. Otherwise the user names it: nobody else
    can know the terms of a base model, and weights trained on non-commercial sets inherit their limits.
    """
    limited = [f"{one['name']} ({one.get('licence')})" for one in sets if not one.get("commercial")]
    if licence is None and limited:
        return [f"licence ({', '.join(limited)} exclude commercial use: name one that does too with --licence)"]
    if licence is None and base is not None:
        return [f"licence (that of the base model {base} decides: name it with --licence)"]
    return []


def choose_licence(licence: str | None, sets: list[Row]) -> str:
    """The licence of the weights. Raises UserError for one that grants what a training set excludes."""
    chosen = (licence or OWN).strip().lower()
    limited = [one["name"] for one in sets if not one.get("commercial")]
    if limited and chosen.startswith(_FREE):
        raise UserError(
            f"--licence {chosen} allows commercial use, which {', '.join(limited)} exclude: name a licence that "
            "excludes it too, for example cc-by-nc-4.0, or train without them"
        )
    return chosen


def project_licence() -> str:
    """The text of this project's licence. Raises UserError where the installation lost it."""
    file = project_dir() / "LICENSE"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    try:
        text = metadata.distribution("mmreason").read_text("licenses/LICENSE")
    except metadata.PackageNotFoundError:
        text = None
    if text is None:
        raise UserError("the installed package has no licence text to publish with: install mmreason again")
    return text


def licence_text(licence: str, name: str, base: str | None, sets: list[Row]) -> str:
    """The LICENSE file: our own text whole, of others the identifier; then what the weights were made of."""
    lines = [f"- {one['name']}: {one.get('licence')}" for one in sets]
    if base is not None:
        lines.insert(0, f"- base model {base}: see its own licence")
    made = f"The weights of {name} were made of:\n\n" + "\n".join(lines) + "\n"
    if licence == OWN and base is None:
        return project_licence()
    return f"SPDX-License-Identifier: {licence}\n\n{made}\nTheir terms apply as far as they reach weights.\n"
