import gzip
import hashlib
import os
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from mutations import mutations

from greenai_nb.data import fetch as fetch_module
from greenai_nb.data.fetch import FOLDER_VARIABLE, DataUnavailableError, fetch
from greenai_nb.data.sources import CIFAR10, FASHION_MNIST, MNIST, Resource, Source

CONTENT = bytes(range(256)) * 3000
PACKED = gzip.compress(CONTENT, mtime=0)


def resource(file, content, unpacked):
    md5 = hashlib.md5(content).hexdigest()
    return Resource(file, md5, hashlib.sha256(content).hexdigest(), unpacked)


SOURCE = Source(
    "small",
    (resource("images.gz", CONTENT, True), resource("archive.bin", CONTENT, False)),
    (),
    ("a",),
    "none",
)


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, understands ``Range``, and can break off after some bytes."""

    break_after: int | None = None
    ranges: list[str]

    def do_GET(self):
        path = Path(self.directory) / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        body, start = path.read_bytes(), 0
        if wanted := self.headers.get("Range"):
            type(self).ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
        else:
            self.send_response(200)
        rest = body[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: type(self).break_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(tmp_path):
    """Start servers on the loopback; each call serves a new folder and gives its address."""
    servers = []

    def start(folder: Path, break_after: int | None = None):
        handler = type("Handler", (Handler,), {"break_after": break_after, "ranges": []})
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/", handler

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def no_folder_of_ones_own(monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


@pytest.fixture
def good(tmp_path):
    folder = tmp_path / "good"
    folder.mkdir()
    (folder / "images.gz").write_bytes(PACKED)
    (folder / "archive.bin").write_bytes(CONTENT)
    return folder


def test_files_are_fetched_checked_and_cached(serve, good, tmp_path):
    address, _ = serve(good)
    paths = fetch(SOURCE, tmp_path / "cache", [address])
    assert gzip.decompress(paths[0].read_bytes()) == CONTENT
    assert fetch(SOURCE, tmp_path / "cache", ["http://127.0.0.1:9/"]) == paths


def test_a_mirror_that_packs_anew_is_accepted_where_the_content_is_checked(serve, good, tmp_path):
    (good / "images.gz").write_bytes(gzip.compress(CONTENT, compresslevel=1))
    address, _ = serve(good)
    fetch(SOURCE, tmp_path / "cache", [address])


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_bad_mirror_is_passed_over(serve, good, tmp_path, damage):
    bad = tmp_path / "bad"
    bad.mkdir()
    if damage != "missing":
        (bad / "images.gz").write_bytes(
            PACKED[:-50] if damage == "truncated" else gzip.compress(CONTENT[1:])
        )
        (bad / "archive.bin").write_bytes(CONTENT[1:])
    paths = fetch(SOURCE, tmp_path / "cache", [serve(bad)[0], serve(good)[0]])
    assert paths[1].read_bytes() == CONTENT


def test_a_damaged_archive_is_a_sentence_or_has_another_content(tmp_path):
    path = tmp_path / "small.gz"

    @settings(max_examples=1000)
    @given(mutations(gzip.compress(CONTENT[:600], mtime=0)))
    def damage(content):
        path.write_bytes(content)
        wrong = fetch_module.fault(path, resource("small.gz", CONTENT[:600], True))
        assert wrong is None or wrong.startswith(("cannot be unpacked (", "has MD5 "))

    damage()


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_where_all_mirrors_are_bad_nothing_is_left_and_the_reason_is_said(serve, good, tmp_path, damage):
    if damage == "missing":
        (good / "images.gz").unlink()
    else:
        (good / "images.gz").write_bytes(
            PACKED[:-50] if damage == "truncated" else gzip.compress(CONTENT[1:])
        )
    reason = {"truncated": "cannot be unpacked", "changed": "has MD5", "missing": "HTTP 404"}[damage]
    with pytest.raises(DataUnavailableError, match=reason):
        fetch(SOURCE, tmp_path / "cache", [serve(good)[0]])
    assert not list((tmp_path / "cache").rglob("images.gz"))


def test_a_broken_download_goes_on_where_it_stopped(serve, good, tmp_path):
    address, handler = serve(good, break_after=200_000)
    with pytest.raises(DataUnavailableError):
        fetch(SOURCE, tmp_path / "cache", [address])
    handler.break_after = None
    paths = fetch(SOURCE, tmp_path / "cache", [address])
    (asked,) = handler.ranges
    assert 0 < int(asked.removeprefix("bytes=").rstrip("-")) <= 200_000
    assert paths[1].read_bytes() == CONTENT
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_damaged_file_in_the_cache_is_fetched_again(serve, good, tmp_path):
    address, _ = serve(good)
    path = fetch(SOURCE, tmp_path / "cache", [address])[0]
    path.write_bytes(b"damaged")
    assert gzip.decompress(fetch(SOURCE, tmp_path / "cache", [address])[0].read_bytes()) == CONTENT


def test_offline_one_sentence_says_at_once_what_to_do(tmp_path):
    start = time.monotonic()
    with pytest.raises(DataUnavailableError) as caught:
        fetch(SOURCE, tmp_path / "cache", ["https://nowhere.invalid/"])
    assert time.monotonic() - start < 5
    assert "not on this machine" in str(caught.value) and FOLDER_VARIABLE in str(caught.value)


@pytest.mark.parametrize("place", ["", "small"])
def test_a_folder_of_ones_own_is_used_and_checked(good, tmp_path, monkeypatch, place):
    own = tmp_path / "own" / place
    own.mkdir(parents=True)
    for path in good.iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "own"))
    assert fetch(SOURCE, tmp_path / "cache", [])[0] == own / "images.gz"
    (own / "images.gz").write_bytes(PACKED[:-9])
    with pytest.raises(DataUnavailableError, match=r"images.gz cannot be unpacked .*Replace it"):
        fetch(SOURCE, tmp_path / "cache", [])


IDX = Source("mnist", (resource("a-idx3-ubyte.gz", CONTENT, True),), (), ("a",), "none", "MNIST")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("name", ["a-idx3-ubyte.gz", "a-idx3-ubyte", "a.idx3-ubyte", "a.idx3-ubyte.gz"])
def test_files_are_found_as_browsers_archives_and_torchvision_leave_them(
    tmp_path, monkeypatch, place, name, packed
):
    own = tmp_path / "own" / place
    own.mkdir(parents=True)
    (own / name).write_bytes(PACKED if packed else CONTENT)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "own"))
    (path,) = fetch(IDX, tmp_path / "cache", [])
    assert path == own / name and fetch_module.content(path) == CONTENT


def test_a_right_file_is_taken_before_a_wrong_one_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    (tmp_path / "a-idx3-ubyte").write_bytes(b"another set's")
    (tmp_path / "MNIST/raw/a-idx3-ubyte").write_bytes(CONTENT)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert fetch(IDX, tmp_path / "cache", []) == [tmp_path / "MNIST/raw/a-idx3-ubyte"]


def test_a_folder_of_ones_own_that_lacks_a_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(DataUnavailableError, match=rf"put into {tmp_path}, .* a-idx3-ubyte.gz"):
        fetch(IDX, tmp_path / "cache", [])


def test_a_damaged_file_in_a_cache_that_may_only_be_read_is_said(serve, good, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError("read-only")

    (tmp_path / "cache/small").mkdir(parents=True)
    (tmp_path / "cache/small/images.gz").write_bytes(b"damaged")
    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(DataUnavailableError, match="has MD5"):
        fetch(SOURCE, tmp_path / "cache", [serve(good)[0]])


def test_a_folder_that_is_none_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(DataUnavailableError, match="is not a folder"):
        fetch(SOURCE, tmp_path / "cache", [])


@pytest.mark.skipif(
    not Path(os.environ.get("GREENAI_TEST_MNIST", "absent")).is_dir(),
    reason="no official MNIST files here",
)
def test_the_official_mnist_files_come_through_loopback(serve, tmp_path):
    address, _ = serve(Path(os.environ["GREENAI_TEST_MNIST"]))
    paths = fetch(MNIST, tmp_path / "cache", [address])
    assert all(
        fetch_module.fault(path, each) is None for path, each in zip(paths, MNIST.resources, strict=True)
    )


@pytest.mark.parametrize("source", [MNIST, FASHION_MNIST, CIFAR10])
def test_sources_name_https_mirrors_and_whole_checksums(source):
    assert len(source.mirrors) > 1
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in source.mirrors)
    assert all(len(each.md5) == 32 and len(each.sha256) == 64 for each in source.resources)
