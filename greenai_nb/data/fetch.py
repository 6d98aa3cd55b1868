"""Find the files of a public data set: in a folder of yours, in the cache, or on a mirror.

Every file is checked by MD5 and SHA-256 each time it is read, wherever it lies.
"""

import gzip
import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from greenai_nb.data.sources import Resource, Source

FOLDER_VARIABLE = "GREENAI_DATA"
CONNECT_S, READ_S = 3.0, 30.0
CHUNK_BYTES = 1 << 16


class DataUnavailableError(RuntimeError):
    """A data set is not on this machine and could not be fetched, or a file of it is damaged."""


def fetch(source: Source, cache: Path | None = None, mirrors: Sequence[str] | None = None) -> list[Path]:
    """Return the paths of a source's checked files, in the order of ``source.resources``.

    ``GREENAI_DATA`` names a folder that holds the files, directly or in ``<name>/``; else they are
    looked for in ``cache`` (the user's cache folder by default) and then on each mirror in turn. A
    broken download goes on where it stopped. Raises ``DataUnavailableError``.
    """
    own = os.environ.get(FOLDER_VARIABLE)
    if own and not Path(own).is_dir():
        raise DataUnavailableError(f"{FOLDER_VARIABLE} is {own!r}, which is not a folder.")
    cache = cache or _user_cache()
    folder = cache / source.name
    paths = []
    for resource in source.resources:
        path = _own_file(Path(own), source, resource) if own else None
        path = path or _cached_file(folder, resource)
        paths.append(path or _download(source, resource, folder, mirrors or source.mirrors))
    return paths


def fault(path: Path, resource: Resource) -> str | None:
    """Say what is wrong with a file against its published checksums, or ``None`` if it is right."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    try:
        for chunk in _chunks(path, resource.unpacked):
            md5.update(chunk)
            sha256.update(chunk)
    except (EOFError, OSError, zlib.error) as error:
        return f"cannot be unpacked ({error})"
    if md5.hexdigest() != resource.md5:
        return f"has MD5 {md5.hexdigest()}, published is {resource.md5}"
    if sha256.hexdigest() != resource.sha256:
        return f"has SHA-256 {sha256.hexdigest()}, published is {resource.sha256}"
    return None


def _chunks(path: Path, unpacked: bool) -> Iterator[bytes]:
    with gzip.open(path) if unpacked else path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def _user_cache() -> Path:
    import pooch

    return Path(pooch.os_cache("greenai-nb"))


def _own_file(folder: Path, source: Source, resource: Resource) -> Path | None:
    for path in (folder / source.name / resource.file, folder / resource.file):
        if path.is_file():
            if wrong := fault(path, resource):
                raise DataUnavailableError(
                    f"{path} {wrong}. Replace it, or unset {FOLDER_VARIABLE} to download {source.name}."
                )
            return path
    return None


def _cached_file(folder: Path, resource: Resource) -> Path | None:
    path = folder / resource.file
    if not path.is_file():
        return None
    if fault(path, resource):
        path.unlink()
        return None
    return path


def _download(source: Source, resource: Resource, folder: Path, mirrors: Sequence[str]) -> Path:
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")
    reasons = []
    for mirror in mirrors:
        url = mirror + resource.file
        try:
            pooch.retrieve(url, None, resource.file, folder, downloader=_resume)
        except (requests.RequestException, OSError) as error:
            reasons.append(f"{url}: {_short(error)}")
            continue
        if wrong := fault(folder / resource.file, resource):
            (folder / resource.file).unlink()
            reasons.append(f"{url} {wrong}")
            continue
        return folder / resource.file
    needed = ", ".join(each.file for each in source.resources)
    raise DataUnavailableError(
        f"{source.name} is not on this machine and could not be fetched ({'; '.join(reasons)}). "
        f"Connect once, or set {FOLDER_VARIABLE} to a folder that holds {needed}; "
        'load("mnist-10k") and load("digits") need no network.'
    )


def _resume(url: str, output_file: str, _pooch: object) -> None:
    """A pooch downloader that keeps what has arrived beside the file and asks for the rest only."""
    import requests
    from tqdm import tqdm

    target = Path(output_file)
    part = target.parent / f"{url.rsplit('/', 1)[1]}.{zlib.crc32(url.encode()):08x}.part"
    arrived = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={arrived}-"} if arrived else {}
    with requests.get(url, stream=True, timeout=(CONNECT_S, READ_S), headers=headers) as reply:
        if reply.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()
        reply.raise_for_status()
        resumed = reply.status_code == requests.codes.partial_content
        total = int(reply.headers.get("content-length", 0)) + (arrived if resumed else 0)
        with (
            part.open("ab" if resumed else "wb") as stream,
            tqdm(
                desc=url.rsplit("/", 1)[1],
                total=total or None,
                initial=arrived if resumed else 0,
                unit="B",
                unit_scale=True,
            ) as bar,
        ):
            for chunk in reply.iter_content(CHUNK_BYTES):
                bar.update(stream.write(chunk))
    shutil.move(part, target)


def _short(error: Exception) -> str:
    response = getattr(error, "response", None)
    return f"HTTP {response.status_code}" if response is not None else type(error).__name__
