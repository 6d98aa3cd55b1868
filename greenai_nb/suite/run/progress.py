"""What a terminal shows of a run: which notebook, which cell, minutes left."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from greenai_nb.suite.run.plan import Job, Status

PLAIN_WIDTH = 140
console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
errors = Console(stderr=True)
INTERRUPTED = 130


@contextmanager
def interruptible(what: str) -> Iterator[None]:
    """End an interrupted command with a sentence, and with the exit code that says so."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        errors.print(f"stopped; finished {what} are kept, the same command goes on")
        raise typer.Exit(INTERRUPTED) from None


class Board:
    """A line for each notebook; on a terminal they move, elsewhere each event is printed once."""

    def __init__(self, console: Console, jobs: Sequence[Job], side_by_side: int) -> None:
        self._console, self._side_by_side = console, side_by_side
        columns = (BarColumn(bar_width=24), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
        self._bars = Progress(TextColumn("{task.description}"), *columns, console=console)
        self._predicted_s = {job.name: job.predicted_s for job in jobs}
        self._lines = {
            job.name: self._bars.add_task(job.name, start=False, total=None, state="waiting")
            for job in jobs
        }
        self._all = self._bars.add_task("[bold]all[/bold]", total=len(jobs), state=self._left())

    @contextmanager
    def shown(self) -> Iterator["Board"]:
        """Show the board while the run goes on."""
        if self._console.is_terminal:
            with self._bars:
                yield self
        else:
            yield self

    def cell(self, job: Job, cell: int, of: int) -> None:
        """A cell begins, the notebook's first one or a later one."""
        line = self._lines[job.name]
        if cell == 0:
            self._bars.start_task(line)
            self._say(f"{job.name}: started")
        self._bars.update(line, completed=cell, total=of, state=f"cell {cell + 1} of {of}")
        self._bars.update(self._all, state=self._left())

    def end(self, job: Job, status: Status) -> None:
        """A notebook has ended."""
        line = self._bars.tasks[self._lines[job.name]]
        self._bars.stop_task(line.id)
        if status == Status.FAILED:
            self._bars.update(line.id, state="[red]failed[/red]")
        else:
            self._bars.update(line.id, completed=line.total, state=status)
        self._bars.update(self._all, advance=1, state=self._left())
        self._say(f"{job.name}: {status} after {line.elapsed or 0:.0f} s")

    def _say(self, event: str) -> None:
        if not self._console.is_terminal:
            self._console.print(f"{event}; {self._left()}", highlight=False)

    def _left(self) -> str:
        """Time left, from what each notebook took when it last ran with these parameters."""
        lines = {name: self._bars.tasks[line] for name, line in self._lines.items()}
        running = [name for name, line in lines.items() if line.stop_time is None]
        if None in self._predicted_s.values():
            return f"{len(running)} left, minutes not known at this size yet"
        gone_s = {name: line.elapsed or 0.0 for name, line in lines.items()}
        rest = [max(0.0, (self._predicted_s[name] or 0.0) - gone_s[name]) for name in running]
        seconds = max(sum(rest) / self._side_by_side, max(rest, default=0.0))
        return f"about {seconds / 60:.1f} minutes left"
