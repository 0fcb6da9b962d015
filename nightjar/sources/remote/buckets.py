"""Objects in S3, Google Cloud Storage and Azure, through fsspec."""

from __future__ import annotations

import errno
import glob
import importlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import fsspec
from aiohttp import ClientTimeout

from nightjar.config import StorageConfig
from nightjar.errors import SourceError
from nightjar.files import urls
from nightjar.sources.remote.object_storage import (
    Body,
    Interrupted,
    ObjectChanged,
    ObjectVersion,
    RemoteObject,
    Rest,
)

_CONNECT_SECONDS = 10
_SILENT_SECONDS = 60
_PIECE_BYTES = 1 << 23
"""Bytes per request."""
_MARKS = ("generation", "ETag", "etag", "VersionId", "version_id")
"""Keys in an object's metadata that distinguish its versions, the best first."""
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")


@dataclass(frozen=True)
class _Errors:
    """Error classes of a library, as ``module:Class``."""

    passing: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Family:
    protocol: str
    module: str
    errors: _Errors


_FAMILIES: Mapping[str, _Family] = {
    "s3": _Family(
        "s3",
        "s3fs",
        _Errors(
            (
                "botocore.exceptions:HTTPClientError",
                "botocore.exceptions:ConnectionError",
                "botocore.exceptions:IncompleteReadError",
                "aiohttp:ClientError",
            ),
            ("botocore.exceptions:BotoCoreError", "botocore.exceptions:ClientError"),
        ),
    ),
    "gs": _Family(
        "gs",
        "gcsfs",
        _Errors(
            ("google.auth.exceptions:TransportError", "aiohttp:ClientError"),
            ("google.auth.exceptions:GoogleAuthError", "gcsfs.retry:HttpError"),
        ),
    ),
    "az": _Family(
        "abfs",
        "adlfs",
        _Errors(
            (
                "azure.core.exceptions:ServiceRequestError",
                "azure.core.exceptions:ServiceResponseError",
                "aiohttp:ClientError",
            ),
            ("azure.core.exceptions:AzureError",),
        ),
    ),
}


class BucketStorage:
    """Storage for ``s3://``, ``gs://`` and ``az://`` URLs."""

    def __init__(self, family: str, config: StorageConfig) -> None:
        found = _FAMILIES[family]
        try:
            importlib.import_module(found.module)
        except ModuleNotFoundError as error:
            raise SourceError(
                f"{family}:// needs {error.name}: pip install 'nightjar[{family}]'"
            ) from error
        self._family = family
        self._passing: tuple[type[Exception], ...] = _classes(found.errors.passing)
        self._lasting: tuple[type[Exception], ...] = (*_classes(found.errors.lasting), ValueError)
        with self._translated(f"{family}://"):
            self._files = fsspec.filesystem(
                found.protocol,
                skip_instance_cache=True,
                use_listings_cache=False,
                **_options(family, config),
            )
        if family == "s3":
            # Not five times: a silent server would be named for the first time after ten minutes.
            self._files.retries = 3

    def find(self, url: str) -> list[RemoteObject]:
        """The object at ``url``, or those that match a glob, with their versions."""
        pattern = str(self._files._strip_protocol(url))  # noqa: SLF001 (fsspec has no other way)
        with self._translated(url):
            if glob.has_magic(pattern):
                found = self._matches(pattern)
                return [
                    self._object(found[name])
                    for name in sorted(found)
                    if found[name]["type"] == "file" and _is_shown(name, pattern)
                ]
            try:
                info = self._files.info(pattern)
            except FileNotFoundError:
                return []
        if info["type"] != "file":
            raise SourceError(f"{url}: is a folder; name its objects, as in {url.rstrip('/')}/*")
        return [self._object(info)]

    def _matches(self, pattern: str) -> Mapping[str, Mapping[str, Any]]:
        """What ``pattern`` matches, with details.

        In a bucket a key may have empty parts (``in//b.jsonl``), which fsspec's globs leave out.
        """
        if _ANY_FOLDERS not in pattern.split("/") and "//" not in pattern:
            found: Mapping[str, Mapping[str, Any]] = self._files.glob(pattern, detail=True)
            return found
        literal = pattern[: re.search(r"[*?[]", pattern).start()]  # type: ignore[union-attr]
        every = self._files.find(literal.rpartition("/")[0], detail=True)
        matches = re.compile(_as_regex(pattern)).fullmatch
        return {name: info for name, info in every.items() if matches(name) and name[-1] != "/"}

    @contextmanager
    def open(
        self, found: RemoteObject, known: ObjectVersion | None, rest: Rest | None
    ) -> Iterator[Body | None]:
        """See :class:`.object_storage.Storage`."""
        path = found.url.partition("://")[2]
        with self._translated(found.url):
            stream = self._files.open(path, "rb", block_size=_PIECE_BYTES, cache_type="none")
        with stream:
            version = _version(stream.details)
            if known is not None and known.is_of(version):
                yield None
                return
            is_same = rest is not None and rest.version.is_of(version)
            start = rest.start if rest is not None and is_same else 0
            yield Body(version, start, self._pieces(found.url, path, stream, version, start))

    def close(self) -> None:
        """Do nothing: the library closes its connections."""

    def _object(self, info: Mapping[str, Any]) -> RemoteObject:
        name = str(info["name"])
        place = PurePosixPath(*(urls.file_name(part) for part in name.split("/")))
        return RemoteObject(f"{self._family}://{name}", place, _version(info))

    def _pieces(
        self, url: str, path: str, stream: Any, version: ObjectVersion, start: int
    ) -> Iterator[bytes]:
        with self._translated(url):
            stream.seek(start)
            while piece := stream.read(_PIECE_BYTES):
                yield piece
            # S3 rejects a request for another version; elsewhere a change is detected at the end.
            if self._family != "s3" and not version.is_of(_version(self._files.info(path))):
                raise ObjectChanged("the object changed while it was fetched")

    @contextmanager
    def _translated(self, url: str) -> Iterator[None]:
        """Translate errors of the libraries to ours, unchained: their text may contain secrets."""
        try:
            yield
        except FileNotFoundError:
            raise SourceError(f"{url}: there is no such object or bucket; check the URL") from None
        except PermissionError as error:
            raise SourceError(
                f"{url}: access is refused ({_reason(error)}); "
                f"{urls.credentials_hint(self._family)}"
            ) from None
        except self._passing as error:
            raise Interrupted(_reason(error)) from None
        except OSError as error:
            if error.errno == errno.EBUSY or "recondition" in str(error):  # If-Match failed
                raise ObjectChanged("the object changed while it was fetched") from None
            if error.errno in (errno.EINVAL, errno.EPERM, errno.ENOSYS):
                raise SourceError(f"{url}: the server refuses this ({_reason(error)})") from None
            raise Interrupted(_reason(error)) from None
        except self._lasting as error:
            raise SourceError(
                f"{url}: {_reason(error)}; {urls.credentials_hint(self._family)}"
            ) from None


