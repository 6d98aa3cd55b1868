"""The commands for what runs have left: ``greenai sweep``, ``report`` and ``verify``."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenai_nb import machine
from greenai_nb.lesson import project
from greenai_nb.lesson.parameters import parse_assignments
from greenai_nb.suite.run import plan
from greenai_nb.suite.run.plan import Status
from greenai_nb.suite.run.progress import console, errors, interruptible

if TYPE_CHECKING:
    from greenai_nb.suite.sweep.cluster import End, Sweep, Task

FAILED_RUN = 1
Texts = list[str] | None
PARAMETERS = typer.Option(
    "-p", "--parameter", metavar="NAME=GRID", help="As 1,2,3 or 0..9 or log(1e-5,1,6)."
)
OUT = typer.Option(help="Folder or fsspec address; results/sweep/NOTEBOOK by default.")
SCHEDULER = typer.Option(help="A Dask scheduler that runs already, as tcp://host:8786.")


def sweep(
    notebook: Annotated[str, typer.Argument(help="A notebook by name or number.")],
    parameters: Annotated[Texts, PARAMETERS] = None,
    grid: Annotated[Path | None, typer.Option(help="A YAML file with parameters and zip.")] = None,
    zipped: Annotated[
        Texts, typer.Option("--zip", metavar="A,B", help="Names that move together.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Size: ci, tutorial or paper.")] = "tutorial",
    out: Annotated[str | None, OUT] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Of the local cluster; one a core by default.")
    ] = None,
    scheduler: Annotated[str | None, SCHEDULER] = None,
    memory_mb: Annotated[float | None, typer.Option(min=1, help="Memory that a run may use.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.001, help="Time that a run may take.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Run again what has failed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Start though memory may not do.")] = False,
) -> None:
    """Run one notebook at many settings on a Dask cluster; the same command goes on where it was."""
    from greenai_nb.suite.run import kernel
    from greenai_nb.suite.run.runner import results_folder
    from greenai_nb.suite.sweep.cluster import REFUSED, Sweep, tasks
    from greenai_nb.suite.sweep.store import Store

    walk = plan.lessons(project.notebooks())
    (lesson,) = plan.select(walk, [notebook]).values()
    points = _points(lesson, parameters or [], zipped or [], grid)
    shared = plan.read_profile(project.notebooks(), profile, walk)
    limits = kernel.Limits(memory_mb, 60 * minutes if minutes else None)
    store = Store(out or str(project.root() / "results" / "sweep" / lesson.name))
    all_runs = tasks(lesson, points, profile, shared, store.address, limits)
    whole = Sweep(lesson, profile, all_runs, store, workers or machine.cores())
    store.check()
    if not (force or scheduler):
        whole.check_memory()
    with nullcontext() if "://" in store.address else results_folder(Path(store.address)):
        todo, left_out = whole.missing(retry)
        _announce(whole, len(todo), len(left_out))
        ends = _run(todo, whole.workers, scheduler) if todo else []
    bad = [end for end in ends if end.status in (Status.FAILED, REFUSED)]
    for end in bad:
        errors.print(f"[red]{end.fingerprint} {end.status}[/red]: {end.error}", soft_wrap=True)
    _write_page(store.address)
    if bad or left_out:
        raise typer.Exit(FAILED_RUN)


def report(
    stores: Annotated[list[str], typer.Argument(help="The stores of one or more sweeps.")],
    table: Annotated[
        Path | None, typer.Option(help="Write the tidy table here too, as .parquet or .csv.")
    ] = None,
) -> None:
    """Make one offline page of each sweep, and a tidy table of all their records."""
    from greenai_nb.suite.sweep.table import write

    if table:
        write(stores, table)
        console.print(f"table: {table}", soft_wrap=True)
    for address in stores:
        _write_page(address)


def verify(
    folder: Annotated[
        Path | None, typer.Argument(help="The run to judge; results/tutorial by default.")
    ] = None,
) -> None:
    """Say the verdict on every claim of a run, and where it departs from the committed results.

    Exits with 1 where a claim fails.
    """
    from greenai_nb.lesson import claims, records
    from greenai_nb.suite.run import report as pages
    from greenai_nb.suite.run import verify as judging

    run = folder or project.root() / "results" / project.DEFAULT_PROFILE
    here, walk = records.read(run), plan.lessons(project.notebooks())
    rows = pages.ledger(claims.load_claims(), here)
    console.print(pages.closing_table(rows))
    agreements = judging.agreements(here, judging.reference(walk))
    if (departures := judging.table(agreements)).row_count:
        console.print(departures)
    judged = [agreement.agrees for agreement in agreements if agreement.agrees is not None]
    verdicts = Counter(row.verdict for row in rows)
    said = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    console.print(
        f"claims: {said}; {sum(judged)} of {len(judged)} records agree with the committed ones"
    )
    if verdicts[claims.FAILS]:
        raise typer.Exit(FAILED_RUN)


def _points(
    lesson: plan.Lesson, parameters: Sequence[str], zipped: Sequence[str], grid: Path | None
) -> list[dict[str, Any]]:
    """The parameter sets that a file and the command line ask for together."""
    from greenai_nb.suite.sweep.grid import GridFile, points, read_grid

    file = read_grid(grid) if grid else GridFile({})
    groups = [[name.strip() for name in group.split(",")] for group in zipped]
    return points(lesson.parameters, file.parameters | parse_assignments(parameters), file.zip + groups)


def _announce(whole: "Sweep", todo: int, left_out: int) -> None:
    """Say how many runs there are, and what they will take."""
    done = len(whole.tasks) - todo - left_out
    console.print(
        f"{whole.lesson.name}: {len(whole.tasks)} runs, {done} done before, {left_out} failed before "
        f"(--retry runs them again), {todo} to do; {whole.store.address}",
        soft_wrap=True,
    )
    if todo and (cost := whole.cost()):
        minutes = todo * cost[0] / whole.workers / 60
        console.print(f"about {minutes:.1f} minutes, {cost[1]:.0f} MB a run, from what is recorded")


def _run(todo: Sequence["Task"], workers: int, scheduler: str | None) -> list["End"]:
    """Run on a cluster, and say at every end how many are done, have failed and are left."""
    from greenai_nb.suite.sweep import cluster

    counts, start = Counter[str](), time.monotonic()

    def watch(end: "End") -> None:
        counts[end.status] += 1
        left = len(todo) - counts.total()
        minutes = (time.monotonic() - start) / counts.total() * left / 60
        said = ", ".join(f"{count} {status}" for status, count in counts.items())
        running = min(left, workers)
        console.print(
            f"{said}, {running} running, {left} left, about {minutes:.1f} minutes", soft_wrap=True
        )

    with interruptible("runs"), cluster.cluster(min(workers, len(todo)), scheduler) as client:
        console.print(f"dashboard: {client.dashboard_link}", soft_wrap=True)
        return cluster.run(client, todo, watch)


def _write_page(address: str) -> None:
    """The page of a store, written beside its runs, to whose notebooks it links."""
    from greenai_nb.lesson.claims import load_claims
    from greenai_nb.suite.sweep import report
    from greenai_nb.suite.sweep.store import Store, as_folder
    from greenai_nb.suite.sweep.table import collect, failures

    store = Store(address)
    if not store.fingerprints():
        return
    with as_folder(address) as folder:
        page = report.page(folder, collect(folder), failures(folder), load_claims())
    store.write("index.html", page.encode())
    console.print(f"open {address}/index.html", soft_wrap=True)
