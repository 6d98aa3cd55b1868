"""What a run is going to do: which notebooks, with which parameters, and which are done already."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from greenai_nb.checks import UsageError, nearest
from greenai_nb.lesson.claims import load_claims
from greenai_nb.lesson.parameters import Parameter, declared, resolve
from greenai_nb.lesson.project import STAMP
from greenai_nb.suite.run.fingerprint import fingerprint

ALL, THREADS = "all", "threads"

Values = Mapping[str, Any]


class Status(StrEnum):
    """How a run of a notebook ended; ``unchanged`` is one whose result was there already."""

    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True)
class Outcome:
    """How the run of that name ended: ``cell`` began last, and without an error all of them ran."""

    name: str
    status: Status
    error: str = ""
    cell: int | None = None
    notebook: Any = None  # as far as it was executed


@dataclass(frozen=True)
class Lesson:
    """A notebook of the walk as it lies in the repository."""

    name: str
    path: Path
    title: str
    content: Any  # an nbformat.NotebookNode
    parameters: Mapping[str, Parameter]

    @property
    def stamp(self) -> Values:
        """What the runner wrote when the committed outputs were made; empty before that."""
        return dict(self.content.metadata.get(STAMP, {}))

    @property
    def reads_records(self) -> bool:
        """Whether it is made from the other notebooks' records and so comes after them."""
        return bool(self.content.metadata.get("reads_records", False))

    @property
    def defaults(self) -> dict[str, Any]:
        """The parameters' values as the notebook has them."""
        return {name: parameter.default for name, parameter in self.parameters.items()}


@dataclass(frozen=True)
class Job:
    """A notebook to run, its effective parameters, and the fingerprint of what they lead to."""

    lesson: Lesson
    parameters: Values
    fingerprint: str
    predicted_s: float | None = None

    @property
    def name(self) -> str:
        """Name of the notebook."""
        return self.lesson.name

    @property
    def injected(self) -> dict[str, Any]:
        """The parameters that differ from the notebook's own."""
        defaults = self.lesson.defaults
        return {name: value for name, value in self.parameters.items() if value != defaults[name]}


Walk = Mapping[str, Lesson]


def lessons(folder: Path) -> dict[str, Lesson]:
    """The notebooks of the walk by name, in order; those that begin with ``_`` are not part of it."""
    return {path.stem: read_lesson(path) for path in sorted(folder.glob("[0-9]*.ipynb"))}


def lesson_named(folder: Path, name: str) -> Lesson:
    """The notebook of the walk with that very name. Raises ``UsageError`` where there is none."""
    known = sorted(path.stem for path in folder.glob("[0-9]*.ipynb"))
    if name not in known:
        raise UsageError(f"no notebook {name!r}. {nearest(name, known)}")
    return read_lesson(folder / f"{name}.ipynb")


def read_lesson(path: Path) -> Lesson:
    """Read a notebook. Raises ``UsageError`` where it has no title or no right parameters cell."""
    import nbformat  # takes a second, which the commands that read no notebook are spared

    try:
        content = nbformat.read(path, as_version=4)
        title = content.cells[0].source.splitlines()[0].lstrip("# ")
    except (nbformat.ValidationError, ValueError, AttributeError, IndexError) as error:
        raise UsageError(f"{path.name} is no notebook with a title ({error}). Restore it.") from error
    tagged = [cell.source for cell in content.cells if "parameters" in cell.metadata.get("tags", ())]
    if len(tagged) != 1:
        raise UsageError(f"{path.name} has {len(tagged)} cells tagged parameters, needs one")
    try:
        parameters = declared(tagged[0])
    except (UsageError, SyntaxError) as error:
        raise UsageError(f"{path.name}: {error}") from error
    return Lesson(path.stem, path, title, content, parameters)


def select(walk: Walk, names: Sequence[str]) -> dict[str, Lesson]:
    """The lessons asked for, by name or number; all of them if none is named."""
    chosen = {}
    for name in names:
        matching = [known for known in walk if name in (known, known.split("_")[0])]
        if not matching:
            raise UsageError(f"no notebook {name!r}. {nearest(name, walk)}")
        chosen[matching[0]] = walk[matching[0]]
    return chosen or dict(walk)


