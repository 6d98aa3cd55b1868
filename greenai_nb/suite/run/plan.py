"""What a run is going to do: which notebooks, with which parameters, and which are done already."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from greenai_nb import sources
from greenai_nb.checks import UsageError, nearest
from greenai_nb.lesson import project
from greenai_nb.lesson.claims import load_claims
from greenai_nb.lesson.parameters import Parameter, declared, resolve
from greenai_nb.lesson.project import ALL, DATASETS, DEFAULT_PROFILE, STAMP
from greenai_nb.suite.run.fingerprint import code_cells, fingerprint

THREADS = "threads"
NAME = re.compile(r"(\d\d)_\w+")  # of the walk's notebooks
MAX_CHARS = 200  # shown of another library's error

Values = Mapping[str, Any]


class Status(StrEnum):
    """How a run of a notebook ended; ``unchanged`` means that its result was there already."""

    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True)
class Outcome:
    """How the run of that name ended; ``cell`` is the last that began, and without an error all ran."""

    name: str
    status: Status
    error: str = ""
    cell: int | None = None
    notebook: Any = None  # as far as it was executed


class Stamp(msgspec.Struct):
    """What the runner writes into the notebook of a result."""

    fingerprint: str
    profile: str
    parameters: dict[str, Any]
    time_s: float
    peak_ram_mb: float


@dataclass(frozen=True)
class Lesson:
    """A notebook of the walk as it is in the repository."""

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
    def runs_alone(self) -> bool:
        """Whether it reads clocks, which other notebooks beside it would disturb."""
        return bool(self.content.metadata.get("runs_alone", False))

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


class Walk(dict[str, Lesson]):
    """Lessons by name, in order; ``broken`` are those that cannot be read, each with the reason.

    ``others`` are notebooks in the folder that are not lessons, such as a copy of one.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[Path], Lesson], others: Sequence[str]):
        super().__init__()
        self.broken: dict[str, str] = {}
        self.others = list(others)
        for path in paths:
            try:
                self[path.stem] = read(path)
            except UsageError as error:
                self.broken[path.stem] = str(error)


def lessons(folder: Path) -> Walk:
    """The notebooks of the walk; those that begin with ``_`` are not part of it."""
    names = _names(folder)
    others = sorted(path.name for path in folder.glob("[0-9]*.ipynb") if path.stem not in names)
    return Walk([folder / f"{name}.ipynb" for name in names], read_lesson, others)


def results(folder: Path, names: Iterable[str]) -> Walk:
    """The results in a folder for the lessons with these names; without a stamp a notebook is broken."""
    paths = sorted(folder.glob("*.ipynb"))
    known = [path for path in paths if path.stem in {*names}]
    return Walk(known, read_result, [path.name for path in paths if path not in known])


def _names(folder: Path) -> list[str]:
    """Names of the lessons in a folder: the shortest of each number; longer ones are copies of it."""
    names: dict[str, str] = {}
    for name in sorted((path.stem for path in folder.glob("[0-9]*.ipynb")), key=lambda n: (len(n), n)):
        if matched := NAME.fullmatch(name):
            first = names.setdefault(matched[1], name)
            if not name.startswith(first):
                both = f"{folder} has two notebooks {matched[1]}: {first} and {name}"
                raise UsageError(f"{both}. Rename one, so that it does not begin with a number.")
    return sorted(names.values())


def lesson_named(folder: Path, name: str) -> Lesson:
    """The notebook of the walk with exactly this name. Raises ``UsageError`` if there is none."""
    known = _names(folder)
    if name not in known:
        raise UsageError(f"no notebook {name!r}. {nearest(name, known)}")
    return read_lesson(folder / f"{name}.ipynb")


def read_lesson(path: Path) -> Lesson:
    """Read a notebook. Raises ``UsageError`` if it has no title or no valid parameters cell."""
    import nbformat  # takes a second; commands that read no notebook do without

    try:
        content = nbformat.read(path, as_version=4)
        title = content.cells[0].source.splitlines()[0].lstrip("# ")
    except Exception as error:  # nbformat raises errors of many kinds for a broken file
        said = " ".join(str(error).split())[:MAX_CHARS] or "it is empty"
        raise UsageError(f"{path.name} is not a notebook with a title ({said}). Restore it.") from error
    tagged = [cell.source for cell in content.cells if "parameters" in cell.metadata.get("tags", ())]
    if len(tagged) != 1:
        raise UsageError(f"{path.name} has {len(tagged)} cells tagged parameters, needs one")
    try:
        parameters = declared(tagged[0])
    except (UsageError, SyntaxError, ValueError) as error:
        raise UsageError(f"{path.name}: {error}") from error
    _refuse_shadows(path, content, parameters)
    return Lesson(path.stem, path, title, content, parameters)


def _refuse_shadows(path: Path, content: Any, parameters: Iterable[str]) -> None:
    """Raise ``UsageError`` where a parameter has the name of something that a cell imports."""
    imports = "\n".join(re.findall(r"^(?:from|import) .*", "\n".join(code_cells(content)), re.MULTILINE))
    for name in parameters:
        if re.search(rf"(?:import|as|,)\s+{name}\b", imports):
            raise UsageError(f"{path.name}: parameter {name} has the name of an import. Rename it.")


def read_result(path: Path) -> Lesson:
    """A notebook that a runner has executed. Raises ``UsageError`` if it has no stamp."""
    lesson = read_lesson(path)
    try:
        msgspec.convert(lesson.stamp, Stamp)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path} is not the result of a run ({error}) and is left alone.") from None
    return lesson


