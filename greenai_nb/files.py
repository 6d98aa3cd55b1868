"""Write a file whole or not at all, so that a reader never sees half of it."""

import os
from pathlib import Path


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write beside the file's place and rename, which replaces what is there at once.

    Folders are made as needed. Raises ``OSError`` where that is refused, and leaves nothing behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
