"""What a terminal shows of a run: which notebook, which cell, minutes left."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from greenai_nb.suite.run.plan import Job

PLAIN_WIDTH = 140
console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
errors = Console(stderr=True)
MARKS = {"done": "done", "failed": "[red]failed[/red]"}


class Board:
    """A line for each notebook; on a terminal they move, elsewhere each event is printed once."""

    def __init__(self, console: Console, jobs: Sequence[Job], side_by_side: int) -> None:
        self.console, self.side_by_side = console, side_by_side
        self.predicted = {job.name: job.predicted_s for job in jobs}
        self.started: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.guard = threading.Lock()
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self.lines: dict[str, TaskID] = {
            job.name: self.bars.add_task(job.name, start=False, total=None, state="waiting")
            for job in jobs
        }
        self.total = self.bars.add_task("[bold]all[/bold]", total=len(jobs), state=self.left())

    @contextmanager
    def shown(self) -> Iterator["Board"]:
        """Show the board while the run goes on."""
        if self.console.is_terminal:
            with self.bars:
                yield self
        else:
            yield self

    def watch(self, job: Job, event: Mapping[str, Any]) -> None:
        """Take in an event of a job."""
        with self.guard:
            if event["event"] == "cell":
                self._cell(job.name, event["cell"], event["of"])
            else:
                self._end(job.name, event["event"])
            self.bars.update(self.total, state=self.left())

    def left(self) -> str:
        """Time left, from what each notebook took when it last ran with these parameters."""
        if any(seconds is None for seconds in self.predicted.values()):
            return f"{len(self.predicted) - len(self.ended)} left, minutes not known at this size yet"
        now = time.monotonic()
        rest = [
            max(0.0, (seconds or 0.0) - (now - self.started.get(name, now)))
            for name, seconds in self.predicted.items()
            if name not in self.ended
        ]
        seconds = max(sum(rest) / self.side_by_side, max(rest, default=0.0))
        return f"about {seconds / 60:.1f} minutes left"

    def _cell(self, name: str, cell: int, of: int) -> None:
        line = self.lines[name]
        if name not in self.started:
            self.started[name] = time.monotonic()
            self.bars.start_task(line)
            self._say(f"{name}: started; {self.left()}")
        self.bars.update(line, completed=cell, total=of, state=f"cell {cell + 1} of {of}")

    def _end(self, name: str, how: str) -> None:
        if name in self.ended:
            return
        self.ended[name] = time.monotonic()
        line = self.lines[name]
        self.bars.update(line, state=MARKS[how])
        if how == "done":
            self.bars.update(line, total=1, completed=1)
        self.bars.stop_task(line)
        self.bars.advance(self.total)
        seconds = self.ended[name] - self.started.get(name, self.ended[name])
        self._say(f"{name}: {how} after {seconds:.0f} s; {self.left()}")

    def _say(self, text: str) -> None:
        if not self.console.is_terminal:
            self.console.print(text, highlight=False)
