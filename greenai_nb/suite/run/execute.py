"""Execute one notebook in this process and say on standard output how it goes.

Run by the runner as ``python -m greenai_nb.suite.run.execute``, with a line of JSON on standard input:
``notebook`` and ``output`` (paths), ``parameters``. Each line of the answer is a JSON object with
an ``event``: ``cell``, ``done`` or ``failed``. When standard input ends, the runner is gone, and
this process ends with its kernel.
"""

import json
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Read the order, execute, report; a failing notebook is reported and not raised."""
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_runner, daemon=True).start()
    channel = sys.stdout
    sys.stdout = sys.stderr

    def say(event: str, **details: Any) -> None:
        print(json.dumps({"event": event, **details}), file=channel, flush=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    start = time.perf_counter()
    try:
        _execute(order["notebook"], order["output"], order["parameters"], say)
    except Exception as error:
        say("failed", **_describe(error))
    else:
        say("done", time_s=time.perf_counter() - start, peak_ram_mb=_peak_of_kernel_mb())


def _execute(notebook: str, output: str, parameters: dict[str, Any], say: Callable[..., None]) -> None:
    import papermill
    from papermill.engines import NBClientEngine, papermill_engines

    class Announcing(NBClientEngine):  # type: ignore[misc]
        """Papermill's engine, saying which cell begins."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **settings: Any) -> None:
            begin = nb_man.cell_start

            def announced(cell: Any, cell_index: int | None = None, **rest: Any) -> None:
                say("cell", cell=cell_index, of=len(nb_man.nb.cells))
                begin(cell, cell_index, **rest)

            nb_man.cell_start = announced
            super().execute_managed_notebook(nb_man, kernel_name, **settings)

    papermill_engines.register("announcing", Announcing)
    logging.getLogger("papermill").setLevel(logging.ERROR)
    papermill.execute_notebook(
        _literal(notebook),
        _literal(output),
        parameters,
        engine_name="announcing",
        kernel_name="python3",
        progress_bar=False,
    )


def _end_with_the_runner() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _literal(path: str) -> str:
    """Papermill formats paths; braces in a folder's name are meant as they are."""
    return path.replace("{", "{{").replace("}", "}}")


def _describe(error: Exception) -> dict[str, Any]:
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        return {"cell": error.cell_index, "error": f"{error.ename}: {error.evalue}"}
    return {"cell": None, "error": f"{type(error).__name__}: {error}"}


def _peak_of_kernel_mb() -> float:
    """Largest resident memory among the processes that have ended, which is the kernel's."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
