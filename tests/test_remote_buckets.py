"""Files in buckets: S3 by a server of moto's on loopback, and what is missing elsewhere."""

from __future__ import annotations

import importlib
import logging
import os
import re
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile
from remote_support import request_of

from nightjar.errors import SourceError, SourceUnavailable
from nightjar.progress import SILENT
from nightjar.sources.remote import FetchedFile, fetch_files, fetched_files, object_storage

SECRET = "kQ7sEcReT+kEy/0fTh1sTeSt"
EXTRA = "the extra s3 and moto are not installed"
pytest.importorskip("s3fs", reason=EXTRA)
boto3 = pytest.importorskip("boto3", reason=EXTRA)
moto_server = pytest.importorskip("moto.server", reason=EXTRA)
buckets = pytest.importorskip("nightjar.sources.remote.buckets", reason=EXTRA)


class Bucket:
    """A bucket ``lake`` of a running server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
        self.client.create_bucket(Bucket="lake")

    def put(self, key: str, content: bytes) -> str:
        self.client.put_object(Bucket="lake", Key=key, Body=content)
        return f"s3://lake/{key}"

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket="lake", Key=key)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(object_storage, "DELAYS", (0.01,))
    found = Bucket(endpoint)
    yield found
    for entry in found.client.list_objects_v2(Bucket="lake").get("Contents", []):
        found.delete(entry["Key"])
    found.client.delete_bucket(Bucket="lake")


def fetch(tmp_path: Path, bucket: Bucket, *patterns: str, **settings: Any) -> list[FetchedFile]:
    request = request_of(*patterns, **{"endpoint_url": bucket.url, **settings})
    return fetch_files(request, tmp_path / "fetched", SILENT)


def asked(caplog: pytest.LogCaptureFixture, method: str = "GET") -> list[str]:
    """The keys that the server was asked for, in order."""
    found = re.findall(rf'"{method} /lake/(\S+) HTTP', caplog.text)
    caplog.clear()
    return found


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    logging.getLogger("werkzeug").setLevel(logging.INFO)
    return caplog


def test_a_glob_lists_a_bucket_and_only_new_objects_are_fetched(
    tmp_path: Path, bucket: Bucket, log: pytest.LogCaptureFixture
) -> None:
    for name in ("a.txt", "sub/b.txt", ".hidden.txt", "c.csv"):
        bucket.put(f"day/{name}", name.encode())
    files = fetch(tmp_path, bucket, "s3://lake/day/**/*.txt")
    assert [str(file.place) for file in files] == ["lake/day/a.txt", "lake/day/sub/b.txt"]
    assert [file.path.read_bytes() for file in files] == [b"a.txt", b"sub/b.txt"]
    assert sorted(asked(log)) == ["day/a.txt", "day/sub/b.txt"]
    bucket.put("day/d.txt", b"new")
    bucket.put("day/a.txt", b"changed")
    bucket.delete("day/sub/b.txt")
    files = fetch(tmp_path, bucket, "s3://lake/day/**/*.txt")
    assert [file.path.read_bytes() for file in files] == [b"changed", b"new"]
    assert "2 of 2 objects fetched, 1 gone since the last time (s3://lake/day/sub/b.txt" in log.text
    assert sorted(asked(log)) == ["day/a.txt", "day/d.txt"]
    assert fetch(tmp_path, bucket, "s3://lake/day/**/*.txt") == files
    assert asked(log) == []


def after_the_first_piece(monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Pieces are small, and ``what`` happens between the first two."""
    monkeypatch.setattr(buckets, "_PIECE_BYTES", 1 << 16)
    add = fetched_files.Writing.add
    left = [what]

    def adding(writing: fetched_files.Writing, piece: bytes) -> None:
        add(writing, piece)
        if left:
            left.pop()()

    monkeypatch.setattr(fetched_files.Writing, "add", adding)