def _options(family: str, config: StorageConfig) -> dict[str, Any]:
    """Arguments for fsspec's file system of this family."""
    options: dict[str, Any] = {}
    if family == "s3":
        options = {
            "anon": config.anonymous,
            "profile": config.profile,
            "client_kwargs": {"region_name": config.region} if config.region else None,
            "config_kwargs": {
                "connect_timeout": _CONNECT_SECONDS,
                "read_timeout": _SILENT_SECONDS,
                "retries": {"total_max_attempts": 1},  # s3fs tries again, and fetching
            },
        }
    elif family == "gs":
        options = {"project": config.project, "access": "read_only"}
        options["requests_timeout"] = ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS
        )
        options["token"] = "anon" if config.anonymous else None
    elif family == "az":
        options = {"account_name": config.account, "anon": config.anonymous or None}
        options["connection_timeout"] = _CONNECT_SECONDS
        options["read_timeout"] = _SILENT_SECONDS
    options["endpoint_url"] = config.endpoint_url
    options["requester_pays"] = config.requester_pays or None
    return {name: value for name, value in options.items() if value is not None}


def _classes(names: tuple[str, ...]) -> tuple[type[Exception], ...]:
    """Those of the classes that are installed."""
    found: list[type[Exception]] = []
    for name in names:
        module, _, attribute = name.partition(":")
        try:
            found.append(getattr(importlib.import_module(module), attribute))
        except ModuleNotFoundError:
            continue
    return tuple(found)


def _reason(error: BaseException) -> str:
    return urls.redacted(" ".join(str(error).split())) or type(error).__name__


def _version(info: Mapping[str, Any]) -> ObjectVersion:
    n_bytes = info.get("size")
    for mark in _MARKS:
        if info.get(mark):
            return ObjectVersion({mark.lower(): str(info[mark])}, n_bytes)
    times = [str(info[name]) for name in _TIMES if info.get(name)]
    marks = {"last-modified": times[0]} if times and n_bytes is not None else {}
    return ObjectVersion(marks, n_bytes, is_exact=False)


_ANY_FOLDERS = "**"
_PART = re.compile(r"\*+|\?|\[!?\]?[^\]/]*\]|.", re.DOTALL)


def _as_regex(pattern: str) -> str:
    """The regular expression of a glob; its stars match empty parts of a key, too."""
    *folders, last = pattern.split("/")
    written = ["(?:[^/]*/)*" if part == _ANY_FOLDERS else f"{_part(part)}/" for part in folders]
    return "".join([*written, ".*" if last == _ANY_FOLDERS else _part(last)])


def _part(part: str) -> str:
    written = []
    for match in _PART.finditer(part):
        sign = match[0]
        if sign[0] == "*":
            written.append("[^/]*")
        elif sign == "?":
            written.append("[^/]")
        elif sign[0] == "[" and len(sign) > 1:
            inner = sign[1:-1].replace("\\", r"\\").replace("[", r"\[")
            written.append(f"[^/{inner[1:]}]" if inner.startswith("!") else f"[{inner}]")
        else:
            written.append(re.escape(sign))
    return "".join(written)


def _is_shown(name: str, pattern: str) -> bool:
    """Whether ``pattern`` may match ``name``: a leading dot must be explicit, as in files."""
    hidden = [part for part in name.split("/") if part.startswith(".")]
    return not hidden or any(part.startswith(".") for part in pattern.split("/"))
