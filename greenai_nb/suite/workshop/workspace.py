"""A workspace: a participant's own copy of the walk, made and renewed without losing a line of theirs.

Beside the files lies a list of what was laid out, with hashes, so that an update tells a participant's
edit from a file that nobody has touched. Files are written aside and renamed; a copy that was
interrupted goes on with the next call.
"""

import hashlib
import json
import os
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
    "notebooks/profiles/*.yaml",
    "notebooks/solutions/*.py",
    "results/tutorial/records.jsonl",
)
NEW_VERSIONS = "new"
NEW, RENEWED, KEPT, ASIDE, LEFT = "new", "renewed", "kept", "aside", "left"


@dataclass(frozen=True)
class Change:
    """What became of one file of the workspace, and the sentence that says so."""

    name: str
    kind: str
    sentence: str


def update(source: Path, folder: Path) -> list[Change]:
    """Lay the walk of a checkout out in a folder, or renew there what a participant has not edited.

    An edited file stays as it is; if the walk has changed it, the new version is laid under ``new/``,
    outside the walk. Raises ``UsageError`` for a folder that holds something else or cannot be
    written; nothing in it is touched then.
    """
    if folder.resolve() == source.resolve():
        raise UsageError(f"{folder} is the walk itself. Choose another folder for the workspace.")
    try:
        laid = _opened(folder)
        try:
            changes = [
                change
                for name, path in parts(source).items()
                if (change := _renew(name, path.read_bytes(), folder, laid))
            ]
            return changes + _left(parts(source), folder, laid)
        finally:
            _write_list(folder, laid)
    except OSError as error:
        raise UsageError(
            f"cannot write a workspace to {folder} ({error.strerror}). Choose another folder."
        ) from error


def parts(source: Path) -> dict[str, Path]:
    """The files of a checkout that a participant needs, by their name in it."""
    found = (path for pattern in PARTS for path in sorted(source.glob(pattern)))
    return {path.relative_to(source).as_posix(): path for path in found}


def _opened(folder: Path) -> dict[str, str]:
    """Hashes of what was laid out before, by name; a new folder gets an empty list.

    A damaged list counts as empty: every file that differs counts as edited then.
    """
    path = folder / LIST
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(
                f"{folder} holds files and is no workspace of this walk: nothing was written. "
                "Choose a folder that is new or empty."
            )
        _write_list(folder, {})
    try:
        return dict(json.loads(path.read_text())["files"])
    except (ValueError, KeyError, TypeError):
        return {}


def _write_list(folder: Path, laid: dict[str, str]) -> None:
    write_atomic(folder / LIST, json.dumps({"files": dict(sorted(laid.items()))}, indent=1) + "\n")


def _renew(name: str, content: bytes, folder: Path, laid: dict[str, str]) -> Change | None:
    """Bring one file up to date, unless a participant has edited it; None where nothing is to say."""
    now, place, edited = _hash(content), name, list[str]()
    while (here := _hash_of(folder / place)) not in (None, now, laid.get(place)):
        if laid.get(place) == now:
            return Change(name, KEPT, f"{name} is edited and stays as it is.")
        edited.append(place)
        place = f"{NEW_VERSIONS}/{place}"
    if here != now:
        _lay(folder / place, content)
    laid |= dict.fromkeys([*edited, place], now)
    if edited:
        return Change(name, ASIDE, f"{name} is edited and stays as it is; its new version is {place}.")
    if here is None:
        return Change(name, NEW, f"{name} is new.")
    return Change(name, RENEWED, f"{name} was renewed.") if here != now else None


def _left(names: dict[str, Path], folder: Path, laid: dict[str, str]) -> list[Change]:
    """What is no longer part of the walk: it stays, is said once, and counts as the participant's."""
    gone = [name for name in laid if name not in names and not name.startswith(f"{NEW_VERSIONS}/")]
    for name in gone:
        del laid[name]
    return [
        Change(name, LEFT, f"{name} is no longer part of the walk and stays here.")
        for name in gone
        if (folder / name).is_file()
    ]


def _lay(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _hash_of(path: Path) -> str | None:
    return _hash(path.read_bytes()) if path.is_file() else None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
