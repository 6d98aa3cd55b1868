"""What a terminal shows of a run."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from greenai_nb.suite.run.plan import Status
from greenai_nb.suite.run.progress import Board


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(("predicted_s", "left"), [(120.0, "about 2.0 minutes"), (None, "not known")])
def test_the_board_shows_cells_ends_and_minutes_left(terminal, predicted_s, left):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    jobs = [SimpleNamespace(name=name, predicted_s=predicted_s) for name in ("01_a", "02_b")]
    with Board(console, jobs, side_by_side=2) as board:
        for job, status in zip(jobs, (Status.DONE, Status.FAILED), strict=True):
            board.cell(job, 0, 3)
            board.cell(job, 1, 3)
            board.end(job, status)
    shown = console.file.getvalue()
    assert left in shown and "failed" in shown and "01_a" in shown
    assert ("cell 2 of 3" in shown or "done" in shown) if terminal else "02_b: started" in shown
