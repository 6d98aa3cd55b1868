"""Where the runs of a sweep are stored: a local folder, or any address that fsspec can write to.

    runs/<fingerprint>/     notebook, records.jsonl, log.txt, and run.json, which comes last
    failed/<fingerprint>/   the same of a failed run, with its error in run.json

A run counts once its ``run.json`` is there, so one that was interrupted simply does not count yet.
"""

import tempfile
import uuid
from collections.abc import Collection, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import msgspec

from greenai_nb.checks import UsageError

RUNS, FAILED, RECEIPT = "runs", "failed", "run.json"


class Receipt(msgspec.Struct, kw_only=True):
    """What ``run.json`` says about a run."""

    notebook: str
    fingerprint: str
    profile: str
    parameters: dict[str, Any]
    started: str
    machine: dict[str, Any]
    revision: str | None
    lock: str
    time_s: float
    peak_ram_mb: float
    cell: int | None = None
    error: str = ""


class Store:
    """Runs at a path or an address. Raises ``UsageError`` for a kind of address unknown to fsspec."""

    def __init__(self, address: str) -> None:
        self.address = address if "://" in address else str(Path(address).resolve())
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            raise UsageError(f"no store at {address}: {error}") from error

    @contextmanager
    def as_folder(self) -> Iterator[Path]:
        """The store as a folder: its own if it is local, or a copy that lasts until the block ends."""
        if "://" not in self.address:
            yield Path(self.address)
            return
        with tempfile.TemporaryDirectory() as copy:
            folder = Path(copy, PurePosixPath(self._root).name)
            for kind in (RUNS, FAILED):
                for run in self.fingerprints(kind):
                    here = f"{kind}/{run}"
                    self._files.get(f"{self._root}/{here}", f"{folder}/{here}", recursive=True)
            yield folder

    def check(self) -> None:
        """Write and remove a small file. Raises ``UsageError`` if that is refused."""
        probe = f".probe.{uuid.uuid4().hex}"
        try:
            self.write(probe, b"")
            self._files.rm_file(f"{self._root}/{probe}")
        except OSError as error:
            why = f"cannot write to {self.address} ({error.strerror or error})"
            raise UsageError(f"{why}. Choose another with --out.") from error

    def has(self, fingerprint: str) -> bool:
        """Whether a run is finished."""
        return bool(self._receipts({fingerprint}, RUNS))

    def finished(self, fingerprints: Set[str], kind: str = RUNS) -> set[str]:
        """Which of these runs have a complete receipt of their own."""
        here = self._receipts(fingerprints & self.fingerprints(kind), kind)
        return {receipt.fingerprint for receipt in here}

    def _receipts(self, fingerprints: Collection[str], kind: str) -> list[Receipt]:
        paths = [f"{self._root}/{kind}/{fingerprint}/{RECEIPT}" for fingerprint in sorted(fingerprints)]
        found = list[Receipt]()
        for content in self._files.cat(paths, on_error="omit").values() if paths else ():
            with suppress(ValueError, msgspec.MsgspecError):
                found.append(msgspec.json.decode(content, type=Receipt))
        return [receipt for receipt in found if receipt.fingerprint in fingerprints]

    def fingerprints(self, kind: str = RUNS) -> set[str]:
        """The runs that are stored, from one listing."""
        self._files.invalidate_cache()
        paths = self._files.glob(f"{self._root}/{kind}/*/{RECEIPT}")
        return {PurePosixPath(path).parent.name for path in paths}

    def receipts(self, limit: int) -> list[Receipt]:
        """The receipts of some finished runs; one that cannot be read is left out."""
        return self._receipts(sorted(self.fingerprints())[:limit], RUNS)

    def put(self, folder: Path, fingerprint: str, kind: str = RUNS) -> None:
        """Store the files of a run, its receipt last. Raises ``OSError`` if that is refused."""
        for path in sorted(folder.iterdir(), key=lambda path: path.name == RECEIPT):
            self.write(f"{kind}/{fingerprint}/{path.name}", path.read_bytes())

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all. Raises ``OSError`` if that is refused."""
        path = PurePosixPath(self._root, name)
        partial = f"{path.parent}/.{path.name}.{uuid.uuid4().hex}"
        self._files.makedirs(str(path.parent), exist_ok=True)
        self._files.pipe_file(partial, content)
        self._files.mv(partial, str(path))

    def forget_failure(self, fingerprint: str) -> None:
        """Remove what is stored of a run that failed, if it is there."""
        with suppress(FileNotFoundError):
            self._files.rm(f"{self._root}/{FAILED}/{fingerprint}", recursive=True)