def select(walk: Walk, names: Sequence[str]) -> dict[str, Lesson]:
    """The lessons asked for, by name or number; all of them if none is named.

    Raises ``UsageError`` for a notebook that does not exist or cannot be read.
    """
    for name, fault in walk.broken.items():
        if not names or {name, name.split("_")[0]} & {*names}:
            raise UsageError(fault)
    chosen = {}
    for name in names:
        matching = [known for known in walk if name in (known, known.split("_")[0])]
        if not matching:
            raise UsageError(f"no notebook {name!r}. {nearest(name, walk)}")
        chosen[matching[0]] = walk[matching[0]]
    return chosen or dict(walk)


def read_profile(folder: Path, profile: str, walk: Walk) -> dict[str, Any]:
    """A profile's parameters by notebook, under ``all`` those of all, under ``datasets`` by data set."""
    known = sorted(path.stem for path in (folder / "profiles").glob("*.yaml"))
    if profile not in known:
        raise UsageError(f"no profile {profile!r}. {nearest(profile, known)}")
    content = project.read_profile(folder, profile)
    for name in content:
        if name not in (ALL, DATASETS, *walk, *walk.broken):
            raise UsageError(f"profile {profile} names no notebook: {name!r}. {nearest(name, walk)}")
    parameters = {name for lesson in walk.values() for name in lesson.parameters}
    for name in content.get(ALL, {}):
        if name not in parameters and not walk.broken:
            near = nearest(name, parameters)
            raise UsageError(f"profile {profile}: no notebook has a parameter {name!r}. {near}")
    return dict(content)


def effective(lesson: Lesson, profile: Values, overrides: Values, threads: int) -> dict[str, Any]:
    """A lesson's parameters: its own, then those of profile and data set, then those asked for."""
    own, chosen_on = profile.get(lesson.name, {}), profile.get(DATASETS, {})
    asked = {THREADS: threads, **profile.get(ALL, {}), **own, **overrides}
    own = own | chosen_on.get(asked.get("dataset"), {}).get(lesson.name, {})
    asked |= own | dict(overrides)
    known = {name: value for name, value in asked.items() if name in {*lesson.parameters, *own}}
    return resolve(lesson.parameters, known, lesson.name)


def make(
    chosen: Mapping[str, Lesson],
    settings: Values,
    overrides: Values,
    threads: int,
    root: Path,
    out: Path,
    profile: str = DEFAULT_PROFILE,
) -> list[Job]:
    """The jobs of a run, longest first, but with those that read the others' records last.

    ``settings`` are those of the profile, as ``read_profile`` gives them. Raises ``UsageError``
    for a parameter that no chosen notebook has, or a value out of range.
    """
    known = {name for lesson in chosen.values() for name in lesson.parameters}
    for name in overrides:
        if name not in known:
            raise UsageError(f"no notebook here has a parameter {name!r}. {nearest(name, known)}")
    jobs: list[Job] = []
    for lesson in sorted(chosen.values(), key=lambda lesson: lesson.reads_records):
        parameters = effective(lesson, settings, overrides, threads)
        others = [job.fingerprint for job in jobs] if lesson.reads_records else []
        stamps = (project.stamp_in(out / f"{lesson.name}.ipynb"), lesson.stamp)
        known_s = (stamp["time_s"] for stamp in stamps if stamp.get("parameters") == parameters)
        mark = fingerprint_of(lesson, parameters, root, [profile, *others])
        jobs.append(Job(lesson, parameters, mark, next(known_s, None)))
    return sorted(jobs, key=lambda job: (job.lesson.reads_records, -(job.predicted_s or 0)))


def fingerprint_of(lesson: Lesson, parameters: Values, root: Path, others: Sequence[str] = ()) -> str:
    """The fingerprint of a lesson's result: what ``fingerprint`` covers, the lock and files read."""
    lock = (root / "requirements.lock").read_text()
    others = [*others, lock, *_read_by(lesson, parameters, root)]
    return fingerprint(lesson.content, parameters, root, others)


def is_done(job: Job, out: Path) -> bool:
    """Whether the folder already holds this job's result."""
    return project.stamp_in(out / f"{job.name}.ipynb").get("fingerprint") == job.fingerprint


def is_fresh(lesson: Lesson, walk: Mapping[str, Lesson], root: Path) -> bool:
    """Whether a lesson's committed outputs were made by the code that is now beside them."""
    return lesson.stamp.get("fingerprint") == committed_fingerprint(lesson, walk, root)


def committed_fingerprint(lesson: Lesson, walk: Mapping[str, Lesson], root: Path) -> str:
    """The fingerprint that a lesson's committed outputs should carry: code, values, claims, package."""
    earlier = [other for other in walk.values() if lesson.reads_records and not other.reads_records]
    others = [committed_fingerprint(other, walk, root) for other in earlier]
    others += _read_by(lesson, lesson.defaults, root)
    return fingerprint(lesson.content, lesson.defaults, root, others)


def _read_by(lesson: Lesson, parameters: Values, root: Path) -> list[str]:
    """What a lesson reads besides code: claims, solutions, slides, kept results, paths it is given."""
    claims = load_claims(root / "claims.yaml").values()
    texts = [repr(claim) for claim in claims if claim.notebook == lesson.name]
    given = [parameters[name] for name, known in lesson.parameters.items() if known.is_path]
    listed = [[value] if isinstance(value, str) else value for value in given]
    named = (text.removeprefix("folder:") for texts in listed for text in texts)
    paths = [Path(text).expanduser() for text in named if text]
    paths.append(root / "notebooks" / "solutions" / f"{lesson.name}.py")
    imported = sources.imported(code_cells(lesson.content))
    read = {"lesson/slides.py": "notebooks/slides.yaml", "suite/run/paper.py": "results/paper"}
    paths += [root / read[module] for module in read if sources.PACKAGE / module in imported]
    return texts + [sources.contents(path.resolve()) for path in paths]