def read_profile(folder: Path, profile: str, walk: Walk) -> dict[str, Any]:
    """A profile's parameters by notebook; those under ``all`` go to every notebook that has them."""
    known = sorted(path.stem for path in (folder / "profiles").glob("*.yaml"))
    if profile not in known:
        raise UsageError(f"no profile {profile!r}. {nearest(profile, known)}")
    content = yaml.safe_load((folder / "profiles" / f"{profile}.yaml").read_bytes()) or {}
    for name in content:
        if name != ALL and name not in walk:
            raise UsageError(f"profile {profile} names no notebook: {name!r}. {nearest(name, walk)}")
    return dict(content)


def effective(lesson: Lesson, profile: Values, overrides: Values, threads: int) -> dict[str, Any]:
    """A lesson's parameters: its own, over them the machine's, the profile's, and those asked for."""
    own = profile.get(lesson.name, {})
    asked = {THREADS: threads, **profile.get(ALL, {}), **own, **overrides}
    known = {name: value for name, value in asked.items() if name in {*lesson.parameters, *own}}
    return resolve(lesson.parameters, known, lesson.name)


def make(
    chosen: Walk, profile: Values, overrides: Values, threads: int, root: Path, out: Path
) -> list[Job]:
    """The jobs of a run, longest first, those that read the others' records last.

    Raises ``UsageError`` for a parameter that no chosen notebook has, or a value out of range.
    """
    known = {name for lesson in chosen.values() for name in lesson.parameters}
    for name in overrides:
        if name not in known:
            raise UsageError(f"no notebook here has a parameter {name!r}. {nearest(name, known)}")
    jobs: list[Job] = []
    for lesson in sorted(chosen.values(), key=lambda lesson: lesson.reads_records):
        parameters = effective(lesson, profile, overrides, threads)
        others = [job.fingerprint for job in jobs] if lesson.reads_records else []
        stamps = (_stamp_in(out, lesson.name), lesson.stamp)
        known_s = (stamp["time_s"] for stamp in stamps if stamp.get("parameters") == parameters)
        mark = fingerprint_of(lesson, parameters, root, others)
        jobs.append(Job(lesson, parameters, mark, next(known_s, None)))
    return sorted(jobs, key=lambda job: (job.lesson.reads_records, -(job.predicted_s or 0)))


def fingerprint_of(lesson: Lesson, parameters: Values, root: Path, others: Sequence[str] = ()) -> str:
    """The fingerprint of a lesson's result: what ``fingerprint`` covers, the lock and the claims."""
    lock = (root / "requirements.lock").read_text()
    return fingerprint(lesson.content, parameters, root, [*others, lock, *_claims_of(lesson, root)])


def is_done(job: Job, out: Path) -> bool:
    """Whether the folder holds this job's result already."""
    return _stamp_in(out, job.name).get("fingerprint") == job.fingerprint


def is_fresh(lesson: Lesson, walk: Walk, root: Path) -> bool:
    """Whether a lesson's committed outputs were made by the code that stands beside them."""
    return lesson.stamp.get("fingerprint") == committed_fingerprint(lesson, walk, root)


def committed_fingerprint(lesson: Lesson, walk: Walk, root: Path) -> str:
    """The fingerprint that a lesson's committed outputs should carry: code, values, claims, package."""
    read = [other for other in walk.values() if lesson.reads_records and not other.reads_records]
    others = [committed_fingerprint(other, walk, root) for other in read]
    return fingerprint(lesson.content, lesson.defaults, root, [*others, *_claims_of(lesson, root)])


def _claims_of(lesson: Lesson, root: Path) -> list[str]:
    """The claims that a lesson tests, as texts: a verdict depends on what was expected."""
    claims = load_claims(root / "claims.yaml").values()
    return [repr(claim) for claim in claims if claim.notebook == lesson.name]


def _stamp_in(out: Path, name: str) -> Values:
    try:
        return dict(json.loads((out / f"{name}.ipynb").read_bytes())["metadata"][STAMP])
    except (OSError, ValueError, KeyError):
        return {}
