"""The commands for what runs have left: ``greenai sweep``, ``report`` and ``verify``."""

import signal
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenai_nb import machine
from greenai_nb.checks import UsageError
from greenai_nb.lesson import project
from greenai_nb.lesson.parameters import parse_assignments
from greenai_nb.suite.run import plan
from greenai_nb.suite.run.progress import console, errors

if TYPE_CHECKING:
    from greenai_nb.suite.sweep.cluster import Task
    from greenai_nb.suite.sweep.store import Store

FAILED_RUN, INTERRUPTED = 1, 130
HISTORY = 100  # runs of a store that are asked what they took
SAFE_SHARE = 0.9  # of the machine's memory, that runs side by side may be predicted to take


def sweep(
    notebook: Annotated[str, typer.Argument(help="A notebook by name or number.")],
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "-p", "--parameter", metavar="NAME=GRID", help="As 1,2,3 or 0..9 or log(1e-5,1,6)."
        ),
    ] = None,
    grid: Annotated[Path | None, typer.Option(help="A YAML file with parameters and zip.")] = None,
    zipped: Annotated[
        list[str] | None, typer.Option("--zip", metavar="A,B", help="Names that move together.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Size: ci, tutorial or paper.")] = "tutorial",
    out: Annotated[
        str | None, typer.Option(help="Folder or fsspec address; results/sweep/NOTEBOOK by default.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Of the local cluster; one a core by default.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler that runs already, as tcp://host:8786.")
    ] = None,
    memory_mb: Annotated[float | None, typer.Option(min=1, help="Memory that a run may use.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.001, help="Time that a run may take.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Run again what has failed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Start though memory may not do.")] = False,
) -> None:
    """Run one notebook at many settings on a Dask cluster; the same command goes on where it was."""
    from greenai_nb.suite.run import runner
    from greenai_nb.suite.run.kernel import FAILED, Limits
    from greenai_nb.suite.sweep import cluster as engine
    from greenai_nb.suite.sweep import grid as grids
    from greenai_nb.suite.sweep import store

    walk = plan.lessons(project.notebooks())
    (lesson,) = plan.select(walk, [notebook]).values()
    asked, together = grids.read_grid(grid) if grid else ({}, [])
    asked |= parse_assignments(parameters or [])
    together += [[name.strip() for name in group.split(",")] for group in zipped or []]
    points = grids.points(lesson.parameters, asked, together)
    shared = plan.read_profile(project.notebooks(), profile, walk)
    address = out or str(project.root() / "results" / "sweep" / lesson.name)
    address = address if "://" in address else str(Path(address).resolve())
    limits = Limits(memory_mb, 60 * minutes if minutes else None)
    every = engine.tasks(lesson, points, profile, shared, address, limits)
    side_by_side = workers or machine.cores()
    place = store.Store(address)
    place.check()
    time_s, peak_mb = _recorded(lesson, place, profile)
    if not (force or scheduler):
        _refuse_what_does_not_fit(lesson, side_by_side, memory_mb or peak_mb)
    with nullcontext() if "://" in address else runner.results_folder(Path(address)):
        done, failed = place.kept(), place.kept(FAILED)
        missing = [task for task in every if task.fingerprint not in done]
        skipped = [task for task in missing if task.fingerprint in failed and not retry]
        todo = [task for task in missing if task not in skipped]
        console.print(
            f"{lesson.name}: {len(every)} runs, {len(every) - len(missing)} done before, "
            f"{len(skipped)} failed before (--retry runs them again), {len(todo)} to do; {address}",
            soft_wrap=True,
        )
        if todo and time_s and peak_mb:
            expected = len(todo) * time_s / side_by_side / 60
            console.print(f"about {expected:.1f} minutes, {peak_mb:.0f} MB a run, from what is recorded")
        ends = _run(todo, side_by_side, scheduler) if todo else []
    bad = [end for end in ends if end["status"] in (FAILED, engine.REFUSED)]
    for end in bad:
        errors.print(f"[red]{end['fingerprint']} {end['status']}[/red]: {end['error']}", soft_wrap=True)
    _write_page(address)
    if bad or skipped:
        raise typer.Exit(FAILED_RUN)


def report(
    stores: Annotated[list[str], typer.Argument(help="The stores of one or more sweeps.")],
    table: Annotated[
        Path | None, typer.Option(help="Write the tidy table here too, as .parquet or .csv.")
    ] = None,
) -> None:
    """Make one offline page of each sweep, and a tidy table of all their records."""
    from greenai_nb.suite.sweep.table import collect, write

    if table:
        write(collect(stores), table)
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

    place = folder or project.root() / "results" / project.DEFAULT_PROFILE
    here, walk = records.read(place), plan.lessons(project.notebooks())
    rows = pages.ledger(claims.load_claims(), here)
    console.print(pages.closing_table(rows))
    found = judging.agreements(here, judging.reference(walk))
    if (departures := judging.table(found)).row_count:
        console.print(departures)
    judged = [each.agrees for each in found if each.agrees is not None]
    verdicts = Counter(row.verdict for row in rows)
    said = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    console.print(
        f"claims: {said}; {sum(judged)} of {len(judged)} records agree with the committed ones"
    )
    if verdicts[claims.FAILS]:
        raise typer.Exit(FAILED_RUN)


def _recorded(
    lesson: plan.Lesson, place: "Store", profile: str
) -> tuple[float, float] | tuple[None, None]:
    """Seconds and MB of a run: of those in the store, or as published, at the same size."""
    found = [
        (receipt["time_s"], receipt["peak_ram_mb"])
        for receipt in place.receipts(HISTORY)
        if (receipt["notebook"], receipt["profile"]) == (lesson.name, profile)
    ]
    if found:
        times, peaks = zip(*found, strict=True)
        return statistics.median(times), max(peaks)
    stamp = lesson.stamp
    return (stamp["time_s"], stamp["peak_ram_mb"]) if stamp.get("profile") == profile else (None, None)


def _refuse_what_does_not_fit(lesson: plan.Lesson, side_by_side: int, need_mb: float | None) -> None:
    limit_mb = machine.memory_limit_mb()
    if limit_mb and need_mb and side_by_side * need_mb > SAFE_SHARE * limit_mb:
        raise UsageError(
            f"{side_by_side} runs of {lesson.name} side by side may take {side_by_side * need_mb:.0f} "
            f"MB, and this machine has {limit_mb:.0f}. Take fewer --workers, or insist with --force."
        )


def _run(todo: Sequence["Task"], workers: int, scheduler: str | None) -> list[dict[str, Any]]:
    """Run on a cluster, and say at every end how many are done, have failed and are left."""
    from greenai_nb.suite.sweep import cluster as engine

    counts, start = Counter[str](), time.monotonic()

    def watch(end: Mapping[str, Any]) -> None:
        counts[end["status"]] += 1
        left = len(todo) - counts.total()
        minutes = (time.monotonic() - start) / counts.total() * left / 60
        said = ", ".join(f"{count} {status}" for status, count in counts.items())
        running = min(left, workers)
        console.print(
            f"{said}, {running} running, {left} left, about {minutes:.1f} minutes", soft_wrap=True
        )

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with engine.cluster(min(workers, len(todo)), scheduler) as client:
            console.print(f"dashboard: {client.dashboard_link}", soft_wrap=True)
            return engine.run(client, todo, watch)
    except KeyboardInterrupt:
        errors.print("stopped; finished runs are kept, the same command goes on")
        raise typer.Exit(INTERRUPTED) from None


def _write_page(address: str) -> None:
    """The page of a store, written beside its runs, to whose notebooks it links."""
    from greenai_nb.lesson.claims import load_claims
    from greenai_nb.suite.sweep import report
    from greenai_nb.suite.sweep.store import Store, as_folder
    from greenai_nb.suite.sweep.table import collect, failures

    place = Store(address)
    if not place.kept():
        return
    with as_folder(address) as folder:
        content = report.page(folder, collect(folder), failures(folder), load_claims())
    place.write("index.html", content)
    console.print(f"open {address}/index.html", soft_wrap=True)
