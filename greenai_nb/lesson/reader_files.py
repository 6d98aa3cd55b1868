"""A reader's progress and predictions, as JSON beside the notebooks' folder, which git ignores.

Nothing is sent anywhere. Runs without a reader neither write nor read such files, so that published
notebooks are the same for all.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from greenai_nb.checks import UsageError
from greenai_nb.files import read_as, write_atomic
from greenai_nb.lesson.project import home
from greenai_nb.machine import is_interactive


@dataclass(frozen=True)
class ReaderFile:
    """A JSON file of values of a ``kind`` by name; ``content`` says what it is: "your progress"."""

    name: str
    content: str
    kind: Any

    def load(self) -> dict[str, Any]:
        """All that is stored; a file that cannot be read is set aside, and counts as empty."""
        path = self._path()
        if path is None or not path.is_file():
            return {}
        try:
            return read_as(path, dict[str, self.kind])
        except UsageError as error:
            names = (path.with_suffix(f".{number}.damaged") for number in count(1))
            aside = next(name for name in names if not name.exists())
            with suppress(OSError):
                path.replace(aside)
            print(f"{error}\nSo {self.content} starts anew; what was there is now in {aside.name}.")
            return {}

    def store(self, values: Mapping[str, Any]) -> None:
        """Replace the file; if it cannot be written, that is reported and stops nothing."""
        try:
            if path := self._path():
                write_atomic(path, msgspec.json.format(msgspec.json.encode(values), indent=1) + b"\n")
        except OSError as error:
            print(f"{self.content} is not saved: {error.strerror}")

    def _path(self) -> Path | None:
        return home() / self.name if is_interactive() else None
