"""What the terminal shows during a run: which notebook, which cell, minutes left."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from greenai_nb.suite.run.plan import Job, Outcome, Status

FAILED_RUN, INTERRUPTED = 1, 130  # exit codes
PLAIN_WIDTH = 140
console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
errors = Console(stderr=True)


def say(text: str) -> None:
    """Print a line as it is, however long."""
    console.print(text, soft_wrap=True)


def exit_if_failed(outcomes: Sequence[Outcome]) -> None:
    """Print which runs failed, and at which cell; exit with code 1 if any did."""
    failed = [outcome for outcome in outcomes if outcome.error]
    for run in failed:
        where = "" if run.cell is None else f" at cell {run.cell + 1}"
        errors.print(f"[red]{run.name} {run.status}{where}[/red]: {run.error}", soft_wrap=True)
    if failed:
        raise typer.Exit(FAILED_RUN)


@contextmanager
def interruptible(what: str) -> Iterator[None]:
    """End an interrupted command with one sentence and the exit code of an interruption."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        errors.print(f"stopped; finished {what} are kept, the same command goes on")
        raise typer.Exit(INTERRUPTED) from None


class Board(Progress):
    """A progress bar for each notebook; where there is no terminal, a printed line for each event."""

    def __init__(self, console: Console, jobs: Sequence[Job], side_by_side: int) -> None:
        columns = (BarColumn(bar_width=24), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
        name, is_still = TextColumn("{task.description}"), not console.is_terminal
        super().__init__(name, *columns, console=console, disable=is_still)
        self._side_by_side = side_by_side
        for job in jobs:
            time_s = job.predicted_s
            self.add_task(job.name, start=False, total=None, state="waiting", predicted_s=time_s)
        self._lines = {line.description: line for line in self.tasks}
        self._all = self.add_task("[bold]all[/bold]", total=len(jobs), state=self._left())

    def cell(self, job: Job, cell: int, of: int) -> None:
        """Show that a cell begins, the notebook's first one or a later one."""
        line = self._lines[job.name].id
        if cell == 0:
            self.start_task(line)
            self._say(f"{job.name}: started")
        self.update(line, completed=cell, total=of, state=f"cell {cell + 1} of {of}")
        self.update(self._all, state=self._left())

    def end(self, job: Job, status: Status) -> None:
        """Show that a notebook has ended."""
        line = self._lines[job.name]
        self.stop_task(line.id)
        if status == Status.FAILED:
            self.update(line.id, state="[red]failed[/red]")
        else:
            self.update(line.id, completed=line.total, state=status)
        self.update(self._all, advance=1, state=self._left())
        self._say(f"{job.name}: {status} after {line.elapsed or 0:.0f} s")

    def _say(self, event: str) -> None:
        if self.disable:
            self.console.print(f"{event}; {self._left()}", highlight=False)

    def _left(self) -> str:
        """Time left, from what each notebook took when it last ran with these parameters."""
        running = [line for line in self._lines.values() if line.stop_time is None]
        if any(line.fields["predicted_s"] is None for line in running):
            return f"{len(running)} left, minutes not known at this size yet"
        rest = [max(0.0, line.fields["predicted_s"] - (line.elapsed or 0.0)) for line in running]
        seconds = max(sum(rest) / self._side_by_side, max(rest, default=0.0))
        return f"about {seconds / 60:.1f} minutes left"
