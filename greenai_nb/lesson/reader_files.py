"""A reader's progress and predictions, as JSON beside the notebooks' folder, which git ignores.

Nothing is sent anywhere. Runs without a reader neither write nor read such files, so that published
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


@dataclass(frozen=True)
class ReaderFile:
    """A JSON file of dictionaries by name; the environment's ``variable`` may give it another path.

    ``content`` says what is in it, as in "your progress".
    """

    name: str
    variable: str
    content: str

    def load(self) -> dict[str, dict[str, Any]]:
        """All that is stored; a file that cannot be read is reported, and counts as empty."""
        path = self._path()
        if not _has_reader() or not path.is_file():
            return {}
        try:
            return {name: dict(stored) for name, stored in json.loads(path.read_text()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            print(f"{path.name} cannot be read, so {self.content} starts anew")
            return {}

    def store(self, dictionaries: Mapping[str, Any]) -> None:
        """Replace the file; one that cannot be written is reported, and stops nothing."""
        if not _has_reader():
            return
        try:
            write_atomic(self._path(), json.dumps(dictionaries, indent=1) + "\n")
        except OSError as error:
            print(f"{self.content} is not kept: {error.strerror}")

    def _path(self) -> Path:
        return Path(os.environ.get(self.variable) or root() / self.name)


def _has_reader() -> bool:
    from greenai_nb.show.figure import is_interactive  # which brings matplotlib

    return is_interactive()
