"""Where the runs of a sweep are kept: a local folder, or any place that fsspec can write to.

    runs/<fingerprint>/     notebook, records.jsonl, log.txt, and run.json, which comes last
    failed/<fingerprint>/   the same of a run that failed, with its error in run.json

A run counts once its ``run.json`` is there, so what was cut off half way is simply not there yet.
"""

import json
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from greenai_nb.checks import UsageError
from greenai_nb.suite.run.kernel import FAILED

RUNS, RECEIPT = "runs", "run.json"


@contextmanager
def as_folder(address: str | Path) -> Iterator[Path]:
    """A store as a folder: the one that it is, or a copy that is there until the block ends."""
    if "://" not in str(address):
        yield Path(address)
        return
    with tempfile.TemporaryDirectory() as copy:
        folder = Path(copy, PurePosixPath(str(address)).name)
        Store(str(address)).copy_to(folder)
        yield folder


class Store:
    """A place for runs, by its path or address. Raises ``UsageError`` for a kind fsspec has not."""

    def __init__(self, address: str) -> None:
        import fsspec

        self.address = address
        try:
            self._files, self._root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise UsageError(f"no store at {address}: {error}") from error

    def check(self) -> None:
        """Write and remove a small file. Raises ``UsageError`` where that is refused."""
        probe = f"{self._root}/.probe.{uuid.uuid4().hex}"
        try:
            self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(probe, b"")
            self._files.rm_file(probe)
        except OSError as error:
            raise UsageError(
                f"cannot write to {self.address} ({error.strerror or error}). Choose another with --out."
            ) from error

    def has(self, fingerprint: str, kind: str = RUNS) -> bool:
        """Whether a run is kept."""
        return bool(self._files.exists(f"{self._root}/{kind}/{fingerprint}/{RECEIPT}"))

    def kept(self, kind: str = RUNS) -> set[str]:
        """The fingerprints of all runs that are kept, from one listing."""
        self._files.invalidate_cache()
        found = self._files.glob(f"{self._root}/{kind}/*/{RECEIPT}")
        return {PurePosixPath(path).parent.name for path in found}

    def keep(self, folder: Path, fingerprint: str, kind: str = RUNS) -> None:
        """Take over the files of a run, its receipt last. Raises ``OSError`` where that is refused."""
        target = f"{self._root}/{kind}/{fingerprint}"
        self._files.makedirs(target, exist_ok=True)
        for path in sorted(folder.iterdir(), key=lambda each: each.name == RECEIPT):
            aside = f"{target}/.{path.name}.{uuid.uuid4().hex}"
            self._files.put_file(str(path), aside)
            self._files.mv(aside, f"{target}/{path.name}")

    def write(self, name: str, text: str) -> None:
        """Write a file beside the runs, aside and renamed."""
        aside = f"{self._root}/.{name}.{uuid.uuid4().hex}"
        self._files.pipe_file(aside, text.encode())
        self._files.mv(aside, f"{self._root}/{name}")

    def receipts(self, most: int) -> list[dict[str, Any]]:
        """What is known of some of the runs that are kept; a receipt that cannot be read is left out."""
        found = []
        for fingerprint in sorted(self.kept())[:most]:
            with suppress(OSError, ValueError):
                content = self._files.cat_file(f"{self._root}/{RUNS}/{fingerprint}/{RECEIPT}")
                found.append(json.loads(content))
        return found

    def copy_to(self, folder: Path) -> None:
        """Copy all that is kept into a folder."""
        for kind in (RUNS, FAILED):
            for fingerprint in self.kept(kind):
                target = folder / kind / fingerprint
                target.mkdir(parents=True)
                for path in self._files.ls(f"{self._root}/{kind}/{fingerprint}", detail=False):
                    self._files.get_file(path, str(target / PurePosixPath(path).name))

    def forget(self, fingerprint: str, kind: str = FAILED) -> None:
        """Remove a run, if it is there."""
        if self._files.exists(f"{self._root}/{kind}/{fingerprint}"):
            self._files.rm(f"{self._root}/{kind}/{fingerprint}", recursive=True)
