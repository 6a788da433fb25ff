"""The `mmreason` command: reads what was typed, finds the flow, hands over.

Nothing heavy is imported here, so that `--help` answers at once and a wrong setting is refused before torch loads.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from mmreason.errors import USER_ERROR_EXIT, UserError

INTERRUPTED_EXIT = 130

app = typer.Typer(
    name="mmreason",
    help="Turn open vision-language models into domain reasoners, and prove it. Example: mmreason run dianjin-r1",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Listing(StrEnum):
    """What `list` can list."""

    SYSTEMS = "systems"
    SUITES = "suites"
    METHODS = "methods"
    RECIPES = "recipes"
    MODELS = "models"


class Mode(StrEnum):
    """How `score` judges."""

    STRICT = "strict"
    """Our graders: right, wrong or unread."""
    OFFICIAL = "official"
    """The reference scorer's rule, its random fall-backs included."""


System = Annotated[str, typer.Argument(help="A system's name, a recipe file, or the folder of a domain of your own.")]
Pairs = Annotated[list[str] | None, typer.Argument(help="Settings, for example grpo.steps=20 seeds.weights=1.")]
Profile = Annotated[str, typer.Option(help="A profile of the recipe: cpu, gpu1, paper.")]
Data = Annotated[Path | None, typer.Option(help="Folder of real data sets; without it the embedded default is made.")]
Out = Annotated[Path | None, typer.Option(help="Run folder; by default runs/SYSTEM. Run again to continue it.")]
Subset = Annotated[bool, typer.Option("--subset", help="Take a part of a released split; no official score then.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, print the plan, do nothing.")]


def flow(name: str) -> Any:
    """A flow file of the project, loaded by reference."""
    from mmreason.project import load_module, project_dir

    return load_module(project_dir() / name)


def begin(
    system: str,
    pairs: list[str] | None,
    profile: str,
    data: Path | None,
    out: Path | None,
    dry_run: bool,
    only: list[str] | None = None,
) -> None:
    """Validate the request, then travel."""
    from mmreason.cli_job import resolve
    from mmreason.cli_run import travel

    travel(resolve(system, profile, data, out, pairs or []), only, dry_run)


@app.command()
def run(
    system: System,
    pairs: Pairs = None,
    profile: Profile = "cpu",
    data: Data = None,
    out: Out = None,
    dry_run: DryRun = False,
) -> None:
    """Data, cold start, RL, evaluation, card and report; resumable at any stage and step.

    Example: mmreason run dianjin-r1 --profile cpu --out runs/first grpo.steps=20
    """
    begin(system, pairs, profile, data, out, dry_run)


@app.command("data")
def data_stage(
    system: System,
    pairs: Pairs = None,
    profile: Profile = "cpu",
    data: Data = None,
    out: Out = None,
    dry_run: DryRun = False,
) -> None:
    """Build the cold-start and RL sets alone.

    Example: mmreason data dianjin-r1 --data ~/finance --out runs/first
    """
    begin(system, pairs, profile, data, out, dry_run, ["data"])


@app.command()
def sft(
    system: System,
    pairs: Pairs = None,
    profile: Profile = "cpu",
    data: Data = None,
    out: Out = None,
    dry_run: DryRun = False,
) -> None:
    """Cold start alone, on the data of the run folder.

    Example: mmreason sft dianjin-r1 --out runs/first
    """
    begin(system, pairs, profile, data, out, dry_run, ["sft"])


@app.command()
def grpo(
    system: System,
    pairs: Pairs = None,
    profile: Profile = "cpu",
    data: Data = None,
    out: Out = None,
    dry_run: DryRun = False,
) -> None:
    """RL alone, from the cold start of the run folder.

    Example: mmreason grpo dianjin-r1 --out runs/first
    """
    begin(system, pairs, profile, data, out, dry_run, ["grpo"])


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Option(help="Checkpoint folder, for example runs/first/checkpoints/grpo/final.")],
    suite: Annotated[str, typer.Option(help="Suites, comma between them; `mmreason list suites` shows all.")],
    pairs: Pairs = None,
    system: Annotated[str | None, typer.Option(help="System whose prompts and settings apply.")] = None,
    profile: Profile = "cpu",
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; by default runs/eval.")] = None,
    subset: Subset = False,
) -> None:
    """Score a checkpoint on suites. `suite@split` asks another declared split of a suite's source.

    Example: mmreason eval --model runs/first/checkpoints/sft/final --suite ledger_open eval.limit=50
    """
    from mmreason.cli_eval import evaluate_model

    asked = [*(pairs or []), *(["eval.subset=true"] if subset else [])]
    evaluate_model(
        model, [name.strip() for name in suite.split(",")], system, profile, data, out or Path("runs") / "eval", asked
    )


@app.command()
def ask(
    model: Annotated[str, typer.Option(help="Checkpoint folder, released name, or owner/name of the Hub.")],
    question: Annotated[str, typer.Argument(help="The question, in quotes.")],
    pairs: Pairs = None,
    image: Annotated[list[Path] | None, typer.Option(help="A picture to look at; repeat it for several.")] = None,
    video: Annotated[Path | None, typer.Option(help="A clip to look at.")] = None,
    system: Annotated[str | None, typer.Option(help="System whose prompts, frames and environment apply.")] = None,
    profile: Profile = "cpu",
    out: Annotated[Path, typer.Option(help="Page that shows what was looked at.")] = Path("ask.html"),
) -> None:
    """Ask one question about pictures or a clip; the page shows which frames were looked at.

    Example: mmreason ask --model runs/earl/checkpoints/grpo/final --system earl --video clip.mp4 "What is written?"
    """
    from mmreason.cli_ask import Asked, answer

    asked = Asked(model, question, tuple(image or ()), video, system, profile, tuple(pairs or ()))
    for line in answer(asked, out):
        typer.echo(line)


