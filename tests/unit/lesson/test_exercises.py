"""Exercises: every solution and misconception of the walk, and answers that misbehave."""

import ast
import inspect
import json
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace

import cloudpickle
import numpy as np
import psutil
import pytest
import torch

from greenai_nb.checks import UsageError
from greenai_nb.lesson import exercises, grading, project, sandbox
from greenai_nb.lesson.exercises import Exercise, exercise, exercises_of, judge, progress
from greenai_nb.lesson.grading import run_cases, same
from greenai_nb.machine import INTERACTIVE_VARIABLE
from greenai_nb.suite.run import plan
from greenai_nb.suite.run.fingerprint import code_cells

WALK = plan.lessons(project.notebooks())
ASKED = {(name, asked) for name in WALK for asked in exercises_of(name)}
MISTAKES = [
    pytest.param(name, asked, mistake.__name__, id=f"{name[:2]}-{asked}-{mistake.__name__}")
    for name, asked in sorted(ASKED)
    for mistake in exercises_of(name)[asked].misconceptions
]


def stubs(name):
    """The stubs in a notebook's cells by the exercise that they stand for."""
    found = {}
    for text in code_cells(WALK[name].content):
        for notebook, asked in re.findall(r'^exercise\("(\w+)", (\w+)\)$', text, re.M):
            assert notebook == name
            (tree,) = (each for each in ast.parse(text).body if isinstance(each, ast.FunctionDef))
            found[asked] = ast.get_source_segment(text, tree)
    return found


def lines_of(source):
    """The lines of a function below its docstring."""
    tree = ast.parse(source).body[0]
    return [line.strip() for line in source.splitlines()[tree.body[0].end_lineno :] if line.strip()]


@pytest.mark.parametrize("name", WALK)
def test_each_notebook_asks_two_or_three_exercises_of_three_misconceptions_or_more(name):
    found = exercises_of(name)
    assert len(found) in (2, 3)
    assert set(stubs(name)) == set(found)
    assert all(len(each.misconceptions) >= 3 for each in found.values())


@pytest.mark.parametrize(("name", "asked"), sorted(ASKED))
def test_solutions_are_right_short_and_hold_a_hint(name, asked):
    found = exercises_of(name)[asked]
    assert judge(found, found.solution).word == "right"
    assert found.solution.__doc__.startswith("Hint: ")
    assert len(lines_of(inspect.getsource(found.solution))) <= 8


@pytest.mark.parametrize(("name", "asked"), sorted(ASKED))
def test_stubs_are_not_started_and_become_the_solution_when_the_gap_is_filled(name, asked):
    source, solution = stubs(name)[asked], exercises_of(name)[asked].solution
    scope = {}
    exec(source, scope)
    assert judge(exercises_of(name)[asked], scope[asked]).word == "not started"
    assert inspect.signature(scope[asked]) == inspect.signature(solution)
    assert scope[asked].__doc__ and scope[asked].__doc__ != solution.__doc__
    filled = iter(lines_of(inspect.getsource(solution)))
    given = [line for line in lines_of(source) if "..." not in line]
    assert all(line in filled for line in given), "the stub's own lines are the solution's, in order"


def explanation(misconception):
    return " ".join(misconception.__doc__.split())


@pytest.mark.parametrize(("name", "asked", "mistake"), MISTAKES)
def test_each_misconception_is_wrong_and_told_so_in_its_own_words(name, asked, mistake):
    found = exercises_of(name)[asked]
    (wrong,) = (each for each in found.misconceptions if each.__name__ == mistake)
    verdict = judge(found, wrong)
    counter_example, *told = verdict.sentences.splitlines()
    assert verdict.word == "wrong" and counter_example.startswith(f"{asked}(")
    assert told == [explanation(wrong)] and len(told[0]) > 30
    assert [explanation(each) for each in found.misconceptions].count(told[0]) == 1