def test_an_object_that_changes_while_it_is_fetched_starts_over(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = os.urandom(300_000), os.urandom(300_000)
    url = bucket.put("a.bin", old)
    after_the_first_piece(monkeypatch, lambda: bucket.put("a.bin", new))
    (file,) = fetch(tmp_path, bucket, url)
    assert file.path.read_bytes() == new


def test_a_fetch_that_ended_half_way_goes_on(
    tmp_path: Path,
    bucket: Bucket,
    log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = os.urandom(5 << 16)
    url = bucket.put("a.bin", content)

    def end() -> None:
        raise MemoryError

    after_the_first_piece(monkeypatch, end)
    with pytest.raises(MemoryError):
        fetch(tmp_path, bucket, url)
    assert len(asked(log)) == 1
    (file,) = fetch(tmp_path, bucket, url)
    assert file.path.read_bytes() == content
    assert len(asked(log)) == 4


@contextmanager
def breaking(url: str, n_bytes: int, n_times: int) -> Iterator[tuple[str, list[int]]]:
    """A way to the server that breaks so often, each time after ``n_bytes`` of an answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    broken: list[int] = []

    class Way(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, int(port))) as server:
                back = threading.Thread(target=self.answer, args=(server,))
                back.start()
                while data := self.request.recv(1 << 16):
                    server.sendall(data)
                server.shutdown(socket.SHUT_WR)
                back.join()

        def answer(self, server: socket.socket) -> None:
            n_sent = 0
            with suppress(OSError):
                while data := server.recv(1 << 16):
                    self.request.sendall(data)
                    n_sent += len(data)
                    if n_sent > n_bytes and len(broken) < n_times:
                        broken.append(n_sent)
                        break
                self.request.shutdown(socket.SHUT_RDWR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Way) as way:
        way.daemon_threads = True
        thread = threading.Thread(target=way.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{way.server_address[1]}", broken
        way.shutdown()
        thread.join()


def test_a_connection_to_a_bucket_that_breaks_is_made_anew(tmp_path: Path, bucket: Bucket) -> None:
    content = os.urandom(1_000_000)
    url = bucket.put("a.bin", content)
    with breaking(bucket.url, 300_000, n_times=3) as (endpoint, broken):
        (file,) = fetch(tmp_path, bucket, url, endpoint_url=endpoint)
    assert file.path.read_bytes() == content
    assert len(broken) == 3


class Cloud(AbstractFileSystem):  # type: ignore[misc]
    """A storage with generations that serves whatever is there, as Google's does."""

    objects: ClassVar[dict[str, tuple[bytes, int]]] = {}
    options: ClassVar[dict[str, Any]] = {}
    n_read: ClassVar[list[str]] = []
    ends_at: ClassVar[int | None] = None
    """More of an object is never sent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        Cloud.options = options

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        if path not in self.objects:
            raise FileNotFoundError(path)
        content, generation = self.objects[path]
        size = len(content)
        return {"name": path, "size": size, "type": "file", "generation": str(generation)}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        return [self.info(name) for name in self.objects if name.startswith(f"{path}/")]

    def _open(self, path: str, mode: str = "rb", **settings: Any) -> AbstractBufferedFile:
        return CloudFile(self, path, mode, settings["block_size"], cache_type="none")


class CloudFile(AbstractBufferedFile):  # type: ignore[misc]
    def _fetch_range(self, start: int, end: int) -> bytes:
        Cloud.n_read.append(self.path)
        return Cloud.objects[self.path][0][: Cloud.ends_at][start:end]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> type[Cloud]:
    Cloud.objects, Cloud.n_read, Cloud.ends_at = {}, [], None
    monkeypatch.setitem(sys.modules, "gcsfs", ModuleType("gcsfs"))
    known = importlib.import_module("fsspec.registry")._registry
    monkeypatch.setitem(known, "gs", Cloud)
    monkeypatch.setattr(object_storage, "DELAYS", (0.01,))
    return Cloud


def test_generations_tell_what_is_new(tmp_path: Path, cloud: type[Cloud]) -> None:
    cloud.objects.update({"lake/a.txt": (b"a", 1), "lake/b.txt": (b"b", 1)})
    request = request_of("gs://lake/*.txt", anonymous=True)
    fetch_files(request, tmp_path / "fetched", SILENT)
    cloud.objects["lake/b.txt"] = (b"c", 2)
    files = fetch_files(request, tmp_path / "fetched", SILENT)
    assert [file.path.read_bytes() for file in files] == [b"a", b"c"]
    assert sorted(cloud.n_read) == ["lake/a.txt", "lake/b.txt", "lake/b.txt"]
    assert cloud.options["token"] == "anon"


def test_an_object_that_is_not_as_long_as_it_was_said_is_never_published(
    tmp_path: Path, cloud: type[Cloud]
) -> None:
    cloud.objects["lake/a.bin"] = (bytes(300_000), 1)
    cloud.ends_at = 100_000
    with pytest.raises(SourceUnavailable, match="100,000 bytes came instead of 300,000; tried 2"):
        fetch_files(request_of("gs://lake/a.bin"), tmp_path / "fetched", SILENT)
    assert list((tmp_path / "fetched" / "objects").iterdir()) == []


def test_a_change_shows_where_no_request_can_name_a_version(
    tmp_path: Path, cloud: type[Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = os.urandom(300_000), os.urandom(300_000)
    cloud.objects["lake/a.bin"] = (old, 1)
    after_the_first_piece(monkeypatch, lambda: cloud.objects.update({"lake/a.bin": (new, 2)}))
    (file,) = fetch_files(request_of("gs://lake/a.bin"), tmp_path / "fetched", SILENT)
    assert file.path.read_bytes() == new


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://lake/missing.txt", "stands for no object"),
        ("s3://lake/*.txt", "stands for no object"),
        ("s3://nowhere/a.txt", "stands for no object"),
        ("s3://lake/day", r"is a folder; name its objects, as in s3://lake/day/\*"),
    ],
)
def test_what_is_not_there_is_said_with_the_source(
    tmp_path: Path, bucket: Bucket, url: str, message: str
) -> None:
    bucket.put("day/a.csv", b"a")
    with pytest.raises(SourceError, match=rf"sources\.in\.path: {re.escape(url)}: {message}"):
        fetch(tmp_path, bucket, url)


def test_a_profile_that_is_not_there_is_named(tmp_path: Path, bucket: Bucket) -> None:
    with pytest.raises(SourceError, match=r"profile \(nobody\) could not be found"):
        fetch(tmp_path, bucket, "s3://lake/*", profile="nobody")


def test_without_credentials_the_message_says_where_they_belong(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.put("a.txt", b"a")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(SourceError, match=r"credentials.*set AWS_ACCESS_KEY_ID"):
        fetch(tmp_path, bucket, url)
    with pytest.raises(SourceError, match=r"a\.txt: access is refused \(Forbidden\)"):
        fetch(tmp_path, bucket, url, anonymous=True)
    bucket.client.put_object_acl(Bucket="lake", Key="a.txt", ACL="public-read")
    (file,) = fetch(tmp_path, bucket, url, anonymous=True)
    assert file.path.read_bytes() == b"a"
    (tmp_path / "aws").write_text(
        f"[team]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = {SECRET}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws"))
    url = bucket.put("b.txt", b"b")
    (file,) = fetch(tmp_path, bucket, url, profile="team", region="eu-central-1")
    assert file.path.read_bytes() == b"b"


def test_a_server_that_does_not_answer_is_tried_again_then_named(
    tmp_path: Path, bucket: Bucket
) -> None:
    message = r"s3://lake/\*: Could not connect.*tried 2 times"
    with pytest.raises(SourceUnavailable, match=message):
        fetch(tmp_path, bucket, "s3://lake/*", endpoint_url="http://127.0.0.1:9")


@pytest.mark.parametrize(("family", "module"), [("s3", "s3fs"), ("gs", "gcsfs"), ("az", "adlfs")])
def test_a_missing_extra_is_named(
    tmp_path: Path, family: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"{family}:// needs {module}: pip install 'nightjar\[{family}\]'"
    with pytest.raises(SourceError, match=message):
        fetch_files(request_of(f"{family}://lake/*"), tmp_path / "fetched", SILENT)


def test_the_secret_is_in_no_file_and_no_log(
    tmp_path: Path, bucket: Bucket, log: pytest.LogCaptureFixture
) -> None:
    fetch(tmp_path, bucket, bucket.put("a.txt", b"a"))
    with pytest.raises(SourceError) as refused:
        fetch(tmp_path, bucket, "s3://lake/b.txt")
    assert SECRET not in log.text + str(refused.value) + repr(refused.value.__context__)
    files = [path for path in (tmp_path / "fetched").rglob("*") if path.is_file()]
    assert len(files) >= 2
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_keys_with_empty_parts_are_keys_like_any_other(tmp_path: Path, bucket: Bucket) -> None:
    keys = ("in/a.txt", "in//b.txt", "in///c.txt", "in/sub//d.txt", "in/sub/b.txt", "inner/e.txt")
    for key in (*keys, "in/._f.txt", "in/folder/", "/g.txt", "in/./h.txt", "in/h.txt"):
        bucket.put(key, key.encode())

    def found(pattern: str) -> list[str]:
        return [file.path.read_text() for file in fetch(tmp_path, bucket, pattern)]

    assert sorted(found("s3://lake/in/**/*.txt")) == sorted([*keys[:-1], "in/h.txt"])
    assert sorted(found("s3://lake/in/**/[!a-c].txt")) == ["in/h.txt", "in/sub//d.txt"]
    assert found("s3://lake/in//*.txt") == ["in//b.txt"]
    assert found("s3://lake/in//b.txt") == ["in//b.txt"]
    assert found("s3://lake/**/g.tx?") == ["/g.txt"]
    files = fetch(tmp_path, bucket, "s3://lake/in/**/b.txt")
    assert sorted(str(file.place) for file in files) == ["lake/in/_/b.txt", "lake/in/sub/b.txt"]
    assert sorted(file.url.partition(" at ")[0] for file in files) == [
        "s3://lake/in//b.txt",
        "s3://lake/in/sub/b.txt",
    ]
