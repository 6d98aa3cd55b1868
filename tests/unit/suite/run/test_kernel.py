"""A notebook in a kernel of its own: what is injected, measured, limited, and said when it dies."""

import os
import threading
import time
from pathlib import Path

import psutil
import pytest
from notebook_files import PARAMETERS, cell, write_notebook

from greenai_nb.suite.run import kernel, plan
from greenai_nb.suite.run.kernel import Limits

WAIT = cell("import time; time.sleep(60)")


@pytest.fixture
def execute(tmp_path):
    """Execute cells in a notebook with the parameters threads and n."""

    def call(*cells, n=3, **options):
        lesson = plan.read_lesson(write_notebook(tmp_path / "01_cells.ipynb", PARAMETERS, *cells))
        job = plan.Job(lesson, lesson.defaults | {"threads": 2, "n": n}, "mark")
        return kernel.execute(job, tmp_path / "out", "ci", **options)

    return call


def texts(execution):
    return [
        output.text
        for part in execution.notebook.cells
        for output in part.get("outputs", ())
        if output.output_type == "stream"
    ]


def test_parameters_threads_and_the_run_reach_the_kernel(execute, tmp_path):
    show = cell(
        "import os\nprint(n)\nprint(os.environ['OMP_NUM_THREADS'], os.environ['GREENAI_RESULTS'],"
        " os.environ['GREENAI_PROFILE'], os.environ['GREENAI_NOTEBOOK'])"
    )
    began = []
    execution = execute(show, n=7, on_cell=lambda *where: began.append(where))
    assert execution.error == "" and texts(execution) == [f"7\n2 {tmp_path / 'out'} ci 01_cells\n"]
    assert began == [(index, 4) for index in range(4)]
    codes = [part for part in execution.notebook.cells if part.cell_type == "code"]
    assert [part.execution_count for part in codes] == [1, 2, 3]
    assert codes[1].metadata.tags == ["injected-parameters"] and "n = 7" in codes[1].source
    assert not {"papermill", "widgets"} & execution.notebook.metadata.keys()


@pytest.mark.skipif(
    os.name != "posix", reason="kernels are reached by TCP where there are no Unix sockets"
)
def test_a_kernel_needs_no_port_that_another_could_take(execute):
    show = "from ipykernel.kernelapp import IPKernelApp as App\nwhere = App.instance().ip"
    execution = execute(cell(f"{show}\nprint(App.instance().transport, where)"))
    transport, where = texts(execution)[0].split()
    assert transport == "ipc" and not Path(where).parent.exists()


def test_kernels_find_the_same_machine_code_whatever_they_import_first(execute):
    first = "import numba\nf = numba.njit(lambda x: x)\nf(1)\n"
    show = "from numba.core.registry import cpu_target\nimport greenai_nb.compiled\n"
    show += "print(cpu_target.target_context.codegen().magic_tuple())"
    late, early = execute(cell(first + show)), execute(cell(show))
    assert texts(late) == texts(early)


def test_the_peak_is_the_largest_memory_though_it_was_given_back(execute):
    small, large = execute(cell("x = 1")), execute(cell("x = b'1' * 200_000_000\ndel x"), cell("1"))
    base, hoard = (each.notebook.metadata.greenai["peak_ram_mb"] for each in (small, large))
    assert 30 < base < 150 and 190 < hoard - base < 215


def test_a_cell_that_fails_is_told_and_the_rest_is_not_run(execute):
    old = cell("print('never')") | {
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "old"}]
    }
    execution = execute(cell("assert n != 3, 'three is not liked'"), old)
    assert (execution.cell, execution.error) == (3, "AssertionError: three is not liked")
    assert texts(execution) == []


def test_a_kernel_that_is_killed_is_told_with_its_cell(execute):
    execution = execute(cell("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert execution.cell == 3 and "the kernel was killed" in execution.error


@pytest.mark.parametrize(
    ("code", "limits", "said"),
    [
        ("while True: pass", Limits(time_s=0.5), "more than 0.5 s"),
        (
            "x = b'1' * 300_000_000\nimport time; time.sleep(60)",
            Limits(memory_mb=250),
            "more than 250 MB",
        ),
    ],
)
def test_a_limit_ends_the_kernel_with_a_sentence(execute, code, limits, said):
    execution = execute(cell(code), limits=limits)
    assert execution.cell == 3 and said in execution.error and "was stopped" in execution.error


def test_when_stopped_the_kernel_ends_with_its_children(execute):
    stop, begun = threading.Event(), []
    start = cell(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid)"
    )

    def on_cell(index, of):
        begun.append(time.monotonic())
        if index == of - 1:
            stop.set()

    execution = execute(start, WAIT, on_cell=on_cell, stop=stop)
    assert execution.error == "it was stopped" and time.monotonic() - begun[-1] < 20
    child = int(texts(execution)[0])
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_kernels_in_several_threads_know_nothing_of_each_other(tmp_path):
    show = cell("print(threads)\nimport os; print(os.environ['NUMBA_NUM_THREADS'])")
    lesson = plan.read_lesson(write_notebook(tmp_path / "01_shows.ipynb", PARAMETERS, show))
    ended = {}

    def work(threads):
        job = plan.Job(lesson, lesson.defaults | {"threads": threads}, "mark")
        ended[threads] = kernel.execute(job, tmp_path, "ci")

    workers = [threading.Thread(target=work, args=(threads,)) for threads in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert {threads: texts(execution) for threads, execution in ended.items()} == {
        threads: [f"{threads}\n{threads}\n"] for threads in (1, 2)
    }