def double(numbers):
    """Hint: twice each."""
    return [2 * number for number in numbers]


def squared(numbers):
    """You square the numbers."""
    return [number**2 for number in numbers]


DOUBLE = Exercise("double", double, [([2.0],), ([3.0],), ([1.0, 4.0],)], [squared])


def said_of(answer, seconds=60.0):
    verdict = judge(DOUBLE, answer, seconds)
    assert verdict.word == "wrong"
    return verdict.sentences


def test_the_counter_example_is_the_smallest_and_the_words_are_for_that_mistake_alone():
    said = said_of(squared).splitlines()
    assert said == ["double([3.0]) gave [9.0], should be [6.0]", "You square the numbers."]
    other = said_of(lambda numbers: [7.0] * len(numbers))
    assert other == "double([2.0]) gave [7.0], should be [4.0]"


def raises(error):
    def answer(numbers):
        raise error

    return answer


def recurses(numbers):
    return recurses(numbers)


def hoards_memory(numbers):
    kept = []
    while True:
        kept.append(bytearray(10**8))


ENDED = "ended the process in which it ran"


class RudeError(Exception):
    def __str__(self):
        raise self


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (raises(ValueError("no")), "raised ValueError: no"),
        (raises(SystemExit()), "raised SystemExit"),
        (raises(KeyboardInterrupt()), "raised KeyboardInterrupt"),
        (raises(RudeError()), "raised RudeError"),
        (recurses, "raised RecursionError: maximum recursion depth exceeded"),
        (hoards_memory, "raised MemoryError"),
        (lambda numbers: input(), "raised EOFError: nobody can type here: take all values"),
        (lambda: 1, "raised TypeError: <lambda>() takes 0 positional arguments but 1 was given"),
        (lambda numbers: sys.stdout.write(b"4.0"), "raised TypeError: sequence item 0: expected str"),
        (lambda numbers: os._exit(0), ENDED),
        (lambda numbers: os.kill(os.getpid(), signal.SIGSEGV), ENDED),
        (lambda numbers: os.closerange(3, 4096), "gave None, should be [4.0]"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
def test_an_answer_that_fails_is_told_how_and_in_which_case(answer, said):
    assert said_of(answer).startswith(f"double([2.0]) {said}")


class Strange:
    def __repr__(self):
        raise RuntimeError

    __float__ = __len__ = __repr__


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("4.0", "gave '4.0', should be [4.0]"),
        (4.0, "gave 4.0, should be [4.0]"),
        ([[4.0]], "gave [[4.0]], should be [4.0]"),
        ([4.0, 0.0], "gave [4.0, 0.0], should be [4.0]"),
        ([math.nan], "gave [nan], should be [4.0]"),
        (["4.0"], "gave ['4.0'], should be [4.0]"),
        ({4.0: 4.0}, "gave {4.0: 4.0}, should be [4.0]"),
        ([4.0 + 1e-7], "gave [4.0000001] (list), should be [4.0] (list)"),
        (None, "gave None, should be [4.0]: does every path through it end with a return?"),
        (Strange(), "gave <Strange instance"),
        ([0.0] * 10**6, "gave [0.0, 0.0, "),
    ],
)
def test_results_of_the_wrong_kind_are_shown_beside_the_right_one(result, said):
    shown = said_of(lambda numbers: result)
    assert shown.startswith(f"double([2.0]) {said}") and len(shown) < 500


@pytest.mark.parametrize(
    ("got", "expected", "equal"),
    [
        (np.array([4.0]), [4.0], True),
        (torch.tensor([4.0, 1.0]), [4.0, 1.0], True),
        ((4,), [4.0], True),
        (np.float32(0.5), 0.5, True),
        (np.array([4.0]), 4.0, False),
        (4 + 0j, 4.0, False),
        (10**400, 4.0, False),
        (np.bool_(True), True, True),
        (1, True, False),
        ("fails", "holds", False),
        ((3, "measured"), (3.0, "measured"), True),
        ((3, "estimated"), (3.0, "measured"), False),
    ],
)
def test_arrays_and_lists_are_alike_and_kinds_are_not(got, expected, equal):
    assert same(got, expected) is equal