@app.command()
def score(
    suite: Annotated[str, typer.Option(help="Name of the suite.")],
    predictions: Annotated[Path, typer.Option(help="JSONL with one {id, output} a line, or a form of --format.")],
    mode: Annotated[
        Mode, typer.Option(help="strict: our graders; official: the reference scorer's rule.")
    ] = Mode.STRICT,
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="Results file; by default it lies beside the predictions.")] = None,
    domain: Annotated[Path | None, typer.Option(help="Folder of a domain of your own that declares the suite.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="Shape of the file, as the suite's `formats` names it.")
    ] = None,
    subset: Subset = False,
) -> None:
    """Score a file of predictions; no model is needed.

    Example: mmreason score --suite finqa --predictions answers.jsonl --data ~/finance --mode official
    """
    flow("eval/score.py").main(suite, predictions, mode.value, data, out, domain, form, subset)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Results file of one model.")],
    b: Annotated[Path, typer.Argument(help="Results file of the other, on the same questions.")],
    metric: Annotated[str, typer.Option(help="acc, credit, or a published scorer of the suite.")] = "acc",
) -> None:
    """Compare two results question by question, with intervals.

    Example: mmreason compare runs/first/eval/sft/ledger_open.json runs/first/eval/grpo/ledger_open.json
    """
    flow("eval/compare.py").main(a, b, metric)


@app.command()
def leaks(
    train: Annotated[str, typer.Option(help="SOURCE:SPLIT, .parquet or .jsonl file; several with commas.")],
    suite: Annotated[str, typer.Option(help="Suites, SOURCE:SPLIT or files to look for; several with commas.")],
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="Folder of leaks.json, which holds every pair.")] = None,
    domain: Annotated[Path | None, typer.Option(help="Folder of a domain of your own that declares the sets.")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Also write --train, a .parquet, without its leaks.")] = False,
) -> None:
    """Look for suites in training sets: questions, documents, pictures, clips, answers given away.

    Example: mmreason leaks --train finqa:train --suite finqa,convfinqa --data ~/finance --out runs/leaks
    """
    from mmreason.cli_leaks import check_leaks

    typer.echo(check_leaks(train.split(","), suite.split(","), data, out, domain, clean), nl=False)


@app.command()
def view(folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]) -> None:
    """Write a static page of the run's rollouts, grouped by prompt, with their reward parts.

    Example: mmreason view runs/first
    """
    from mmreason.cli_run import view_run

    typer.echo(f"viewer: {view_run(folder)}")


@app.command("list")
def list_(what: Annotated[Listing, typer.Argument(help="Which list.")]) -> None:
    """Name what can be run.

    Example: mmreason list systems
    """
    from mmreason.cli_list import lines

    for line in lines(what.value):
        typer.echo(line)


@app.command()
def doctor() -> None:
    """Say what this machine can run and how to mend what it cannot; exit code 1 when the core is broken.

    Example: mmreason doctor
    """
    from mmreason.run.doctor import examine

    checks = examine()
    for check in checks:
        typer.echo(check.line())
    raise typer.Exit(1 if any(check.fatal for check in checks) else 0)


@app.command()
def reproduce(
    system: System,
    pairs: Pairs = None,
    profile: Profile = "cpu",
    out: Annotated[Path | None, typer.Option(help="Folder; by default runs/SYSTEM-reproduce.")] = None,
) -> None:
    """Re-measure the paper's claim at small scale: arms, seeds, intervals, verdict.

    Example: mmreason reproduce dianjin-r1 --out runs/claim
    """
    from mmreason.cli_job import resolve
    from mmreason.cli_run import reproduce_claim

    out = out or Path("runs") / f"{Path(system).name}-reproduce"
    reproduce_claim(resolve(system, profile, None, out, pairs or []))


@app.command()
def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run folder.")],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="A folder, s3://bucket/prefix or hub:owner/name.")],
    name: Annotated[str | None, typer.Option(help="Name of the model; by default the last part of DEST.")] = None,
    revision: Annotated[str | None, typer.Option(help="A name for this revision, for example v1; never moved.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights, where base or data decide it.")] = None,
) -> None:
    """Check a run and publish its model: weights, tokenizer, protocol, card, evaluation, checksums.

    Example: mmreason publish runs/first s3://models/first --revision v1
    """
    from mmreason.cli_release import publish_run

    for line in publish_run(run, dest, name, revision, licence):
        typer.echo(line)


@app.command()
def pull(
    model: Annotated[str, typer.Argument(help="NAME, a folder, s3://bucket/prefix or hub:owner/name; then @REV.")],
) -> None:
    """Fetch a published model into the cache, every byte checked, and print its folder.

    Example: mmreason pull tiny-dianjin-r1
    """
    from mmreason.cli_release import pull_release

    typer.echo(pull_release(model))


def one_line(text: str) -> NoReturn:
    """A mistake that the user can mend: one line, no stack trace."""
    print(f"mmreason: {' '.join(text.split())}", file=sys.stderr)
    raise SystemExit(USER_ERROR_EXIT)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failure (with its trace), 2 the user's mistake, 130 Ctrl-C."""
    try:
        app(prog_name="mmreason")
    except UserError as error:
        one_line(str(error))
    except SystemExit as stop:
        if stop.code == INTERRUPTED_EXIT:
            print("mmreason: stopped; run the same command again to continue", file=sys.stderr)
        raise
    except Exception as error:
        from mmreason.run.files import is_disk_full

        if is_disk_full(error):
            one_line(f"no space left on the disk ({error}): free some and run the same command again")
        raise


if __name__ == "__main__":
    main()
