"""Options are a budget: this list is the public command line, and a new one is a conscious edit here."""

from __future__ import annotations

import typer

from mmreason.cli import app

STAGE = ["system", "pairs", "--profile", "--data", "--out", "--dry-run"]
OPTIONS = {
    "run": STAGE,
    "data": STAGE,
    "sft": STAGE,
    "grpo": STAGE,
    "eval": ["pairs", "--model", "--suite", "--system", "--profile", "--data", "--out", "--subset"],
    "ask": ["question", "pairs", "--model", "--image", "--video", "--system", "--profile", "--out"],
    "score": ["--suite", "--predictions", "--mode", "--data", "--out", "--domain", "--format", "--subset"],
    "compare": ["a", "b", "--metric"],
    "leaks": ["--train", "--suite", "--data", "--out", "--domain", "--clean"],
    "publish": ["run", "dest", "--name", "--revision", "--licence"],
    "pull": ["model"],
    "view": ["folder"],
    "list": ["what"],
    "doctor": [],
    "reproduce": ["system", "pairs", "--profile", "--out"],
}


def public() -> dict[str, list[str]]:
    """Command -> its arguments and options, as the parser knows them."""
    commands = typer.main.get_group(app).commands
    return {
        name: [parameter.opts[0] for parameter in command.params if parameter.opts[0] != "--help"]
        for name, command in commands.items()
    }


def test_the_public_options_are_these() -> None:
    assert {name: sorted(found) for name, found in public().items()} == {k: sorted(v) for k, v in OPTIONS.items()}


def test_every_command_shows_an_example() -> None:
    commands = typer.main.get_group(app).commands
    without = [name for name, command in commands.items() if f"Example: mmreason {name}" not in (command.help or "")]
    assert without == []