SOON = 1.0  # seconds: enough for an ordinary answer on a busy machine


def loops(numbers):
    while True:
        pass


def loops_and_catches_everything(numbers):
    while True:
        try:  # noqa: SIM105
            time.sleep(1)
        except:  # noqa: E722
            pass


@pytest.mark.parametrize("answer", [loops, loops_and_catches_everything])
def test_an_endless_loop_is_stopped(answer):
    assert said_of(answer, SOON) == "double([2.0]) had no answer after 1 s: does a loop in it never end?"


def test_a_counter_example_that_was_found_is_said_though_a_later_case_never_ends():
    said = said_of(lambda numbers: loops(numbers) if len(numbers) > 1 else [5.0], SOON)
    assert said == "double([2.0]) gave [5.0], should be [4.0]"


def test_an_answer_that_changes_what_it_was_given_is_told_so():
    def answer(numbers):
        for at, number in enumerate(numbers):
            numbers[at] = 2 * number
        return numbers

    assert said_of(answer).startswith(
        "double([2.0]) gave the right result, but changed its arguments to ([4.0])"
    )
    assert DOUBLE.cases[0] == ([2.0],)


def test_prints_are_shown_for_the_counter_example_in_moderation(capfd):
    def answer(numbers):
        for number in range(10_000):
            print(number, file=sys.stderr if number % 2 else sys.stdout)
        os.write(1, b"past Python")
        return numbers if numbers == [3.0] else double(numbers)

    lines = said_of(answer).splitlines()
    assert lines[:3] == ["double([3.0]) gave [3.0], should be [6.0]", "It printed:", "  0"]
    assert len(lines) == 2 + exercises.MAX_LINES
    assert capfd.readouterr() == ("", "")


def test_of_a_flood_only_the_beginning_reaches_the_reader():
    def answer(numbers):
        for _ in range(100):
            print("x" * 1000, end="")

    assert len(said_of(answer)) < grading.MAX_PRINTED + 200


def test_prints_of_a_loop_are_shown():
    def answer(numbers):
        while True:
            print("again")

    assert said_of(answer, SOON).splitlines()[1:4] == ["It printed:", "  again", "  again"]


@pytest.fixture
def two_threads():
    """Torch with two threads, and work that has started both."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.randn(600, 600) @ torch.randn(600, 600)
    yield
    torch.set_num_threads(before)


def test_torch_works_in_the_child_after_it_used_threads_in_the_parent(two_threads):
    def answer(numbers):
        layer = torch.nn.Linear(600, 600)
        layer(torch.ones(600, 600)).sum().backward()
        return 2 * torch.tensor(numbers)

    assert judge(DOUBLE, answer, 20).word == "right"
    assert torch.get_num_threads() == 2


def belongings():
    """The children of this process, and how many files it has open."""
    return psutil.Process().children(), psutil.Process().num_fds()


def test_nothing_is_left_of_a_child():
    judge(DOUBLE, double)
    before = belongings()
    for answer in (double, squared, loops, recurses, lambda numbers: os._exit(1)):
        judge(DOUBLE, answer, SOON)
    assert belongings() == before and multiprocessing.active_children() == []


def test_what_an_answer_starts_ends_with_it(tmp_path):
    def answer(numbers):
        started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (tmp_path / "pid").write_text(str(started.pid))
        return double(numbers)

    assert judge(DOUBLE, answer, 20).word == "right"
    started = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(started) or psutil.Process(started).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_a_group_that_is_gone_is_no_error(monkeypatch, error):
    def gone(*_):
        raise error

    monkeypatch.setattr(os, "killpg", gone)
    assert judge(DOUBLE, double).word == "right"


@pytest.fixture
def heard_interrupts():
    """Interrupts as a kernel has them: a shell has them ignored by what it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_ends_the_child(tmp_path, heard_interrupts):
    def answer(numbers):
        (tmp_path / "pid").write_text(str(os.getpid()))
        loops(numbers)

    def interrupt():
        while not (tmp_path / "pid").is_file():
            time.sleep(0.01)
        time.sleep(0.5)  # the parent listens by now: an interrupt within a finalizer would be lost
        os.kill(os.getpid(), signal.SIGINT)

    before = belongings()
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        judge(DOUBLE, answer, 30)
    assert belongings() == before
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


