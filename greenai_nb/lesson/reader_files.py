"""What a reader leaves behind, in small JSON files beside the notebooks' folder, which git ignores.

Nothing is sent anywhere. Runs without a reader neither keep nor read such files, so that published
notebooks are the same for all.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenai_nb.files import write_atomic
from greenai_nb.lesson.project import root
from greenai_nb.show.figure import is_interactive


@dataclass(frozen=True)
class ReaderFile:
    """A file of entries by name; the environment ``variable`` may name another place for it.

    ``what`` are the words for its content, as in "your progress". Entries are dictionaries.
    """

    file: str
    variable: str
    what: str

    def load(self) -> dict[str, dict[str, Any]]:
        """All entries; a file that cannot be read is said, and counts as empty."""
        path = self._path()
        if not is_interactive() or not path.is_file():
            return {}
        try:
            entries = json.loads(path.read_text())
            return {name: dict(entry) for name, entry in entries.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            print(f"{path.name} cannot be read, so {self.what} starts anew")
            return {}

    def store(self, entries: Mapping[str, Any]) -> None:
        """Write all entries; a place that cannot be written is said, and stops nothing."""
        if not is_interactive():
            return
        try:
            write_atomic(self._path(), json.dumps(entries, indent=1) + "\n")
        except OSError as error:
            print(f"{self.what} is not kept: {error.strerror}")

    def _path(self) -> Path:
        return Path(os.environ.get(self.variable) or root() / self.file)
