"""What a run is going to do: which notebooks, with which parameters, and which are done already."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenai_nb.checks import UsageError, nearest
from greenai_nb.lesson.claims import load_claims
from greenai_nb.lesson.parameters import Parameter, declared, resolve
from greenai_nb.lesson.project import STAMP
from greenai_nb.suite.run.fingerprint import fingerprint

if TYPE_CHECKING:
    from nbformat import NotebookNode

ALL = "all"
THREADS = "threads"


class Status(StrEnum):
    """How a job ended, or that there was nothing to do because its result was there already."""

    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True)
class Lesson:
    """A notebook of the walk as it lies in the repository."""

    name: str
    path: Path
    title: str
    content: "NotebookNode"
    parameters: Mapping[str, Parameter]

    @property
    def stamp(self) -> Mapping[str, Any]:
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
    parameters: Mapping[str, Any]
    fingerprint: str
    predicted_s: float | None

    @property
    def name(self) -> str:
        """Name of the notebook."""
        return self.lesson.name

    @property
    def injected(self) -> dict[str, Any]:
        """The parameters that differ from the notebook's own."""
        defaults = self.lesson.defaults
        return {name: value for name, value in self.parameters.items() if value != defaults[name]}


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


def select(walk: Mapping[str, Lesson], names: Sequence[str]) -> dict[str, Lesson]:
    """The lessons asked for, by name or number; all of them if none is named."""
    chosen = {}
    for name in names:
        matching = [known for known in walk if name in (known, known.split("_")[0])]
        if not matching:
            raise UsageError(f"no notebook {name!r}. {nearest(name, walk)}")
        chosen[matching[0]] = walk[matching[0]]
    return chosen or dict(walk)


def read_profile(folder: Path, profile: str, walk: Mapping[str, Lesson]) -> dict[str, Any]:
    """A profile's parameters by notebook; those under ``all`` go to every notebook that has them."""
    import yaml

    known = sorted(path.stem for path in (folder / "profiles").glob("*.yaml"))
    if profile not in known:
        raise UsageError(f"no profile {profile!r}. {nearest(profile, known)}")
    content = yaml.safe_load((folder / "profiles" / f"{profile}.yaml").read_text()) or {}
    for name in content:
        if name != ALL and name not in walk:
            raise UsageError(f"profile {profile} names no notebook: {name!r}. {nearest(name, walk)}")
    return dict(content)


def effective(
    lesson: Lesson, profile: Mapping[str, Any], overrides: Mapping[str, Any], threads: int
) -> dict[str, Any]:
    """A lesson's parameters: its own, over them the machine's, the profile's, and those asked for."""
    shared = {THREADS: threads, **profile.get(ALL, {})}
    values = {name: value for name, value in shared.items() if name in lesson.parameters}
    values |= profile.get(lesson.name, {})
    values |= {name: value for name, value in overrides.items() if name in lesson.parameters}
    return resolve(lesson.parameters, values, lesson.name)


def origin(lesson: Lesson, profile: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, str]:
    """Where each effective parameter comes from: grid, profile, machine or notebook."""
    shared = {THREADS: "machine"} | dict.fromkeys(profile.get(ALL, {}), "profile")
    known = shared | dict.fromkeys(profile.get(lesson.name, {}), "profile")
    known |= dict.fromkeys(overrides, "grid")
    return {name: known.get(name, "notebook") for name in lesson.parameters}


def make(
    chosen: Mapping[str, Lesson],
    profile: Mapping[str, Any],
    overrides: Mapping[str, Any],
    threads: int,
    root: Path,
    out: Path,
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
        mark = fingerprint_of(lesson, parameters, root, others)
        jobs.append(Job(lesson, parameters, mark, _predicted(lesson, parameters, out)))
    return sorted(jobs, key=lambda job: (job.lesson.reads_records, -(job.predicted_s or 0)))


def fingerprint_of(
    lesson: Lesson, parameters: Mapping[str, Any], root: Path, others: Sequence[str] = ()
) -> str:
    """The fingerprint of a lesson's result: what ``fingerprint`` covers, the lock and the claims."""
    lock = (root / "requirements.lock").read_text()
    return fingerprint(lesson.content, parameters, root, [*others, lock, *_claims_of(lesson, root)])


def is_done(job: Job, out: Path) -> bool:
    """Whether the folder holds this job's result already."""
    return _stamp_in(out, job.name).get("fingerprint") == job.fingerprint


def is_fresh(lesson: Lesson, walk: Mapping[str, Lesson], root: Path) -> bool:
    """Whether a lesson's committed outputs were made by the code that stands beside them."""
    return lesson.stamp.get("fingerprint") == committed_fingerprint(lesson, walk, root)


def committed_fingerprint(lesson: Lesson, walk: Mapping[str, Lesson], root: Path) -> str:
    """The fingerprint that a lesson's committed outputs should carry: code, values, claims, package."""
    read = [other for other in walk.values() if lesson.reads_records and not other.reads_records]
    others = [committed_fingerprint(other, walk, root) for other in read]
    return fingerprint(lesson.content, lesson.defaults, root, [*others, *_claims_of(lesson, root)])


def _claims_of(lesson: Lesson, root: Path) -> list[str]:
    """The claims that a lesson tests, as texts: a verdict depends on what was expected."""
    claims = load_claims(root / "claims.yaml").values()
    return [repr(claim) for claim in claims if claim.notebook == lesson.name]


def _predicted(lesson: Lesson, parameters: Mapping[str, Any], out: Path) -> float | None:
    for stamp in (_stamp_in(out, lesson.name), lesson.stamp):
        if stamp.get("parameters") == parameters:
            return float(stamp["time_s"])
    return None


def _stamp_in(out: Path, name: str) -> Mapping[str, Any]:
    try:
        return dict(json.loads((out / f"{name}.ipynb").read_text())["metadata"][STAMP])
    except (OSError, ValueError, KeyError):
        return {}
