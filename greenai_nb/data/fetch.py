"""Find the files of a public data set: in your own folder, in the cache, or on a mirror.

Every file is checked by MD5 and SHA-256 each time it is read, wherever it is.
"""

import gzip
import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.resources.abc import Traversable
from pathlib import Path

from greenai_nb.data.sources import Resource, Source

FOLDER_VARIABLE = "GREENAI_DATA"
CONNECT_S, READ_S = 3.0, 30.0
CHUNK_BYTES = 1 << 16
NO_NETWORK = 'load("mnist-10k") and load("digits") need no network.'
GZIP = b"\x1f\x8b"


class DataUnavailableError(RuntimeError):
    """A data set is not on this machine and could not be fetched, or a file of it is damaged."""


def fetch(source: Source, cache: Path | None = None, mirrors: Sequence[str] | None = None) -> list[Path]:
    """Return the paths of a source's checked files, in the order of ``source.resources``.

    ``GREENAI_DATA`` names a folder that holds the files, directly, in ``<name>/``, or as torchvision
    leaves them; else they are looked for in ``cache`` (the user's cache folder by default) and then on
    each mirror in turn. A broken download resumes where it stopped. Raises ``DataUnavailableError``.
    """
    import pooch

    own = own_folder()
    folder = Path(cache or pooch.os_cache("greenai-nb")) / source.name
    paths = []
    for resource in source.resources:
        path = _own_file(own, source, resource) if own else None
        path = path or _cached_file(folder, resource)
        paths.append(path or _download(source, resource, folder, mirrors or source.mirrors))
    return paths


def own_folder() -> Path | None:
    """The folder that ``GREENAI_DATA`` names, if any. Raises ``DataUnavailableError`` if it is none."""
    own = os.environ.get(FOLDER_VARIABLE)
    if own and not Path(own).is_dir():
        raise DataUnavailableError(f"{FOLDER_VARIABLE} is {own!r}, which is not a folder.")
    return Path(own) if own else None


def content(file: Traversable) -> bytes:
    """What a file holds, unpacked if it is gzip. Raises ``DataUnavailableError`` if it is damaged."""
    try:
        packed = file.read_bytes()
        return gzip.decompress(packed) if packed.startswith(GZIP) else packed
    except (EOFError, OSError, zlib.error) as error:
        raise DataUnavailableError(f"{file} cannot be unpacked ({error}).") from error


def fault(path: Path, resource: Resource) -> str | None:
    """What is wrong with a file, judged by its published checksums; ``None`` if it is right."""
    try:
        found = content(path) if resource.unpacked else path.read_bytes()
    except (OSError, DataUnavailableError) as error:
        return str(error).removeprefix(f"{path} ").removesuffix(".")
    md5 = hashlib.md5(found, usedforsecurity=False).hexdigest()
    if md5 != resource.md5:
        return f"has MD5 {md5}, published is {resource.md5}"
    sha256 = hashlib.sha256(found).hexdigest()
    return None if sha256 == resource.sha256 else f"has SHA-256 {sha256}, published is {resource.sha256}"


def _own_file(folder: Path, source: Source, resource: Resource) -> Path | None:
    found = [path for path in _places(folder, source, resource) if path.is_file()]
    for path in found:
        if not fault(path, resource):
            return path
    if found:
        mend = f"Replace it, or unset {FOLDER_VARIABLE} to download {source.name}."
        raise DataUnavailableError(f"{found[0]} {fault(found[0], resource)}. {mend}")
    return None


def _places(folder: Path, source: Source, resource: Resource) -> Iterator[Path]:
    """Where a file may be, under the names that archives, browsers and torchvision give it."""
    names = [resource.file]
    if resource.unpacked:
        plain = resource.file.removesuffix(".gz")
        names += [plain, plain.replace("-idx", ".idx"), resource.file.replace("-idx", ".idx")]
    for place in (folder / source.name, folder, folder / source.torchvision / "raw"):
        yield from (place / name for name in names)


def _cached_file(folder: Path, resource: Resource) -> Path | None:
    path = folder / resource.file
    if not fault(path, resource):
        return path
    with suppress(OSError):  # there is none, or the folder is read-only
        path.unlink()
    return None


def _download(source: Source, resource: Resource, folder: Path, mirrors: Sequence[str]) -> Path:
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")
    path, reasons = folder / resource.file, []
    for mirror in mirrors:
        url = mirror + resource.file
        try:
            pooch.retrieve(url, None, resource.file, folder, downloader=_resume)
        except (requests.RequestException, OSError) as error:
            reply = getattr(error, "response", None)
            short = type(error).__name__ if reply is None else f"HTTP {reply.status_code}"
            reasons.append(f"{url}: {short}")
            continue
        wrong = fault(path, resource)
        if not wrong:
            return path
        with suppress(OSError):
            path.unlink()
        reasons.append(f"{url} {wrong}")
    needed = ", ".join(each.file for each in source.resources)
    said = f"{source.name} is not on this machine and could not be fetched ({'; '.join(reasons)})"
    raise DataUnavailableError(f"{said}. Connect once, or {where_to_put()} {needed}; {NO_NETWORK}")


def where_to_put() -> str:
    """How to give files of one's own, up to their names, which follow."""
    own = os.environ.get(FOLDER_VARIABLE)
    if not own:
        return f"set {FOLDER_VARIABLE} to a folder that holds"
    return f"put into {own}, which {FOLDER_VARIABLE} names and which lacks some of them,"


def _resume(url: str, output_file: str, _pooch: object) -> None:
    """A pooch downloader that keeps what has arrived beside the file and asks only for the rest."""
    import requests
    from tqdm import tqdm

    target, name = Path(output_file), url.rsplit("/", 1)[1]
    part = target.parent / f"{name}.{zlib.crc32(url.encode()):08x}.part"
    arrived = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={arrived}-"} if arrived else {}
    with requests.get(url, stream=True, timeout=(CONNECT_S, READ_S), headers=headers) as reply:
        if reply.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()
        reply.raise_for_status()
        resumed = reply.status_code == requests.codes.partial_content
        start = arrived if resumed else 0
        total = int(reply.headers.get("content-length", 0)) + start or None
        with (
            part.open("ab" if resumed else "wb") as stream,
            tqdm(desc=name, total=total, initial=start, unit="B", unit_scale=True) as bar,
        ):
            for chunk in reply.iter_content(CHUNK_BYTES):
                bar.update(stream.write(chunk))
    shutil.move(part, target)
