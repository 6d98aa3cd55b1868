"""Exercises that answer: not started, wrong with the smallest counter-example, or right.

``notebooks/solutions/<notebook>.py`` holds a function for each exercise, with the hint as docstring. Its
``CASES`` are the arguments to try, smallest first. Its ``MISCONCEPTIONS`` are functions with common
mistakes; a reader whose function behaves like one of them on all cases is shown its docstring.
"""

import inspect
import runpy
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any

from greenai_nb.checks import UsageError, nearest
from greenai_nb.lesson.grading import Function, run_cases
from greenai_nb.lesson.project import notebooks
from greenai_nb.lesson.reader_files import ReaderFile

if TYPE_CHECKING:
    import pandas as pd

PROGRESS = ReaderFile("my_progress.json", "your progress", dict[str, str])
SECONDS = 2.0
RIGHT, WRONG, NOT_STARTED = "right", "wrong", "not started"
MAX_LINES = 20


@dataclass(frozen=True)
class Exercise:
    """An exercise as its solutions file defines it."""

    name: str
    solution: Function
    cases: list[tuple[Any, ...]]
    misconceptions: list[Function]


@dataclass(frozen=True)
class Verdict:
    """The verdict on a reader's function: right, wrong or not started, and the sentences below it."""

    word: str
    sentences: str


def exercise(notebook: str, answer: Function, help: str = "", seconds: float = SECONDS) -> None:
    """Run a reader's function on the cases of its exercise, and print and store the verdict.

    ``help="hint"`` prints a hint below it, ``help="solution"`` the solution. A function that has no
    answer after ``seconds`` is stopped. Nothing that the function does can stop the notebook.
    Raises ``UsageError`` for a notebook without exercises.
    """
    known = exercises_of(notebook)
    name = getattr(answer, "__name__", "")
    if name not in known:
        print(f"wrong: expected a function named {' or '.join(known)}, got {answer!r}")
        return
    verdict = judge(known[name], answer, seconds)
    print(f"{verdict.word}: {verdict.sentences}")
    if verdict.word != NOT_STARTED:
        stored = PROGRESS.load()
        PROGRESS.store({**stored, notebook: stored.get(notebook, {}) | {name: verdict.word}})
    if help == "hint":
        print(inspect.getdoc(known[name].solution))
    elif help == "solution":
        print(inspect.getsource(known[name].solution))
    elif verdict.word != RIGHT:
        print(f'Stuck? exercise("{notebook}", {name}, help="hint"), or help="solution"')


def judge(asked: Exercise, answer: Function, seconds: float = SECONDS) -> Verdict:
    """The verdict on a function; an error that it raises is an answer like any other."""
    results = run_cases(answer, [asked.solution, *asked.misconceptions], asked.cases, seconds)
    first = next((index for index, result in enumerate(results) if 0 not in result.agrees_with), None)
    if first is None:
        return Verdict(RIGHT, f"{len(results)} cases agree")
    if _has_gap(getattr(answer, "__code__", None)):
        return Verdict(NOT_STARTED, f"replace the ... in {asked.name} and run the cell again")
    case, wrong = asked.cases[first], results[first]
    lines = [f"{asked.name}({', '.join(map(repr, case))}) {wrong.outcome}"]
    if wrong.printed:
        lines += ["It printed:", *(f"  {line}" for line in wrong.printed.splitlines()[:MAX_LINES])]
    alike = frozenset.intersection(*(result.agrees_with for result in results))
    explanations = [asked.misconceptions[index - 1].__doc__ or "" for index in sorted(alike)]
    return Verdict(WRONG, "\n".join([*lines, *(" ".join(text.split()) for text in explanations)]))


def exercises_of(notebook: str) -> dict[str, Exercise]:
    """The exercises of a notebook by name. Raises ``UsageError`` where it has none."""
    path = notebooks() / "solutions" / f"{notebook}.py"
    if not path.is_file():
        known = [file.stem for file in path.parent.glob("*.py")]
        raise UsageError(f"no solutions for {notebook!r}. {nearest(notebook, known)}")
    module = runpy.run_path(str(path))
    cases, mistakes = module["CASES"], module["MISCONCEPTIONS"]
    return {name: Exercise(name, module[name], cases[name], mistakes[name]) for name in cases}


def progress() -> "pd.DataFrame":
    """How many exercises of each notebook a reader has right, and how many wrong."""
    import pandas as pd

    stored, rows = PROGRESS.load(), {}
    for path in sorted((notebooks() / "solutions").glob("[0-9]*.py")):
        words = [stored.get(path.stem, {}).get(name) for name in exercises_of(path.stem)]
        rows[path.stem] = (len(words), words.count(RIGHT), words.count(WRONG))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["exercises", RIGHT, WRONG])


def _has_gap(code: CodeType | None) -> bool:
    """Whether a function still holds a ``...``, in itself or in a function within it."""
    constants = code.co_consts if code else ()
    return any(x is ... or (isinstance(x, CodeType) and _has_gap(x)) for x in constants)
