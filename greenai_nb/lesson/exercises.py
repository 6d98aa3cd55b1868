"""Exercises that answer: not started, wrong with the smallest counter-example, or right.

``notebooks/solutions/<notebook>.py`` holds a function for each exercise, with the hint as docstring. Its
``CASES`` are the arguments to try, smallest first. Its ``MISCONCEPTIONS`` are functions that go wrong as
people do; a reader whose function does the same on all cases is told their docstring.
"""

import importlib.util
import inspect
from dataclasses import dataclass
from types import CodeType
from typing import Any

import pandas as pd

from greenai_nb.checks import UsageError, nearest
from greenai_nb.lesson.grading import Function, run_cases
from greenai_nb.lesson.project import notebooks
from greenai_nb.lesson.reader_files import ReaderFile

KEPT = ReaderFile("my_progress.json", "GREENAI_PROGRESS", "your progress")
SECONDS = 2.0
RIGHT, WRONG, NOT_STARTED = "right", "wrong", "not started"
MOST_LINES = 20


@dataclass(frozen=True)
class Exercise:
    """An exercise as its solutions file has it."""

    name: str
    solution: Function
    cases: list[tuple[Any, ...]]
    misconceptions: list[Function]


@dataclass(frozen=True)
class Verdict:
    """What came out of a reader's function: one of the three words, and the sentences below it."""

    word: str
    sentences: str

    def __str__(self) -> str:
        return f"{self.word}: {self.sentences}"


def exercise(notebook: str, answer: Function, help: str = "", seconds: float = SECONDS) -> None:
    """Try a reader's function on the cases of its exercise, print what came out, and keep the verdict.

    ``help="hint"`` prints a hint below it, ``help="solution"`` the solution. A function that has no
    answer after so many seconds is stopped. Nothing that the function does can stop the notebook.
    Raises ``UsageError`` for a notebook without exercises.
    """
    known = exercises_of(notebook)
    name = getattr(answer, "__name__", "")
    if name not in known:
        print(f"wrong: expected a function of the name {' or '.join(known)}, got {answer!r}")
        return
    verdict = judge(known[name], answer, seconds)
    print(verdict)
    _keep(notebook, name, verdict.word)
    if help == "hint":
        print(inspect.getdoc(known[name].solution))
    elif help == "solution":
        print(inspect.getsource(known[name].solution))
    elif verdict.word != RIGHT:
        print(f'Stuck? exercise("{notebook}", {name}, help="hint"), or help="solution"')


def judge(asked: Exercise, answer: Function, seconds: float = SECONDS) -> Verdict:
    """The verdict on a function. An error in it is an answer, not a failure here."""
    tried = run_cases(answer, [asked.solution, *asked.misconceptions], asked.cases, seconds)
    wrong = next((each for each in tried if 0 not in each.agrees), None)
    if wrong is None:
        return Verdict(RIGHT, f"{len(tried)} cases agree")
    if _has_gap(getattr(answer, "__code__", None)):
        return Verdict(NOT_STARTED, f"replace the ... in {asked.name} and run the cell again")
    lines = [f"{asked.name}({', '.join(map(repr, wrong.case))}) {wrong.did}"]
    if wrong.printed:
        lines += ["It printed:", *(f"  {line}" for line in wrong.printed.splitlines()[:MOST_LINES])]
    alike = frozenset.intersection(*(each.agrees for each in tried))
    lines += [words(each) for at, each in enumerate(asked.misconceptions, 1) if at in alike]
    return Verdict(WRONG, "\n".join(lines))


def words(misconception: Function) -> str:
    """What a reader is told who has this misconception."""
    return " ".join((misconception.__doc__ or "").split())


def exercises_of(notebook: str) -> dict[str, Exercise]:
    """The exercises of a notebook by name. Raises ``UsageError`` where it has none."""
    path = notebooks() / "solutions" / f"{notebook}.py"
    if not path.is_file():
        known = [each.stem for each in path.parent.glob("*.py")]
        raise UsageError(f"no solutions for {notebook!r}. {nearest(notebook, known)}")
    spec = importlib.util.spec_from_file_location(f"solutions_{notebook}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {
        name: Exercise(name, getattr(module, name), cases, module.MISCONCEPTIONS[name])
        for name, cases in module.CASES.items()
    }


def progress() -> pd.DataFrame:
    """How many exercises of each notebook a reader has right, and how many not yet."""
    kept, rows = KEPT.load(), {}
    for path in sorted((notebooks() / "solutions").glob("[0-9]*.py")):
        names = exercises_of(path.stem)
        last = [kept.get(path.stem, {}).get(name) for name in names]
        rows[path.stem] = {
            "exercises": len(names),
            "right": last.count(RIGHT),
            "wrong": last.count(WRONG),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _has_gap(code: CodeType | None) -> bool:
    """Whether a function still holds a ``...``, in itself or in a function within it."""
    constants = code.co_consts if code else ()
    return any(each is ... or (isinstance(each, CodeType) and _has_gap(each)) for each in constants)


def _keep(notebook: str, name: str, word: str) -> None:
    if word != NOT_STARTED:
        kept = KEPT.load()
        KEPT.store({**kept, notebook: kept.get(notebook, {}) | {name: word}})