@pytest.fixture
def no_fork(monkeypatch):
    """A system that starts new interpreters, and functions that it cannot import, as in a notebook."""
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_where_a_system_cannot_fork_the_same_is_said(request):
    answers = (double, squared, raises(SystemExit()), lambda numbers: os._exit(0), lambda _: input())
    forked = [judge(DOUBLE, answer) for answer in answers]
    request.getfixturevalue("no_fork")
    assert [judge(DOUBLE, answer, 60) for answer in answers] == forked


def test_where_a_system_cannot_fork_an_endless_loop_is_stopped(no_fork):
    def answer(numbers):
        print("again")
        return loops(numbers) if len(numbers) > 1 else double(numbers)

    said = said_of(answer, SOON).splitlines()
    assert said[0].startswith("double([1.0, 4.0]) had no answer after 1 s")
    assert said[1:] == ["It printed:", "  again"]


def test_where_a_system_cannot_fork_what_cannot_be_copied_is_said(no_fork):
    lock = threading.Lock()
    assert "cannot be copied" in said_of(lambda numbers: lock and double(numbers))


@pytest.mark.parametrize(("system", "said"), [("linux", ""), ("win32", "memory")])
def test_memory_without_a_limit_is_mentioned_once(system, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", system)
    sandbox.mention_memory.cache_clear()
    for _ in range(2):
        sandbox.mention_memory()
    assert capsys.readouterr().out.count("memory") == len(said.split())


def count_weights(pixels, hidden, classes):
    """A function of a reader."""
    return pixels * hidden + hidden * classes


def not_yet(pixels, hidden, classes):
    """A function of a reader that is wrong."""
    return 0


not_yet.__name__ = "count_weights"
NOTEBOOK = "00_start_here"
STUCK = 'Stuck? exercise("00_start_here", count_weights, help="hint"), or help="solution"\n'


def test_the_way_to_a_hint_is_said_until_the_answer_is_right(capsys):
    exercise(NOTEBOOK, not_yet)
    assert capsys.readouterr().out == "wrong: count_weights(1, 1, 1) gave 0, should be 2\n" + STUCK
    exercise(NOTEBOOK, count_weights)
    assert capsys.readouterr().out == "right: 5 cases agree\n"


def test_help_comes_below_the_verdict(capsys):
    exercise(NOTEBOOK, not_yet, help="hint")
    assert "\nHint: one weight for each pair" in capsys.readouterr().out
    exercise(NOTEBOOK, not_yet, help="solution")
    shown = capsys.readouterr().out
    assert "return pixels * hidden + hidden * classes" in shown and "Stuck" not in shown


@pytest.mark.parametrize("answer", [3, None, lambda pixels: 1, print])
def test_what_is_no_function_of_an_exercise_is_told_the_names(answer, capsys):
    exercise(NOTEBOOK, answer)
    assert "wrong: expected a function named count_weights or best_rate" in capsys.readouterr().out


def test_a_notebook_without_exercises_is_refused():
    with pytest.raises(UsageError, match=r"no solutions for '00_start'\. Did you mean '00_start_here'"):
        exercise("00_start", count_weights)


def test_the_last_verdict_is_kept_and_shown(reader):
    assert progress().right.sum() == 0 and progress().exercises.sum() == len(ASKED)
    exercise(NOTEBOOK, not_yet)
    assert progress().loc[NOTEBOOK].to_dict() == {"exercises": 2, "right": 0, "wrong": 1}
    exercise(NOTEBOOK, count_weights)
    assert json.loads(reader.read_text()) == {NOTEBOOK: {"count_weights": "right"}}
    assert progress().loc[NOTEBOOK].to_dict() == {"exercises": 2, "right": 1, "wrong": 0}
    assert list(progress().index) == list(WALK)


def test_a_stub_that_is_run_again_takes_no_verdict_away(reader):
    def count_weights(pixels, hidden, classes):
        return ...

    exercise(NOTEBOOK, count_weights)
    assert not reader.exists()
    exercise(NOTEBOOK, globals()["count_weights"])
    exercise(NOTEBOOK, count_weights)
    assert progress().right[NOTEBOOK] == 1


def test_a_run_without_a_reader_neither_keeps_nor_reads(reader, monkeypatch):
    exercise(NOTEBOOK, count_weights)
    monkeypatch.setenv(INTERACTIVE_VARIABLE, "0")
    exercise(NOTEBOOK, not_yet)
    assert progress().drop(columns="exercises").to_numpy().sum() == 0
    assert json.loads(reader.read_text()) == {NOTEBOOK: {"count_weights": "right"}}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"00_start_here": 3}'])
