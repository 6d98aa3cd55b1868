"""The command line: ``list``, ``run``, ``publish``, ``workspace``, ``lab``; others in ``sweep``."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from greenai_nb import machine
from greenai_nb.checks import UsageError
from greenai_nb.files import write_atomic
from greenai_nb.lesson import project
from greenai_nb.lesson.parameters import parse_assignments
from greenai_nb.suite.run import plan
from greenai_nb.suite.run.plan import Status
from greenai_nb.suite.run.progress import Board, console, errors, interruptible
from greenai_nb.suite.sweep import commands
from greenai_nb.suite.sweep.commands import FAILED_RUN

WRONG_USE = 2

app = typer.Typer(
    help="Run the notebooks of greenai-nb and hold their numbers against the claims.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(commands.sweep)
app.command()(commands.report)
app.command()(commands.verify)


@app.command("list")
def list_() -> None:
    """List the notebooks, their parameters, and what they took when last published."""
    table = Table("notebook", "what it does", "minutes", "MB", "parameters")
    for lesson in plan.lessons(project.notebooks()).values():
        stamp = lesson.stamp
        minutes = f"{stamp['time_s'] / 60:.1f}" if stamp else "?"
        memory = f"{stamp['peak_ram_mb']:.0f}" if stamp else "?"
        knobs = ", ".join(f"{p.name}={p.default}" for p in lesson.parameters.values())
        table.add_row(lesson.name, lesson.title, minutes, memory, knobs)
    console.print(table)


@app.command()
def run(
    names: Annotated[
        list[str] | None, typer.Argument(help="Notebooks by name or number; all by default.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Size: ci, tutorial or paper.")] = "tutorial",
    parameters: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Set a parameter."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; results/PROFILE by default.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Notebooks side by side; one a core by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run all, and train anew.")] = False,
) -> None:
    """Run notebooks side by side and print a verdict for every claim."""
    from greenai_nb.suite.run import runner

    start = time.monotonic()
    walk = plan.lessons(project.notebooks())
    chosen = plan.select(walk, names or [])
    side_by_side = min(jobs or machine.cores(), len(walk))
    threads = max(1, machine.cores() // side_by_side)
    settings = plan.read_profile(project.notebooks(), profile, walk)
    overrides = parse_assignments(parameters or [])
    folder = (out or project.root() / "results" / profile).resolve()
    todo = plan.make(chosen, settings, overrides, threads, project.root(), folder)
    with runner.results_folder(folder):
        fresh = [job for job in todo if force or not plan.is_done(job, folder)]
        console.print(
            f"{profile}: {len(fresh)} of {len(todo)} notebooks to run, {side_by_side} side by side, "
            f"{threads} thread(s) each"
        )
        with interruptible("notebooks"), Board(console, fresh, side_by_side).shown() as board:
            outcomes = runner.run(fresh, folder, profile, side_by_side, board, anew=force)
        failures = [outcome for outcome in outcomes if outcome.status == Status.FAILED]
        _write_page(folder, profile, [failure.job.name for failure in failures])
    console.print(f"{time.monotonic() - start:.0f} s; open {folder / 'index.html'}", soft_wrap=True)
    for failure in failures:
        place = f"cell {failure.cell + 1}" if failure.cell is not None else "before the first cell"
        errors.print(f"[red]{failure.job.name} failed at {place}[/red]: {failure.error}", soft_wrap=True)
    if failures:
        raise typer.Exit(FAILED_RUN)


def _write_page(folder: Path, profile: str, failed: Sequence[str]) -> None:
    """Hold the records of a folder against the claims: a table here, and a page beside the notebooks."""
    from greenai_nb.lesson import records
    from greenai_nb.lesson.claims import load_claims
    from greenai_nb.suite.run import report

    rows = report.ledger(load_claims(), records.read(folder))
    write_atomic(folder / "index.html", report.page(profile, rows, folder, failed))
    console.print(report.closing_table(rows))


@app.command()
def publish(
    out: Annotated[
        Path | None, typer.Option(help="The run to take outputs from; results/tutorial by default.")
    ] = None,
) -> None:
    """Put the outputs of a tutorial run into the notebooks of the repository, cleaned and stamped."""
    from greenai_nb.suite.run.publish import publish as publish_one

    folder = out or project.root() / "results" / project.DEFAULT_PROFILE
    walk = plan.lessons(project.notebooks())
    for lesson in walk.values():
        publish_one(lesson, walk, project.root(), folder)
        size = lesson.path.stat().st_size
        console.print(f"{lesson.name}: {size / 1000:.0f} kB")


@app.command()
def workspace(
    folder: Annotated[Path, typer.Argument(help="A new folder, or a workspace to bring up to date.")],
) -> None:
    """Copy the walk to a folder of your own; called again, it renews what you have not edited."""
    from greenai_nb.suite.workshop import workspace as own

    changes = own.update(project.root(), folder)
    new = sum(change.kind == own.NEW for change in changes)
    for change in changes:
        if change.kind != own.NEW:
            console.print(change.sentence, soft_wrap=True)
    console.print(
        f"{new or 'no'} new files. Open it with: greenai lab --workspace {folder}", soft_wrap=True
    )


@app.command(context_settings={"ignore_unknown_options": True})
def lab(
    options: Annotated[
        list[str] | None, typer.Argument(help="Options for Jupyter, such as --port=9000.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--workspace", help="Where to work; workspace/ by default.")
    ] = None,
) -> None:
    """Open JupyterLab on this machine, in a workspace, so that the checkout stays as it is."""
    from greenai_nb.suite.workshop import lab as server
    from greenai_nb.suite.workshop import workspace as own

    place = (folder or project.root() / "workspace").resolve()
    for change in own.update(project.root(), place):
        if change.kind not in (own.NEW, own.KEPT):
            console.print(change.sentence, soft_wrap=True)
    console.print(f"JupyterLab works in {place}; Ctrl-C ends it", soft_wrap=True)
    server.start(place, options or [])


def main() -> None:
    """Run the command line; what was asked wrongly is said in a sentence, with exit code 2."""
    try:
        app()
    except UsageError as error:
        errors.print(f"[red]{error}[/red]", soft_wrap=True)
        raise SystemExit(WRONG_USE) from None
