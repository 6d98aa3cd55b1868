"""The command line ``greenai``: its commands, their options, and what each of them prints."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from typer import Argument, Option

from greenai_nb import machine
from greenai_nb.checks import UsageError
from greenai_nb.files import write_atomic
from greenai_nb.lesson import project, records
from greenai_nb.lesson.claims import FAILS, HOLDS, UNDECIDED, load_claims
from greenai_nb.lesson.parameters import parse_assignments
from greenai_nb.suite.run import fingerprint, plan, progress
from greenai_nb.suite.run import report as pages
from greenai_nb.suite.run import verify as judging
from greenai_nb.suite.run.plan import Outcome
from greenai_nb.suite.run.progress import Board, console, errors, interruptible, say
from greenai_nb.suite.workshop import workspace as own

WRONG_USE = 2
Texts = list[str] | None
Number = float | None
Profile = Annotated[str, Option(help="Size: ci, tutorial or paper.")]
Count = Annotated[int | None, Option(min=1, help="How many at once; one per core by default.")]

app = typer.Typer(
    help="Run the notebooks of greenai-nb and check their numbers against the claims.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command("list")
def list_() -> None:
    """List the notebooks with their parameters, and the time and memory of the last published run."""
    table = Table("notebook", "what it does", "minutes", "MB", "parameters")
    for lesson in _walk().values():
        stamp = lesson.stamp
        minutes = f"{stamp['time_s'] / 60:.1f}" if stamp else "?"
        memory = f"{stamp['peak_ram_mb']:.0f}" if stamp else "?"
        knobs = ", ".join(f"{p.name}={p.default}" for p in lesson.parameters.values())
        table.add_row(lesson.name, lesson.title, minutes, memory, knobs)
    console.print(table)


@app.command()
def run(
    names: Annotated[Texts, Argument(help="Notebooks by name or number; all by default.")] = None,
    profile: Profile = project.DEFAULT_PROFILE,
    parameters: Annotated[
        Texts, Option("-p", "--parameter", metavar="NAME=VALUE", help="Set a parameter.")
    ] = None,
    out: Annotated[Path | None, Option(help="Results folder; results/PROFILE by default.")] = None,
    jobs: Count = None,
    force: Annotated[bool, Option("--force", help="Run everything, and train again.")] = False,
) -> None:
    """Run notebooks side by side and print a verdict for every claim."""
    from greenai_nb.suite.run import runner

    start = time.monotonic()
    walk = _walk()
    chosen = plan.select(walk, names or [])
    side_by_side = min(jobs or machine.cores(), len(walk))
    threads = max(1, machine.cores() // side_by_side)
    settings = plan.read_profile(project.notebooks(), profile, walk)
    overrides = parse_assignments(parameters or [])
    folder = (out or project.home() / "results" / profile).resolve()
    todo = plan.make(chosen, settings, overrides, threads, project.root(), folder, profile)
    for lesson in chosen.values():
        _name_unused(lesson, overrides)
    with runner.results_folder(folder, chosen):
        fresh = [job for job in todo if force or not plan.is_done(job, folder)]
        how = f"{side_by_side} side by side, {threads} thread(s) each"
        say(f"{profile}: {len(fresh)} of {len(todo)} notebooks to run, {how}")
        with interruptible("notebooks"), Board(console, fresh, side_by_side) as board:
            outcomes = runner.run(fresh, folder, profile, side_by_side, board, walk, anew=force)
        failed = [outcome.name for outcome in outcomes if outcome.error]
        results = plan.results(folder, walk)
        _name_left_out(results)
        rows = _ledger(folder) if results else []
        write_atomic(folder / "index.html", pages.page(profile, rows, results, failed))
    say(f"{time.monotonic() - start:.0f} s; open {folder / 'index.html'}")
    progress.exit_if_failed(outcomes)


@app.command()
def verify(
    folder: Annotated[Path | None, Argument(help="A run; results/tutorial by default.")] = None,
    strict: Annotated[bool, Option("--strict", help="Exit with 1 if any claim fails.")] = False,
) -> None:
    """Show the verdict on every claim of a run, and where it departs from the committed one.

    Exits with 1 if a verdict departs. A claim that could not be judged here is not compared.
    """
    run = folder or project.results()
    here, committed = records.read(run), judging.committed(_walk())
    rows = _ledger(run)
    agreements = judging.agreements(here, committed)
    if (differences := judging.differences(agreements)).row_count:
        console.print(differences)
    judged = [agreement.agrees for agreement in agreements if agreement.agrees is not None]
    verdicts = Counter(row.verdict for row in rows)
    said = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    say(f"claims: {said}; {sum(judged)} of {len(judged)} records agree with the committed ones")
    departures, compared = judging.departures(here, committed)
    for departure in departures:
        errors.print(f"[red]{departure}[/red]", soft_wrap=True)
    if not {HOLDS, FAILS, UNDECIDED} & {*verdicts}:
        raise UsageError(f"{run} has no verdicts: run the walk at tutorial size, make run")
    say(f"{compared} verdicts compared with the committed ones, {len(departures)} depart")
    if departures or (strict and verdicts[FAILS]):
        raise typer.Exit(progress.FAILED_RUN)


def _walk() -> plan.Walk:
    """The lessons; prints which other notebooks are in their folder, and which cannot be read."""
    _name_left_out(walk := plan.lessons(project.notebooks()))
    return walk


def _name_left_out(walk: plan.Walk) -> None:
    others = (f"{name} is not part of the walk and is left alone" for name in walk.others)
    for sentence in (*others, *walk.broken.values()):
        say(sentence)


def _name_unused(lesson: plan.Lesson, parameters: Iterable[str]) -> None:
    for name in fingerprint.unused(lesson.content, parameters):
        say(f"{lesson.name}: no cell reads the parameter {name}, so its value changes nothing")


def _ledger(folder: Path) -> list[pages.Row]:
    """Compare the records of a run with the claims, and print the table."""
    rows = pages.ledger(load_claims(), records.read(folder))
    console.print(pages.closing_table(rows))
    return rows


@app.command()
def publish(out: Annotated[Path | None, Option(help="A run, or else results/tutorial.")] = None) -> None:
    """Put the outputs of a tutorial run into the notebooks of the repository, cleaned and stamped."""
    from greenai_nb.suite.run.publish import publish as publish_one

    walk = _walk()
    for lesson in plan.select(walk, []).values():
        publish_one(lesson, walk, project.root(), out or project.results())
        console.print(f"{lesson.name}: {lesson.path.stat().st_size / 1000:.0f} kB")


@app.command()
def sweep(
    notebook: Annotated[str, Argument(help="A notebook by name or number.")],
    parameters: Annotated[
        Texts, Option("-p", "--parameter", metavar="NAME=GRID", help="As 1,2 or 0..9 or log(1e-5,1,6).")
    ] = None,
    grid: Annotated[Path | None, Option(help="A YAML file with parameters and zip.")] = None,
    zipped: Annotated[Texts, Option("--zip", metavar="A,B", help="Names that vary together.")] = None,
    profile: Profile = project.DEFAULT_PROFILE,
    out: Annotated[str | None, Option(help="Folder or URL; results/sweep/NOTEBOOK by default.")] = None,
    workers: Count = None,
    scheduler: Annotated[str | None, Option(help="A running scheduler, as tcp://host:8786.")] = None,
    memory_mb: Annotated[Number, Option(min=1, help="Memory that a run may use.")] = None,
    minutes: Annotated[Number, Option(min=0.001, help="Time that a run may take.")] = None,
    retry: Annotated[bool, Option("--retry", help="Repeat the runs that failed.")] = False,
    force: Annotated[bool, Option("--force", help="Start even if memory may not suffice.")] = False,
) -> None:
    """Run one notebook at many settings on a Dask cluster; the same command resumes it."""
    from greenai_nb.suite.run.kernel import Limits
    from greenai_nb.suite.run.runner import results_folder
    from greenai_nb.suite.sweep import cluster
    from greenai_nb.suite.sweep.grid import points, read_grid
    from greenai_nb.suite.sweep.store import FAILED, Store

    walk = _walk()
    (lesson,) = plan.select(walk, [notebook]).values()
    requested, groups = read_grid(grid) if grid else ({}, [])
    requested |= parse_assignments(parameters or [])
    groups += [[name.strip() for name in group.split(",")] for group in zipped or []]
    settings = points(lesson.parameters, requested, groups)
    _name_unused(lesson, settings[0])
    shared = plan.read_profile(project.notebooks(), profile, walk)
    limits = Limits(memory_mb, 60 * minutes if minutes else None)
    store = Store(out or str(project.home() / "results" / "sweep" / lesson.name))
    tasks = cluster.tasks(lesson, settings, profile, shared, store.address, limits)
    side_by_side = workers or machine.cores()
    store.check()
    time_s, run_mb = cluster.cost(lesson, profile, store)
    if not (force or scheduler):
        cluster.check_memory(side_by_side, memory_mb or run_mb)
    with nullcontext() if "://" in store.address else results_folder(Path(store.address)):
        names = {task.fingerprint for task in tasks}
        done = store.finished(names)
        left_out = set() if retry else store.finished(names, FAILED) - done
        todo = [task for task in tasks if task.fingerprint not in done | left_out]
        before = f"{len(done)} done before, {len(left_out)} failed before (--retry runs them again)"
        say(f"{lesson.name}: {len(tasks)} runs, {before}, {len(todo)} to do; {store.address}")
        if todo and time_s:
            expected = len(todo) * time_s / side_by_side / 60
            say(f"about {expected:.1f} minutes, {run_mb:.0f} MB a run, from what is recorded")
        outcomes = _run_on_cluster(todo, side_by_side, scheduler) if todo else []
    _write_page(store.address)
    progress.exit_if_failed(outcomes)
    if left_out:
        raise typer.Exit(progress.FAILED_RUN)


def _run_on_cluster(todo: Sequence[Any], workers: int, scheduler: str | None) -> list[Outcome]:
    """Run on a cluster, and say after each run how many are done, have failed and are left."""
    from greenai_nb.suite.sweep import cluster

    counts, start = Counter[str](), time.monotonic()

    def watch(outcome: Outcome) -> None:
        counts[outcome.status] += 1
        left = len(todo) - counts.total()
        minutes = (time.monotonic() - start) / counts.total() * left / 60
        said = ", ".join(f"{count} {status}" for status, count in counts.items())
        say(f"{said}, {min(left, workers)} running, {left} left, about {minutes:.1f} minutes")

    with interruptible("runs"), cluster.cluster(min(workers, len(todo)), scheduler) as client:
        say(f"dashboard: {client.dashboard_link}")
        return cluster.run(client, todo, watch)


@app.command()
def report(
    stores: Annotated[list[str], Argument(help="The stores of one or more sweeps.")],
    table: Annotated[Path | None, Option(help="Write all records here, as .csv.")] = None,
) -> None:
    """Make one offline page of each sweep, and a tidy table of all their records."""
    from greenai_nb.suite.sweep.store import Store
    from greenai_nb.suite.sweep.table import write

    if table:
        write(stores, table)
        say(f"table: {table}")
    for address in stores:
        if not Store(address).fingerprints():
            raise UsageError(f"no finished runs in {address}. Make them first: greenai sweep --out ...")
        _write_page(address)


def _write_page(address: str) -> None:
    """Write the page of a store beside its runs, to whose notebooks it links."""
    from greenai_nb.suite.sweep import report
    from greenai_nb.suite.sweep.store import Store
    from greenai_nb.suite.sweep.table import collect, failures

    store = Store(address)
    if not store.fingerprints():
        return
    with store.as_folder() as folder:
        page = report.page(folder, collect(folder), failures(folder), load_claims())
    store.write("index.html", page.encode())
    say(f"open {address}/index.html")


@app.command()
def workspace(
    folder: Annotated[Path, Argument(help="A new folder, or a workspace to bring up to date.")],
) -> None:
    """Copy the walk to a folder of your own; run again, it updates what you have not edited."""
    new = _lay_out(folder, own.NEW)
    say(f"{new or 'no'} new files. Open it with: greenai lab --workspace {folder}")


@app.command(context_settings={"ignore_unknown_options": True})
def lab(
    options: Annotated[Texts, Argument(help="Options for Jupyter, such as --port=9000.")] = None,
    folder: Annotated[Path | None, Option("--workspace", help="workspace/ by default.")] = None,
) -> None:
    """Open JupyterLab on this machine, in a workspace, so that the checkout stays unchanged."""
    from greenai_nb.suite.workshop import lab as server

    chosen = (folder or project.home() / "workspace").resolve()
    _lay_out(chosen, own.NEW, own.KEPT)
    say(f"JupyterLab runs in {chosen}; Ctrl-C ends it")
    server.start(chosen, options or [])


@app.command("record-trace", context_settings={"ignore_unknown_options": True, "help_option_names": []})
def record_trace(
    arguments: Annotated[Texts, Argument(help="A new folder, --gpu N, --interval-ms 1 10 100.")] = None,
) -> None:
    """Record a GPU's power and energy during training and inference, to be replayed elsewhere."""
    command = [sys.executable, "-m", "greenai_nb.energy.record_trace", *(arguments or ["--help"])]
    raise typer.Exit(subprocess.call(command))


def _lay_out(folder: Path, *unsaid: str) -> int:
    """Make or update a workspace, and print what changed; returns the number of new files."""
    changes = own.update(project.root(), folder)
    for change in changes:
        if change.kind not in unsaid:
            say(change.sentence)
    return sum(change.kind == own.NEW for change in changes)


def main() -> None:
    """Run the command line; a usage error is printed as one sentence, with exit code 2."""
    try:
        app()
    except UsageError as error:
        errors.print(f"[red]{error}[/red]", soft_wrap=True)
        raise SystemExit(WRONG_USE) from None
    except OSError as error:
        errors.print(f"[red]the system refused: {error}; finished runs are kept[/red]", soft_wrap=True)
        raise SystemExit(progress.FAILED_RUN) from None
