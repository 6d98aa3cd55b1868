"""A workspace: a participant's own copy of the walk, made and updated without losing a line of theirs.

A list beside the files records what was copied, with hashes, so that an update can tell a participant's
edit from an untouched file. If copying is interrupted, the next call completes it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from greenai_nb.checks import UsageError
from greenai_nb.files import write_atomic

LIST = ".greenai-workspace.json"
PARTS = (
    "README.md",
    "LICENSE",
    "claims.yaml",
    "requirements.lock",
    "notebooks/*.ipynb",
    "notebooks/*.yaml",
    "notebooks/profiles/*.yaml",
    "notebooks/solutions/*.py",
    "results/tutorial/records.jsonl",
)
NEW_VERSIONS = "new"
NEW, RENEWED = "{name} is new.", "{name} was updated."
KEPT = "{name} is edited and stays as it is."
ASIDE = "{name} is edited and stays as it is; its new version is {target}."
LEFT = "{name} is no longer part of the walk and stays here."

Hashes = dict[str, str | None]


@dataclass(frozen=True)
class Change:
    """What happened to one file of the workspace; ``target`` is where the walk's version is."""

    name: str
    kind: str
    target: str = ""

    @property
    def sentence(self) -> str:
        """The change in words."""
        return self.kind.format(name=self.name, target=self.target)


def update(source: Path, folder: Path) -> list[Change]:
    """Copy the walk of a checkout to a folder, or update the files there that were not edited.

    An edited file stays as it is; if the walk has changed it, the new version goes to ``new/``,
    outside the walk. Raises ``UsageError`` for a folder that holds something else or cannot be
    written, and then touches nothing in it.
    """
    if folder.resolve() == source.resolve():
        raise UsageError(f"{folder} is the walk itself. Choose another folder for the workspace.")
    paths = [path for pattern in PARTS for path in sorted(source.glob(pattern))]
    walk = {path.relative_to(source).as_posix(): path for path in paths}
    try:
        laid = _laid_before(folder)
        try:
            changes = [_renew(name, path, folder, laid) for name, path in walk.items()]
            return [change for change in changes if change] + _left(walk, folder, laid)
        finally:
            _write_list(folder, laid)
    except OSError as error:
        closed = f"cannot write a workspace to {folder} ({error.strerror})"
        raise UsageError(f"{closed}. Choose another folder.") from error


def _laid_before(folder: Path) -> Hashes:
    """Hashes of the files copied before, by name; a new folder gets an empty list.

    A damaged list counts as empty, so that every file that differs counts as edited.
    """
    path = folder / LIST
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            full = f"{folder} holds files and is no workspace of this walk: nothing was written"
            raise UsageError(f"{full}. Choose a folder that is new or empty.")
        _write_list(folder, {})
    try:
        return dict(json.loads(path.read_bytes())["files"])
    except (ValueError, KeyError, TypeError):
        return {}


def _write_list(folder: Path, laid: Hashes) -> None:
    write_atomic(folder / LIST, json.dumps({"files": laid}, indent=1, sort_keys=True) + "\n")


def _renew(name: str, path: Path, folder: Path, laid: Hashes) -> Change | None:
    """Bring one file up to date, unless a participant has edited it; None if there is nothing to say."""
    now, target, edited = _hash(path), name, list[str]()
    while (here := _hash(folder / target)) not in (None, now, laid.get(target)):
        if laid.get(target) == now:
            return Change(name, KEPT)
        edited.append(target)
        target = f"{NEW_VERSIONS}/{target}"
    if here != now:
        write_atomic(folder / target, path.read_bytes())
    laid |= dict.fromkeys([*edited, target], now)
    if edited:
        return Change(name, ASIDE, target)
    if here == now:
        return None
    return Change(name, RENEWED if here else NEW, target)


def _left(walk: dict[str, Path], folder: Path, laid: Hashes) -> list[Change]:
    """Files no longer part of the walk: they stay, are reported once, and are the participant's now."""
    gone = [name for name in laid if name not in walk and not name.startswith(f"{NEW_VERSIONS}/")]
    for name in gone:
        del laid[name]
    return [Change(name, LEFT) for name in gone if (folder / name).is_file()]


def _hash(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