def test_a_file_that_cannot_be_read_is_said_and_replaced(reader, content, capsys):
    reader.write_text(content)
    exercise(NOTEBOOK, count_weights)
    said = capsys.readouterr().out
    assert "mine.json" in said and "So your progress starts anew" in said
    assert (reader.parent / "mine.1.damaged").read_text() == content, "nothing is lost"
    assert progress().right[NOTEBOOK] == 1


def test_a_folder_that_cannot_be_written_is_said_and_the_verdict_stands(reader, monkeypatch, capsys):
    reader.write_text("a file, not a folder")
    monkeypatch.setattr(exercises, "PROGRESS", replace(exercises.PROGRESS, name=reader / "mine.json"))
    exercise(NOTEBOOK, count_weights)
    said = capsys.readouterr().out
    assert "right: 5 cases agree" in said and "your progress is not saved: " in said


def forks(x):
    if os.fork() == 0:
        return -x
    os.wait()
    return x


def starts_a_session(x):
    subprocess.Popen(["sleep", "77.5"], start_new_session=True)
    return x


def is_too_long_to_show(x):
    return 10**100_000


def leaves_a_grandchild(x):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(3)
        os._exit(0)
    os.wait()
    return x


@pytest.mark.parametrize(
    "garbage", [b"", b"\x80", b"\x7f\xff\xff\xff garbage", b"\x80\x05N.", b"(" * 9999]
)
def test_garbage_among_the_messages_ends_them(garbage, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def work(send):
        send("one")
        (messages,) = tmp_path.glob("*/messages")
        messages.write_bytes(messages.read_bytes() + garbage)
        send("two")

    sent, stopped = sandbox.run(work, SOON)
    assert sent[0] == "one" and (stopped == ENDED or sent in (["one"], ["one", "two"]))


class Sulks:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (forks, "x"),
        (starts_a_session, "x"),
        (leaves_a_grandchild, "x"),
        (is_too_long_to_show, "of type int that cannot be shown, should be 3"),
        (lambda x: Sulks(), "Sulks instance at"),
    ],
)
def test_what_an_answer_starts_ends_with_it_and_what_cannot_be_shown_is_said(answer, said):
    (got,) = run_cases(answer, [lambda x: x], [(3,)], 5.0)
    assert (0 in got.agrees_with) if said == "x" else said in got.outcome
    time.sleep(0.2)
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if "77.5" in (each.info["cmdline"] or ())
    ]
